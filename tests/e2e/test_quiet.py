"""With nothing changing, the operator writes nothing but its Lease."""

import datetime as dt
import time
from pathlib import Path

import pytest
from rtx_demo import installation
from rtx_demo.audit import writes
from rtx_demo.kubectl import Kubectl
from rtx_demo.sample import Sample
from rtx_demo.waiting import eventually
from rtx_lab.instance import Instance
from rtx_lab.native import Native
from rtx_lab.provider import Provider

WINDOW = 300  # seconds
USER = f"system:serviceaccount:{installation.NAMESPACE}:rtx-operator"


def test_an_idle_operator_writes_only_its_lease(local_cluster: Provider, kubectl: Kubectl, sample: Sample) -> None:
    if not isinstance(local_cluster, Native):
        pytest.skip("the audit log is read from the native cluster's file")

    # given engines that are ready, and nothing left to settle
    with sample.temporary(scaling={"minReplicas": 1, "maxReplicas": 1}) as engine:
        eventually(lambda: not list(recent(10)), "ten seconds without a write", deadline=120)

        # when five minutes pass
        began = now()
        time.sleep(WINDOW)

        # then the API server's audit log has only writes of the Lease by the operator, and of those some
        seen = list(writes(audit_log(), user=USER, since=began, until=now()))
        assert {(write.verb, write.resource, write.name) for write in seen} == {("update", "leases", "rtx-operator")}
        assert engine.condition("Ready")


def recent(seconds: int) -> list[str]:
    """What the operator wrote lately, the Lease left out."""
    since = (dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds)).isoformat()
    return [
        write.resource
        for write in writes(audit_log(), user=USER, since=since, until=now())
        if write.resource != "leases"
    ]


def now() -> str:
    return dt.datetime.now(dt.UTC).isoformat()


def audit_log() -> Path:
    return Instance().audit_log
