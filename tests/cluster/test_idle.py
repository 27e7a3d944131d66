"""An idle operator writes nothing but its Lease, as the API server's audit log shows."""

import json
import os
import re
import time
import urllib.request
from collections import Counter
from pathlib import Path

import pytest
from cluster_support import Engine, Operator
from rtx_operator.api.enums import ConditionStatus, ConditionType

AUDIT_LOG = Path(os.environ.get("RTX_TEST_AUDIT_LOG", "/run/rtx-lab/audit.log"))
WINDOW_SECONDS = 45.0  # tests/faults observes the deployed operator for five minutes
MAX_LISTS = 40  # of two observations of the engine
EVENTS_SECONDS = 15  # for the watch events of new objects
WRITE_VERBS = {"create", "update", "patch", "delete", "deletecollection"}


def requests(since: int, namespaces: set[str]) -> Counter[tuple[str, str]]:
    """The operator's requests in these namespaces by verb and resource, from byte `since` of the audit log on."""
    counted: Counter[tuple[str, str]] = Counter()
    with AUDIT_LOG.open("rb") as log:
        log.seek(since)
        for line in log:
            entry = json.loads(line)
            target = entry.get("objectRef") or {}
            if entry.get("userAgent") == "rtx-operator" and target.get("namespace") in namespaces:
                counted[entry["verb"], target["resource"]] += 1
    return counted


def lists(operator: Operator) -> float:
    """The operator's LIST requests so far, from its metrics; an observation consists of LISTs.

    GETs are not counted: each change of another operator's engine costs one, and other tests run at the same time.
    """
    with urllib.request.urlopen(f"http://127.0.0.1:{operator.port}/metrics", timeout=30) as response:
        counted = re.findall(r'api_requests_total{code="\d+",verb="list"} (\S+)', response.read().decode())
    return sum(map(float, counted))


def test_idle_operator_writes_only_its_lease_and_lists_little(engine: Engine, operator: Operator) -> None:
    if not AUDIT_LOG.exists():
        pytest.skip(f"the cluster's audit log {AUDIT_LOG} cannot be read here")
    home = operator.operator_class  # its own namespace has the same name

    # Given a reconciled engine, whose writes the audit log has.
    before = AUDIT_LOG.stat().st_size
    engine.apply()
    engine.wait_ready()
    assert requests(before, {engine.namespace})["patch", "services"] > 0, "the audit log lacks the operator's writes"
    engine.wait_condition(ConditionType.RECONCILING, ConditionStatus.FALSE)
    time.sleep(EVENTS_SECONDS)

    # When nothing changes for WINDOW_SECONDS.
    start, lists_before = AUDIT_LOG.stat().st_size, lists(operator)
    time.sleep(WINDOW_SECONDS)

    # Then the operator has updated its Lease only, and made two observations of the engine at most.
    sent = requests(start, {engine.namespace, home})
    writes = {request: count for request, count in sent.items() if request[0] in WRITE_VERBS}
    assert set(writes) == {("update", "leases")}, f"the idle operator wrote other objects than its Lease: {writes}"
    assert lists(operator) - lists_before <= MAX_LISTS, "the idle operator observed the engine more than twice"
