"""The status after a decision, a refusal and an error, and the Events of its change."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import yaml
from desired_servers import DESIRED_SERVERS
from rtx_operator.api import crd
from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import Colour, CutoverPhase, Reason, RetirementPhase
from rtx_operator.api.status import Active, Cutover, Previous, Rejected, Release, Retirement, TradingEngineStatus
from rtx_operator.decision.backups import BackupState
from rtx_operator.decision.conditions import after_decision, after_error
from rtx_operator.decision.decide import Decision
from rtx_operator.decision.events import events
from rtx_operator.desired.database.instances import ALONE, InstancesPlan
from rtx_operator.desired.state import DesiredColour, DesiredState, Revision, Workload
from rtx_operator.observation import Object
from rtx_operator.operations.state import PersistedState
from rtx_operator.results import Failure, Unmet, Waiting

NOON, LATER = datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 1, 13, tzinfo=UTC)
SOME = Workload("Deployment", "x", {})
WAITING = Waiting("waiting for the database", Reason.DATABASE_STARTING)
STUCK = Failure("raise the quota", Reason.QUOTA_EXCEEDED)
RUNNING = Active(colour=Colour.BLUE, version="1.0.0", config_hash="c1", revision="h1", epoch=1)
OLD = Release(colour=Colour.BLUE, version="1.0.0", revision="h1")
NEW = Release(colour=Colour.GREEN, version="1.1.0", revision="h2")
SETTLED = PersistedState(active=RUNNING)


def desired(wanted: str = "h1") -> DesiredState:
    running, target = Revision("1.0.0", None, "c1", "h1"), Revision("1.1.0", None, "c2", wanted)
    return DesiredState(
        active=DesiredColour(Colour.BLUE, running, (), {}, {}, {}, {}, {}),
        idle=None,
        traffic={},
        wanted=running if wanted == running.hash else target,
        base_objects=(),
        borrowed_revision=(),
        servers=DESIRED_SERVERS,
        instances=InstancesPlan(1, ALONE),
        live_service="rtx-engine",
        credentials_name="",
        minimum=3,
        maximum=10,
    )


def engine() -> TradingEngine:
    meta = {"namespace": "trading", "name": "rtx", "uid": "u", "generation": 4, "resourceVersion": "1"}
    spec = {"version": "1.0.0", "image": {"repository": "example.com/rtx-engine"}}
    return TradingEngine.parse({"metadata": meta, "spec": spec})


def after(
    unready: Unmet | None = None,
    *,
    refusal: Unmet | None = None,
    ready: tuple[int, int] = (3, 3),
    previous: Object | None = None,
    pause: str = "",
    wanted: str = "h1",
    state: PersistedState = SETTLED,
    waits: Unmet | None = None,
    now: datetime = NOON,
) -> Object:
    decision = Decision(
        backups=BackupState(None, is_fresh=False, reason=Reason.NOT_BACKED_UP, message="nothing is backed up"),
        apply=(),
        delete=(),
        effects=(),
        unready=unready,
        state=state,
        entered=None,
        waits=waits,
        ready=ready,
        below_size=Waiting(f"{ready[1]} of {ready[0]} engine pods ready", Reason.SCALING)
        if len(set(ready)) > 1
        else None,
        pause=pause,
    )
    return after_decision(previous or {}, engine(), desired(wanted), decision, refusal, now)


def conditions(written: Object) -> dict[str, tuple[str, str]]:
    return {one["type"]: (one["status"], one["reason"]) for one in written["conditions"]}


def test_serving_and_scaling_engines_are_ready():
    assert conditions(after()) == {
        "Ready": ("True", "Serving"),
        "Reconciling": ("False", "Done"),
        "Stalled": ("False", "Done"),
        "UpToDate": ("True", "AsSpecified"),
        "CacheAvailable": ("True", "CacheReady"),
        "BackupFresh": ("False", "NotBackedUp"),
    }
    scaling = after(ready=(5, 3))
    assert conditions(scaling)["Ready"] == ("True", "Scaling")
    assert conditions(scaling)["Reconciling"] == ("True", "Scaling")
    assert scaling["pods"] == "3/5"


def test_waiting_engine_is_reconciling_and_failed_engine_is_stalled():
    waiting, stuck = conditions(after(WAITING)), conditions(after(STUCK))

    assert (waiting["Reconciling"][0], waiting["Stalled"][0]) == ("True", "False")
    assert (stuck["Reconciling"][0], stuck["Stalled"]) == ("False", ("True", "QuotaExceeded"))
    assert waiting["Ready"] == ("False", "DatabaseStarting")


def test_refusal_explains_an_unready_engine_and_leaves_a_serving_one_ready():
    assert conditions(after(WAITING, refusal=STUCK))["Ready"] == ("False", "QuotaExceeded")

    serving = conditions(after(refusal=STUCK))
    assert serving["Ready"] == ("True", "Serving")
    assert serving["Stalled"] == ("True", "QuotaExceeded")


def test_paused_engine_is_neither_reconciling_nor_stalled():
    paused = conditions(after(WAITING, pause="paused since noon"))

    assert paused["Reconciling"] == ("False", "Paused")
    assert paused["Stalled"] == ("False", "Done")
    assert paused["Ready"] == ("False", "DatabaseStarting")


def cutover(phase: CutoverPhase, **more: Any) -> PersistedState:
    fields = {"id": "1.1.0-abcd", "phase": phase, "since": NOON, "from": OLD, "to": NEW, "startedAt": NOON, **more}
    return replace(SETTLED, cutover=Cutover.model_validate(fields))


def message(written: Object, condition: str) -> str:
    return next(str(one["message"]) for one in written["conditions"] if one["type"] == condition)


def test_running_cutover_is_reconciling_with_the_unmet_check_in_its_message():
    written = after(wanted="h2", state=cutover(CutoverPhase.PROVISIONING), waits=Waiting("2 of 3 pods ready"))

    assert conditions(written) == {
        "Ready": ("True", "Serving"),
        "Reconciling": ("True", "CutoverInProgress"),
        "Stalled": ("False", "Done"),
        "UpToDate": ("False", "CutoverInProgress"),
        "CacheAvailable": ("True", "CacheReady"),
        "BackupFresh": ("False", "NotBackedUp"),
    }
    assert message(written, "UpToDate") == "1.0.0 → 1.1.0 is Provisioning: 2 of 3 pods ready"


def test_cutover_that_waits_for_a_slot_of_the_fleet_says_so():
    busy = Waiting("20 other engines are being upgraded", Reason.FLEET_BUSY)

    written = after(wanted="h2", state=cutover(CutoverPhase.PENDING), waits=busy)

    assert conditions(written)["Reconciling"] == ("True", Reason.FLEET_BUSY)
    assert "20 other engines" in message(written, "UpToDate")


def test_blocked_rollback_is_stalled():
    back = cutover(CutoverPhase.ROLLING_BACK, reason="TooManyErrors", message="it failed")
    written = after(wanted="h2", state=back, waits=Failure("no pod is ready", Reason.CANNOT_ROLL_BACK))

    assert conditions(written)["Stalled"] == ("True", "CannotRollBack")
    assert conditions(written)["Ready"] == ("True", "Serving")
    assert (
        message(written, "Stalled") == "1.0.0 → 1.1.0 is RollingBack because it failed (TooManyErrors): no pod is ready"
    )


def test_rejected_revision_is_stalled_and_the_message_names_the_retry_annotation():
    rejected = Rejected(revision="h2", version="1.1.0", reason="TooSlow", message="it was slow")
    written = after(wanted="h2", state=replace(SETTLED, rejected=rejected))

    assert conditions(written)["Stalled"] == ("True", "Rejected")
    assert conditions(written)["UpToDate"] == ("False", "Rejected")
    assert "rtx-trading.com/retry" in message(written, "UpToDate")


def retirement(phase: RetirementPhase, **more: Any) -> PersistedState:
    removed = Release(colour=Colour.GREEN, version="0.9.0", revision="h0")
    fields = {"id": "1.1.0-abcd", "phase": phase, "since": NOON, "startedAt": NOON, "release": removed, **more}
    return replace(SETTLED, retirement=Retirement.model_validate(fields))


def test_running_retirement_is_reconciling_and_delays_a_cutover():
    state = retirement(RetirementPhase.EMPTYING)
    written = after(state=state, wanted="h2", waits=Waiting("waiting for pod x to end"))

    assert conditions(written)["Reconciling"] == ("True", "Retiring")
    assert message(written, "Reconciling") == "retirement of version 0.9.0 is Emptying: waiting for pod x to end"
    assert conditions(written)["UpToDate"] == ("False", "Retiring")


def test_failed_retirement_is_stalled_with_cause_and_remedy():
    state = retirement(RetirementPhase.FAILED, reason="ContractFailed", message="Job y failed: no such column")
    written = after(state=state)

    assert conditions(written)["Ready"] == ("True", "Serving")
    assert conditions(written)["Stalled"] == ("True", "ContractFailed")
    assert "Job y failed: no such column" in message(written, "Stalled")
    assert "delete the Job to retry" in message(written, "Stalled")


def test_failure_reason_of_a_later_operator_is_reported_as_retiring():
    written = after(state=retirement(RetirementPhase.FAILED, reason="BackupMissing", message="no backup"))

    assert conditions(written)["Stalled"] == ("True", "Retiring")


def test_succeeded_retirement_is_not_reconciling():
    assert conditions(after(state=retirement(RetirementPhase.SUCCEEDED)))["Reconciling"] == ("False", "Done")


def test_persisted_state_is_written_and_dropped_fields_are_removed():
    # Given a status with a previous release and a cutover, and a field of a later operator
    kept = Previous(colour=Colour.GREEN, version="0.9.0", revision="h0", retire_after=NOON)
    first = after(state=replace(cutover(CutoverPhase.SUCCEEDED), previous=kept))
    # When the state has neither any more
    second = after(state=SETTLED, previous={**first, "later": "a field of a later operator"})

    # Then they are removed, and the unknown field stays
    assert PersistedState.of(TradingEngineStatus.model_validate(first)).previous == kept
    assert first["cutover"]["from"]["version"] == "1.0.0"
    assert not {"previous", "cutover", "rejected"} & second.keys()
    assert second["history"] == []
    assert second["later"]


def test_each_phase_of_a_cutover_is_one_event():
    pending, migrating = (after(state=cutover(phase)) for phase in (CutoverPhase.PENDING, CutoverPhase.MIGRATING))
    back = after(state=cutover(CutoverPhase.ROLLING_BACK, reason="TooSlow", message="it was slow"))

    assert list(events(after(), after())) == []
    assert list(events(pending, pending)) == []
    [event] = events(pending, migrating)
    assert (event.reason, event.is_warning) == ("CutoverMigrating", False)
    [event] = events(migrating, back)
    assert event.is_warning
    assert "it was slow (TooSlow)" in event.message


def test_each_phase_of_a_retirement_is_one_event():
    emptying, contracting = (
        after(state=retirement(phase)) for phase in (RetirementPhase.EMPTYING, RetirementPhase.CONTRACTING)
    )
    failed = after(state=retirement(RetirementPhase.FAILED, reason="PodsRemain", message="pod x does not end"))

    [event] = events(emptying, contracting)
    assert event.reason == "RetirementContracting"
    [event] = events(emptying, failed)
    assert (event.reason, event.is_warning) == ("RetirementFailed", True)
    assert "version 0.9.0 is not removed: pod x does not end (PodsRemain)" in event.message


def test_transition_time_changes_only_with_the_condition_status():
    # Given three statuses: waiting, then failed, then ready
    first = after(WAITING)
    second = after(STUCK, previous=first, now=LATER)
    third = after(previous=second, now=LATER)
    at = {one["type"]: one["lastTransitionTime"] for one in second["conditions"]}

    # Then a time changes only with True, False or Unknown
    assert at["Ready"] == "2026-01-01T12:00:00Z"  # False for another reason is still False
    assert at["Stalled"] == "2026-01-01T13:00:00Z"
    assert {one["type"]: one["lastTransitionTime"] for one in third["conditions"]}["Ready"] == "2026-01-01T13:00:00Z"
    assert {one["observedGeneration"] for one in third["conditions"]} == {4}


def test_status_stays_equal_when_nothing_changed():
    first = after()

    assert after(previous=first, now=LATER) == first


def test_error_of_the_operator_keeps_ready():
    failed = after_error(after(), 4, "the API server is away", LATER)

    assert conditions(failed)["Ready"] == ("True", "Serving")
    assert conditions(failed)["Reconciling"] == ("True", "ReconcileFailed")


def test_status_has_every_field_that_the_api_server_would_default() -> None:
    """Otherwise each reconcile would find a difference and write the status again."""
    version = yaml.safe_load(crd.render())["spec"]["versions"][0]
    fields = version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    filled_in = {name for name, field in fields.items() if "default" in field}

    assert filled_in
    assert filled_in <= after(state=SETTLED).keys()
