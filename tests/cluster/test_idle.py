"""With nothing changing, the operator writes nothing but its Lease: counted in the API server's own audit log."""

import json
import os
import re
import time
import urllib.request
from collections import Counter
from pathlib import Path

import pytest
from cluster_support import Engine, Operator, eventually

AUDIT_LOG = Path(os.environ.get("RTX_TEST_AUDIT_LOG", "/run/rtx-lab/audit.log"))
WINDOW = 45.0  # seconds; the deployed operator is watched for five minutes in tests/faults
WRITES = {"create", "update", "patch", "delete", "deletecollection"}


def requests(since: int, namespaces: set[str]) -> Counter[tuple[str, str]]:
    """The operator's requests in these namespaces, by verb and resource, in what was logged after byte `since`."""
    counted: Counter[tuple[str, str]] = Counter()
    with AUDIT_LOG.open("rb") as log:
        log.seek(since)
        for line in log:
            entry = json.loads(line)
            about = entry.get("objectRef") or {}
            if entry.get("userAgent") == "rtx-operator" and about.get("namespace") in namespaces:
                counted[entry["verb"], about["resource"]] += 1
    return counted


def lists(operator: Operator) -> float:
    """LISTs so far, as the operator itself counts them: of them an observation is made.

    Not GETs: what other operators' engines do beside this test costs one each, to see that they are not ours.
    """
    with urllib.request.urlopen(f"http://127.0.0.1:{operator.port}/metrics", timeout=5) as answer:
        counted = re.findall(r'api_requests_total{code="\d+",verb="list"} (\S+)', answer.read().decode())
    return sum(map(float, counted))


def test_an_idle_operator_writes_only_its_lease_and_reads_little(engine: Engine, operator: Operator):
    if not AUDIT_LOG.exists():
        pytest.skip(f"the cluster's audit log {AUDIT_LOG} cannot be read here")
    home = operator.operator_class  # its own namespace bears the same name
    before = AUDIT_LOG.stat().st_size
    engine.apply()
    engine.wait_ready()
    assert requests(before, {engine.namespace})["patch", "services"] > 0, "the audit log shows what the operator writes"
    eventually(lambda: engine.condition("Reconciling").get("status") == "False", "it has come to rest")
    time.sleep(15)  # the last events of what was made pass by

    start, listed = AUDIT_LOG.stat().st_size, lists(operator)
    time.sleep(WINDOW)

    seen = requests(start, {engine.namespace, home})
    writes = {what: count for what, count in seen.items() if what[0] in WRITES}
    assert set(writes) == {("update", "leases")}, writes
    assert lists(operator) - listed <= 40, "two observations of the engine at most"
