"""An idle operator writes nothing but its Lease."""

import datetime as dt
import time
from pathlib import Path

import pytest
from operators import lease_holder, replica_logs
from rtx_demo import installation
from rtx_demo.audit import Write, writes
from rtx_demo.kubectl import Kubectl
from rtx_demo.sample import Sample
from rtx_demo.waiting import eventually
from rtx_lab.instance import Instance
from rtx_lab.native import Native
from rtx_lab.provider import Provider
from rtx_operator.api.enums import ConditionType

WINDOW_SECONDS = 300
MAX_LEADERS = 3  # a new leader applies everything once, so its window starts anew; more leaders are a fault
OPERATOR_USER = f"system:serviceaccount:{installation.NAMESPACE}:rtx-operator"


@pytest.mark.timeout(MAX_LEADERS * (WINDOW_SECONDS + 180))
def test_an_idle_operator_writes_only_its_lease(local_cluster: Provider, kubectl: Kubectl, sample: Sample) -> None:
    if not isinstance(local_cluster, Native):
        pytest.skip("the audit log is read from the native cluster's file")

    # Given a ready engine, and no namespace that is still terminating: the operator writes to objects in it.
    eventually(lambda: not terminating_namespaces(kubectl), "no namespace that is terminating", deadline=180)
    with sample.temporary(scaling={"minReplicas": 1, "maxReplicas": 1}) as engine:
        # When one leader leads for WINDOW_SECONDS.
        written = writes_of_one_leader(kubectl)

        # Then the audit log's only writes by the operator are those of the Lease.
        kinds = {(write.verb, write.resource, write.name) for write in written}
        assert kinds == {("update", "leases", "rtx-operator")}, f"{format_writes(written)}\n{replica_logs(kubectl)}"
        assert engine.condition(ConditionType.READY)


def writes_of_one_leader(kubectl: Kubectl) -> list[Write]:
    """The operator's writes in WINDOW_SECONDS during which the same replica led; fails after MAX_LEADERS leaders."""
    for _ in range(MAX_LEADERS):
        eventually(lambda: not recent_writes(10), "ten seconds without a write", deadline=120)
        leader, began, until = lease_holder(kubectl), now(), time.monotonic() + WINDOW_SECONDS
        while leader == lease_holder(kubectl):
            if time.monotonic() >= until:
                return list(writes(audit_log(), user=OPERATOR_USER, since=began, until=now()))
            time.sleep(5)
        print(f"{leader} lost the Lease, so the window starts anew.\n{replica_logs(kubectl)}")
    pytest.fail(f"None of {MAX_LEADERS} leaders kept the Lease for {WINDOW_SECONDS} s.\n{replica_logs(kubectl)}")


def terminating_namespaces(kubectl: Kubectl) -> list[str]:
    """A line for each namespace that is being deleted."""
    phases = kubectl.run(
        "get", "namespaces", "--output", r'jsonpath={range .items[*]}{.metadata.name} {.status.phase}{"\n"}{end}'
    )
    return [line for line in phases.splitlines() if line.endswith(" Terminating")]


def format_writes(written: list[Write]) -> str:
    """The writes except those of the Lease, a line each."""
    return "\n".join(
        f"{write.at} {write.verb} {write.resource} {write.namespace}/{write.name}"
        for write in written
        if write.resource != "leases"
    )


def recent_writes(seconds: int) -> list[str]:
    """The resources that the operator wrote in the last `seconds`, except the Lease."""
    since = (dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds)).isoformat()
    return [
        write.resource
        for write in writes(audit_log(), user=OPERATOR_USER, since=since, until=now())
        if write.resource != "leases"
    ]


def now() -> str:
    return dt.datetime.now(dt.UTC).isoformat()


def audit_log() -> Path:
    return Instance().audit_log
