"""`kubectl tradingengine doctor`: what is wrong, and what to do."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cli_objects import (
    BLUE,
    ENDPOINTS,
    NOON,
    SERVERS,
    SERVICE,
    WHOLE,
    claim,
    condition,
    cutover,
    engine,
    labels,
    pod,
    release,
)
from golden_text import assert_golden
from rtx_cli.decide.children import Children
from rtx_cli.decide.doctor.examine import examine
from rtx_cli.decide.doctor.findings import Evidence, Finding, Severity
from rtx_cli.decide.engine import Engine
from rtx_cli.render.doctor import findings_lines
from rtx_cli.render.text import PLAIN
from rtx_operator.api.enums import Colour, ConditionType, CutoverPhase, Reason

Object = dict[str, Any]
OPERATOR = {
    "metadata": {"name": "rtx-operator", "namespace": "rtx-system"},
    "status": {"readyReplicas": 2},
}
HEALTHY = Evidence(Engine.of(engine()), Children(WHOLE), (), (OPERATOR,), NOON)


def of(manifest: Object) -> Evidence:
    return replace(HEALTHY, engine=Engine.of(manifest))


def with_items(*items: Object) -> Evidence:
    return replace(HEALTHY, children=Children(items))


def found(evidence: Evidence, severity: Severity | None = None) -> str:
    """All findings as one text."""
    return "\n".join(
        f"{one.where}: {one.what} → {one.remedy}" for one in examine(evidence) if severity in {None, one.severity}
    )


def test_healthy_engine_has_no_findings() -> None:
    assert examine(HEALTHY) == ()


def test_words_of_the_operator_come_first() -> None:
    # given an engine for which the operator needs a person
    stalled = condition(ConditionType.STALLED, True, Reason.CREDENTIALS_LOST, "Secret rtx-internal is gone")
    ready = condition(ConditionType.READY, False, Reason.CREDENTIALS_LOST, "Secret rtx-internal is gone")

    # then its message is there once, with the reason to look up
    text = found(of(engine(stalled, ready)), Severity.PROBLEM)
    assert text.count("Secret rtx-internal is gone") == 1
    assert "docs/runbook.md has the reason CredentialsLost" in text


def test_rejected_version_names_retry() -> None:
    stalled = condition(ConditionType.STALLED, True, Reason.REJECTED, "version 1.1.0 was rolled back")
    assert "`kubectl tradingengine retry rtx`" in found(of(engine(stalled)))


def test_spec_that_no_operator_reads_is_a_problem() -> None:
    # given a spec that is older than seconds and that no operator has read
    unread = engine(generation=4, seen=3)

    # then that is said, with the class of operators if it has one
    assert "no operator has read the newest spec" in found(of(unread), Severity.PROBLEM)
    unread["metadata"]["labels"] = {"rtx-trading.com/operator": "blue-team"}
    assert "OPERATOR_CLASS=blue-team" in found(of(unread))


def test_missing_operator_is_found() -> None:
    assert "install it" in found(replace(HEALTHY, operators=()), Severity.WARNING)
    down = {**OPERATOR, "status": {}}
    assert "no pod of the operator is ready" in found(replace(HEALTHY, operators=(down,)), Severity.PROBLEM)


def test_what_may_not_be_read_is_a_note_and_not_a_problem() -> None:
    # given a person with rights in one namespace, who may not list Services
    children = replace(HEALTHY.children, unreadable=("services",))
    evidence = replace(HEALTHY, children=children, operators=None)

    # then that is said, and nothing is made of what is not there
    (finding,) = examine(evidence)
    assert finding.severity is Severity.NOTE
    assert "services, the operator's Deployment" in finding.what


def test_pause_is_a_warning() -> None:
    assert "resume rtx" in found(of(engine(spec={"paused": True})), Severity.WARNING)


def test_phase_without_deadline_that_lasts_is_a_warning() -> None:
    # given a cutover that has been monitored for long
    monitoring = engine(cutover=cutover(CutoverPhase.MONITORING, message="too few requests"))
    late = replace(of(monitoring), now=NOON + timedelta(minutes=30))
    assert "it has been Monitoring for 30 minutes: too few requests" in found(late, Severity.WARNING)
    # and one with a deadline is none: the operator ends it
    limited = engine(cutover=cutover(CutoverPhase.MONITORING, deadline="2026-11-27T13:00:00Z"))
    assert examine(replace(of(limited), now=NOON + timedelta(minutes=30))) == ()


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("ImagePullBackOff", "correct the image"),
        ("CrashLoopBackOff", "--previous"),
        ("CreateContainerConfigError", "create the Secret"),
    ],
)
def test_pods_that_do_not_start_are_problems_with_a_remedy(reason: str, remedy: str) -> None:
    waiting = [{"restartCount": 1, "state": {"waiting": {"reason": reason, "message": "because"}}}]
    broken = pod("rtx-engine-blue-x", colour=Colour.BLUE, ready=False, containerStatuses=waiting)
    text = found(with_items(*WHOLE, broken), Severity.PROBLEM)
    assert f"{reason}: because" in text
    assert remedy in text


def test_pod_without_room_is_a_problem() -> None:
    conditions = [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes: Insufficient cpu"}
    ]
    broken = pod("rtx-engine-blue-x", colour=Colour.BLUE, phase="Pending", conditions=conditions, containerStatuses=[])
    assert "Insufficient cpu → free room" in found(with_items(*WHOLE, broken), Severity.PROBLEM)


def test_pod_that_starts_or_ends_is_no_finding() -> None:
    # given a young pod that is not ready, and one that ends
    young = pod("rtx-engine-blue-x", colour=Colour.BLUE, ready=False)
    young["metadata"]["creationTimestamp"] = "2026-11-27T11:59:30Z"
    ending = pod("rtx-engine-blue-y", colour=Colour.BLUE, ready=False)
    ending["metadata"]["deletionTimestamp"] = "2026-11-27T12:00:10Z"
    assert examine(with_items(*WHOLE, young, ending)) == ()


def test_live_service_without_endpoints_or_of_another_colour_is_a_problem() -> None:
    # given a Service that somebody changed, and one without ready pods
    other = {**SERVICE, "spec": {"selector": labels("engine", Colour.GREEN)}}
    empty = {**ENDPOINTS, "endpoints": [{"conditions": {"ready": False}}]}

    assert "it selects green, and blue is active" in found(with_items(*BLUE, *SERVERS, other, ENDPOINTS))
    assert "no ready endpoint" in found(with_items(*BLUE, *SERVERS, SERVICE, empty), Severity.PROBLEM)
    assert "the live Service is gone" in found(with_items(*BLUE, *SERVERS), Severity.PROBLEM)


def test_service_is_not_judged_while_it_switches() -> None:
    switching = engine(cutover=cutover(CutoverPhase.SWITCHING, deadline="2026-11-27T13:00:00Z"))
    other = {**SERVICE, "spec": {"selector": labels("engine", Colour.GREEN)}}
    evidence = replace(of(switching), children=Children((*BLUE, *SERVERS, other, ENDPOINTS)))
    assert "is active" not in found(evidence)


def test_autoscaler_that_cannot_measure_or_is_at_its_limit_is_a_warning() -> None:
    def scaler(**condition: str) -> Object:
        return {
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "rtx-engine"},
            "spec": {"maxReplicas": 5},
            "status": {"conditions": [condition]},
        }

    blind = scaler(type="ScalingActive", status="False", reason="FailedGetResourceMetric", message="no metrics known")
    limited = scaler(type="ScalingLimited", status="True", reason="TooManyReplicas")
    idle = scaler(type="ScalingLimited", status="True", reason="TooFewReplicas")
    others = [one for one in WHOLE if one["kind"] != "HorizontalPodAutoscaler"]
    assert "metrics-server" in found(with_items(*others, blind), Severity.WARNING)
    assert "more pods than the 5" in found(with_items(*others, limited), Severity.WARNING)
    assert examine(with_items(*others, idle)) == ()


def test_all_pods_on_one_node_is_a_warning_and_a_single_pod_a_note() -> None:
    together = [{**one, "spec": {"nodeName": "node1"}} if one["kind"] == "Pod" else one for one in WHOLE]
    assert "on node node1" in found(with_items(*together), Severity.WARNING)
    single = [one for one in WHOLE if one["metadata"]["name"] != "rtx-engine-blue-5d4-bbb"]
    assert "one pod serves" in found(with_items(*single), Severity.NOTE)


def test_volume_that_is_not_bound_is_a_problem() -> None:
    others = [one for one in WHOLE if one["metadata"]["name"] != "data-rtx-redis-0"]
    text = found(with_items(*others, claim("data-rtx-redis-0", "Pending")), Severity.PROBLEM)
    assert "data-rtx-redis-0: it is Pending" in text


def test_failed_job_and_closed_budget_are_found() -> None:
    job = {
        "kind": "Job",
        "metadata": {"name": "rtx-migrate-1"},
        "status": {"conditions": [{"type": "Failed", "status": "True", "message": "BackoffLimitExceeded"}]},
    }
    budget = {
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "rtx-engine-blue"},
        "status": {"currentHealthy": 2, "expectedPods": 2, "disruptionsAllowed": 0},
    }
    text = found(with_items(*WHOLE, job, budget))
    assert "kubectl logs job/rtx-migrate-1" in text
    assert "a drain of its node waits" in text


def test_warnings_of_the_last_hour_are_counted() -> None:
    def event(name: str, minutes: int, message: str = "Readiness probe failed") -> Object:
        at = (NOON - timedelta(minutes=minutes)).isoformat()
        about = {"kind": "Pod", "name": name}
        return {"metadata": {}, "involvedObject": about, "reason": "Unhealthy", "message": message, "lastTimestamp": at}

    # given Warnings of a pod of the engine, of another pod, and of hours ago
    mine = "rtx-engine-blue-5d4-aa"
    events = (event(mine, 5), event(mine, 6), event("somebody-else", 5), event(mine, 200, "long ago"))

    # then those that matter are one note
    (finding,) = examine(replace(HEALTHY, warnings=events))
    assert finding == Finding(
        Severity.NOTE, f"Event of Pod {mine}", "Unhealthy, 2 times in the last hour: Readiness probe failed"
    )


def test_earlier_data_and_kept_releases_are_told() -> None:
    previous = {**release(Colour.GREEN), "retireAfter": "2026-11-27T10:00:00Z", "message": "the active one is down"}
    text = found(of(engine(earlierData={"epoch": 3, "since": "2026-11-27T11:00:00Z"}, previous=previous)))
    assert "an earlier state of its data" in text
    assert "it is kept for longer: the active one is down" in text


def test_findings_are_text_with_the_worst_first() -> None:
    stalled = condition(ConditionType.STALLED, True, Reason.NODE_LOST, "pod rtx-postgres-0 should have ended")
    evidence = replace(of(engine(stalled, spec={"paused": True})), operators=None)
    lines = [
        *findings_lines("trading/rtx", examine(evidence), PLAIN),
        *findings_lines("trading/fx", examine(HEALTHY), PLAIN),
    ]
    assert_golden("doctor", lines)
