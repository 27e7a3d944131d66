"""With nothing changing, the operator writes nothing but its Lease."""

import datetime as dt
import time
from pathlib import Path

import pytest
from operators import holder, logs
from rtx_demo import installation
from rtx_demo.audit import Write, writes
from rtx_demo.kubectl import Kubectl
from rtx_demo.sample import Sample
from rtx_demo.waiting import eventually
from rtx_lab.instance import Instance
from rtx_lab.native import Native
from rtx_lab.provider import Provider

WINDOW = 300  # seconds
REIGNS = 3  # a new leader applies everything once, so its window begins anew; more leaders than that is a fault
USER = f"system:serviceaccount:{installation.NAMESPACE}:rtx-operator"


@pytest.mark.timeout(REIGNS * (WINDOW + 180))
def test_an_idle_operator_writes_only_its_lease(local_cluster: Provider, kubectl: Kubectl, sample: Sample) -> None:
    if not isinstance(local_cluster, Native):
        pytest.skip("the audit log is read from the native cluster's file")

    # given an engine that is ready, and nothing left of those before it: what is being deleted is written to
    eventually(lambda: not leaving(kubectl), "namespaces that are gone", deadline=180)
    with sample.temporary(scaling={"minReplicas": 1, "maxReplicas": 1}) as engine:
        # when five minutes of one leader's reign pass
        seen = written_in_one_reign(kubectl)

        # then the API server's audit log has only writes of the Lease by the operator, and of those some
        kinds = {(write.verb, write.resource, write.name) for write in seen}
        assert kinds == {("update", "leases", "rtx-operator")}, f"{told(seen)}\n{logs(kubectl)}"
        assert engine.condition("Ready")


def written_in_one_reign(kubectl: Kubectl) -> list[Write]:
    """What the operator wrote in a window of which all belongs to one leader."""
    for _ in range(REIGNS):
        eventually(lambda: not list(recent(10)), "ten seconds without a write", deadline=120)
        leader, began, until = holder(kubectl), now(), time.monotonic() + WINDOW
        while leader == holder(kubectl):
            if time.monotonic() >= until:
                return list(writes(audit_log(), user=USER, since=began, until=now()))
            time.sleep(5)
        print(f"{leader} led no longer, so the window begins anew.\n{logs(kubectl)}")
    pytest.fail(f"No leader of {REIGNS} kept the Lease for {WINDOW} s.\n{logs(kubectl)}")


def leaving(kubectl: Kubectl) -> list[str]:
    """The namespaces that are being deleted."""
    phases = kubectl.run(
        "get", "namespaces", "--output", r'jsonpath={range .items[*]}{.metadata.name} {.status.phase}{"\n"}{end}'
    )
    return [line for line in phases.splitlines() if line.endswith(" Terminating")]


def told(seen: list[Write]) -> str:
    """What should not have been written, a line each."""
    return "\n".join(
        f"{write.at} {write.verb} {write.resource} {write.namespace}/{write.name}"
        for write in seen
        if write.resource != "leases"
    )


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
