"""Everything about each phase of a retirement, in one table."""

from collections.abc import Mapping
from types import MappingProxyType

from rtx_operator.api.enums import RetirementPhase as Phase
from rtx_operator.operations.machine import Event, PhaseRow, PhaseTable, every
from rtx_operator.operations.retirement import actions, checks
from rtx_operator.operations.retirement.context import EMPTYING_TIMEOUT, RetirementContext

_GIVEN_UP: Mapping[Event, Phase] = {Event.FAILED: Phase.FAILED, Event.EXPIRED: Phase.FAILED}

PHASES: PhaseTable[Phase, PhaseRow[Phase, RetirementContext]] = PhaseTable(
    first=Phase.EMPTYING,
    event_fields=frozenset({"id", "old", "new", "colour", "message", "reason"}),
    rows=MappingProxyType({
        Phase.EMPTYING: PhaseRow(
            ways={Event.DONE: Phase.CONTRACTING, **_GIVEN_UP},
            event_text="version {old} is no longer kept: its pods in {colour} end",
            checks=(checks.active_serves, checks.no_pod_left, checks.no_job_of_an_earlier_try),
            action=actions.empty,
            deadline=lambda _: EMPTYING_TIMEOUT,  # from when its pods may be asked to end (record.py)
            is_stuck=lambda context: context.is_stuck,
            requeue=every(5.0),
        ),
        Phase.CONTRACTING: PhaseRow(
            ways={Event.DONE: Phase.SUCCEEDED, **_GIVEN_UP},
            event_text="the contract migrations of version {new} run",
            checks=(checks.active_serves, checks.no_pod_left_to_run_beside, checks.contracted),
            action=actions.contract,
            deadline=lambda rollout: rollout.migration_timeout,
            requeue=every(5.0),
        ),
        Phase.SUCCEEDED: PhaseRow(
            ways={},
            event_text="version {old} is removed",
        ),
        Phase.FAILED: PhaseRow(
            ways={},
            event_text="version {old} is not removed: {message} ({reason}); the next upgrade does not wait for it",
            is_warning=True,
        ),
    }),
)  # fmt: skip
