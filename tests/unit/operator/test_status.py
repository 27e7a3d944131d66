"""What status says after a decision, a refusal and a failure."""

from datetime import UTC, datetime

from rtx_operator import status
from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import Colour, Reason
from rtx_operator.api.status import Active
from rtx_operator.decide import Decision, Verdict
from rtx_operator.observation import Object
from rtx_operator.plan import ColourPlan, Plan, Workload

NOON, LATER = datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 1, 13, tzinfo=UTC)
SOME = Workload("Deployment", "x", {})
WAITING = Verdict(Reason.DATABASE_STARTING, "waiting for the database")
STUCK = Verdict(Reason.QUOTA_EXCEEDED, "raise the quota", stalled=True)
RUNNING = Active(colour=Colour.BLUE, version="1.0.0", config_hash="c1", pod_hash="h1", epoch=1)


def plan(wanted: str = "h1") -> Plan:
    colour = ColourPlan(Colour.BLUE, "1.0.0", None, "c1", "h1")
    return Plan(colour, wanted, (), (), (), SOME, SOME, SOME, SOME, "rtx-engine", "", 3, 10)


def engine(*, paused: bool = False) -> TradingEngine:
    meta = {"namespace": "trading", "name": "rtx", "uid": "u", "generation": 4, "resourceVersion": "1"}
    spec = {"version": "1.0.0", "image": {"repository": "example.com/rtx-engine"}, "paused": paused}
    return TradingEngine.parse({"metadata": meta, "spec": spec})


def after(
    verdict: Verdict | None = None,
    *,
    refusal: Verdict | None = None,
    ready: tuple[int, int] = (3, 3),
    previous: Object | None = None,
    paused: bool = False,
    wanted: str = "h1",
    now: datetime = NOON,
) -> Object:
    decision = Decision((), (), None, None, verdict, RUNNING, ready)
    return status.after_decision(previous or {}, engine(paused=paused), plan(wanted), decision, refusal, now)


def conditions(written: Object) -> dict[str, tuple[str, str]]:
    return {one["type"]: (one["status"], one["reason"]) for one in written["conditions"]}


def test_an_engine_that_serves_and_one_that_scales_are_both_ready():
    assert conditions(after()) == {
        "Ready": ("True", "Serving"),
        "Reconciling": ("False", "Done"),
        "Stalled": ("False", "Done"),
        "UpToDate": ("True", "AsSpecified"),
    }
    scaling = after(ready=(5, 3))
    assert conditions(scaling)["Ready"] == ("True", "Scaling")
    assert conditions(scaling)["Reconciling"] == ("True", "Scaling")
    assert scaling["pods"] == "3/5"


def test_what_takes_time_is_reconciling_and_what_needs_help_is_stalled():
    waiting, stuck = conditions(after(WAITING)), conditions(after(STUCK))

    assert (waiting["Reconciling"][0], waiting["Stalled"][0]) == ("True", "False")
    assert (stuck["Reconciling"][0], stuck["Stalled"]) == ("False", ("True", "QuotaExceeded"))
    assert waiting["Ready"] == ("False", "DatabaseStarting")


def test_a_refusal_is_the_cause_of_what_is_waited_for_but_does_not_unready_what_serves():
    assert conditions(after(WAITING, refusal=STUCK))["Ready"] == ("False", "QuotaExceeded")

    serving = conditions(after(refusal=STUCK))
    assert serving["Ready"] == ("True", "Serving")
    assert serving["Stalled"] == ("True", "QuotaExceeded")


def test_paused_is_neither_reconciling_nor_stalled():
    paused = conditions(after(WAITING, paused=True))

    assert paused["Reconciling"] == ("False", "Paused")
    assert paused["Stalled"] == ("False", "Done")
    assert paused["Ready"] == ("False", "DatabaseStarting")


def test_other_pods_than_spec_asks_for_are_not_up_to_date():
    assert conditions(after(wanted="h2"))["UpToDate"] == ("False", "CutoverNotAvailable")


def test_a_conditions_time_moves_only_when_its_status_does():
    first = after(WAITING)
    second = after(STUCK, previous=first, now=LATER)
    third = after(previous=second, now=LATER)
    at = {one["type"]: one["lastTransitionTime"] for one in second["conditions"]}

    assert at["Ready"] == "2026-01-01T12:00:00Z"  # False for another reason is still False
    assert at["Stalled"] == "2026-01-01T13:00:00Z"
    assert {one["type"]: one["lastTransitionTime"] for one in third["conditions"]}["Ready"] == "2026-01-01T13:00:00Z"
    assert {one["observedGeneration"] for one in third["conditions"]} == {4}


def test_nothing_new_is_said_when_nothing_changed():
    first = after()

    assert after(previous=first, now=LATER) == first


def test_a_failure_of_the_operator_leaves_ready_as_it_was():
    failed = status.after_failure(after(), 4, "the API server is away; trying again", LATER)

    assert conditions(failed)["Ready"] == ("True", "Serving")
    assert conditions(failed)["Reconciling"] == ("True", "ReconcileFailed")
