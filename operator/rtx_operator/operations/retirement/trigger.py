"""When a retirement begins: the previous release's time is over, or what made the last retirement fail may be over."""

from dataclasses import replace
from datetime import timedelta

from rtx_operator.api.enums import Reason
from rtx_operator.api.enums import RetirementPhase as Phase
from rtx_operator.api.status import FailedTry, Release, Retirement
from rtx_operator.operations.machine import OperationInput
from rtx_operator.operations.record import noted
from rtx_operator.operations.retirement.context import is_down, still_needed
from rtx_operator.operations.state import PersistedState

# A cause that passes by itself (a node that is away, an image that cannot be pulled) is tried again after this.
RETRY_PAUSE = timedelta(minutes=10)


def trigger(state: PersistedState, given: OperationInput) -> PersistedState | None:
    """The state with a new retirement in Emptying, or with why none begins that is due; None when nothing changes."""
    previous, failed = state.previous, state.retirement
    if given.held:
        return None
    is_due = previous is not None and given.now >= previous.retire_after
    needed = still_needed(given.desired) if is_due and is_down(given.desired, given.seen) else ""
    if previous and (needed or not is_due):
        kept = noted(previous, message=needed)
        return replace(state, previous=kept) if kept is not previous else None
    if previous:
        release = Release(colour=previous.colour, version=previous.version, revision=previous.revision)
        # `previous` goes once the record is read back (record.py): a CRD without status.retirement loses neither.
        return replace(state, retirement=_begun(release, given, None))
    is_left = failed is not None and failed.release.colour is not given.desired.active.colour
    if previous is None and failed and is_left and failed.phase is Phase.FAILED and _may_be_retried(failed, given):
        return replace(state, retirement=_begun(failed.release, given, _why(failed)))
    return None


def _why(failed: Retirement) -> FailedTry | None:
    """Why it failed; of one that gave way to a cutover, why the try before it did."""
    if failed.reason == Reason.SUPERSEDED:
        return failed.last_try
    return FailedTry(reason=failed.reason, message=failed.message)


def _may_be_retried(failed: Retirement, given: OperationInput) -> bool:
    """Somebody deleted the failed Job, or gave the retry annotation a value that no cutover has taken for itself.

    Other causes pass by themselves.
    """
    if given.engine.retry != failed.retry and given.engine.status.rejected is None:
        return True
    if failed.reason == Reason.CONTRACT_FAILED:
        return given.seen.child("Job", given.desired.active.contract["metadata"]["name"]) is None
    return given.now >= failed.since + RETRY_PAUSE


def _begun(release: Release, given: OperationInput, last_try: FailedTry | None) -> Retirement:
    return Retirement(
        id=given.operation_id,
        phase=Phase.EMPTYING,
        started_at=given.now,
        since=given.now,
        release=release,
        retry=given.engine.retry,
        last_try=last_try,
    )
