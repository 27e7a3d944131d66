"""What status says after a decision, a refusal and a failure."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import yaml
from rtx_operator import status
from rtx_operator.api import crd
from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import Colour, Phase, PreviousState, Reason
from rtx_operator.api.status import Active, Cutover, Previous, Rejected, Release, TradingEngineStatus
from rtx_operator.cutover.checks import Unmet
from rtx_operator.cutover.state import PersistedState
from rtx_operator.decide import Decision, Verdict
from rtx_operator.desired.state import DesiredColour, DesiredState, Revision, Workload
from rtx_operator.observation import Object

NOON, LATER = datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 1, 13, tzinfo=UTC)
SOME = Workload("Deployment", "x", {})
WAITING = Verdict(Reason.DATABASE_STARTING, "waiting for the database")
STUCK = Verdict(Reason.QUOTA_EXCEEDED, "raise the quota", stalled=True)
RUNNING = Active(colour=Colour.BLUE, version="1.0.0", config_hash="c1", revision="h1", epoch=1)
OLD = Release(colour=Colour.BLUE, version="1.0.0", revision="h1")
NEW = Release(colour=Colour.GREEN, version="1.1.0", revision="h2")
SETTLED = PersistedState(active=RUNNING)


def desired(wanted: str = "h1") -> DesiredState:
    running, asked = Revision("1.0.0", None, "c1", "h1"), Revision("1.1.0", None, "c2", wanted)
    return DesiredState(
        active=DesiredColour(Colour.BLUE, running, (), {}, {}, {}, {}),
        idle=None,
        traffic={},
        wanted=running if wanted == running.hash else asked,
        base_objects=(),
        borrowed_revision=(),
        database=SOME,
        cache=SOME,
        live_service="rtx-engine",
        credentials_name="",
        minimum=3,
        maximum=10,
    )


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
    state: PersistedState = SETTLED,
    waits: Unmet | None = None,
    contract_failure: str = "",
    now: datetime = NOON,
) -> Object:
    decision = Decision(
        apply=(),
        delete=(),
        effects=(),
        verdict=verdict,
        state=state,
        entered=None,
        waits=waits,
        contract_failure=contract_failure,
        ready=ready,
    )
    return status.after_decision(previous or {}, engine(paused=paused), desired(wanted), decision, refusal, now)


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


def cutover(phase: Phase, **more: Any) -> PersistedState:
    fields = {"id": "1.1.0-abcd", "phase": phase, "since": NOON, "from": OLD, "to": NEW, "startedAt": NOON, **more}
    return replace(SETTLED, cutover=Cutover.model_validate(fields))


def message(written: Object, condition: str) -> str:
    return next(str(one["message"]) for one in written["conditions"] if one["type"] == condition)


def test_a_cutover_is_progress_and_says_what_it_waits_for():
    said = after(wanted="h2", state=cutover(Phase.PROVISIONING), waits=Unmet("2 of 3 pods ready"))

    assert conditions(said) == {
        "Ready": ("True", "Serving"),
        "Reconciling": ("True", "CutoverInProgress"),
        "Stalled": ("False", "Done"),
        "UpToDate": ("False", "CutoverInProgress"),
    }
    assert message(said, "UpToDate") == "1.0.0 → 1.1.0 is Provisioning: 2 of 3 pods ready"


def test_a_way_back_that_is_blocked_needs_help():
    back = cutover(Phase.ROLLING_BACK, reason="TooManyErrors", message="it failed")
    said = after(wanted="h2", state=back, waits=Unmet("no pod is ready", Reason.CANNOT_ROLL_BACK))

    assert conditions(said)["Stalled"] == ("True", "CannotRollBack")
    assert conditions(said)["Ready"] == ("True", "Serving")
    assert message(said, "Stalled") == "1.0.0 → 1.1.0 is RollingBack because it failed (TooManyErrors): no pod is ready"


def test_what_was_rolled_back_stalls_until_somebody_says_otherwise():
    rejected = Rejected(revision="h2", version="1.1.0", reason="TooSlow", message="it was slow")
    said = after(wanted="h2", state=replace(SETTLED, rejected=rejected))

    assert conditions(said)["Stalled"] == ("True", "Rejected")
    assert conditions(said)["UpToDate"] == ("False", "Rejected")
    assert "rtx-trading.com/retry" in message(said, "UpToDate")


def test_a_colour_that_is_taken_away_is_progress_until_its_contract_migration_fails():
    leaving = Previous(
        colour=Colour.GREEN, version="0.9.0", revision="h0", retire_after=NOON, state=PreviousState.RETIRING
    )
    state = replace(SETTLED, previous=leaving)

    assert conditions(after(state=state))["Reconciling"] == ("True", "Retiring")
    assert conditions(after(state=state, contract_failure="it failed"))["Stalled"] == ("True", "ContractFailed")
    # A cutover that is due waits for it.
    assert conditions(after(state=state, wanted="h2"))["UpToDate"] == ("False", "Retiring")


def test_what_is_remembered_is_written_and_what_is_forgotten_is_taken_out():
    kept = Previous(colour=Colour.GREEN, version="0.9.0", revision="h0", retire_after=NOON)
    first = after(state=replace(cutover(Phase.SUCCEEDED), previous=kept))
    second = after(state=SETTLED, previous={**first, "later": "a field of a later operator"})

    assert PersistedState.of(TradingEngineStatus.model_validate(first)).previous == kept
    assert first["cutover"]["from"]["version"] == "1.0.0"
    assert not {"previous", "cutover", "rejected"} & second.keys()
    assert second["history"] == []
    assert second["later"]


def test_each_phase_is_told_once():
    pending, migrating = (after(state=cutover(phase)) for phase in (Phase.PENDING, Phase.MIGRATING))
    back = after(state=cutover(Phase.ROLLING_BACK, reason="TooSlow", message="it was slow"))

    assert status.cutover_event(after(), after()) is None
    assert status.cutover_event(pending, pending) is None
    told = status.cutover_event(pending, migrating)
    assert told is not None
    assert (told.reason, told.warning) == ("CutoverMigrating", False)
    told = status.cutover_event(migrating, back)
    assert told is not None
    assert told.warning
    assert "it was slow (TooSlow)" in told.message


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


def test_what_the_api_server_would_fill_in_is_said_already() -> None:
    """Otherwise each look would find the status other than what it has to say, and write it again."""
    version = yaml.safe_load(crd.render())["spec"]["versions"][0]
    fields = version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    filled_in = {name for name, field in fields.items() if "default" in field}

    assert filled_in
    assert filled_in <= after(state=SETTLED).keys()
