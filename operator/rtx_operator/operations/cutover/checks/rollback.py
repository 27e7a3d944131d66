"""The checks of RollingBack: the old colour has the traffic again, and what the new version made is taken back."""

from datetime import timedelta

from rtx_operator.api.enums import CutoverPhase as Phase
from rtx_operator.api.enums import Reason
from rtx_operator.diagnosis import diagnose
from rtx_operator.operations.cutover.checks.monitoring import limits_kept, new_colour_lives
from rtx_operator.operations.cutover.checks.shared import drained, no_migration_pod_runs, routed_to
from rtx_operator.operations.cutover.context import CutoverContext
from rtx_operator.operations.jobs import job_done
from rtx_operator.results import Failure, Unmet, Waiting, worst_unmet

REVERSE_TIMEOUT = timedelta(minutes=5)
REFUSED_TIMEOUT = timedelta(seconds=10)  # of the Job: the API server is asked every 5 s
WHOLE_TIMEOUT = timedelta(minutes=1)  # in which old pods that are away may come back
_WAY_OUT = "correct the cause, or set spec to a third version, which then goes forward from here"


def old_colour_is_whole(context: CutoverContext) -> Unmet | None:
    """The old colour has the pods to take the traffic back, where only the user wants that: nothing is wrong.

    A version that fails goes back at once, to however few; so does one that begins to fail while this waits.
    """
    asked_for = context.cutover.reason == Reason.SUPERSEDED and context.executes(context.new)
    if not asked_for or context.old_is_whole or context.waited > WHOLE_TIMEOUT:
        return None
    if context.goes_forward or not context.ready_pods(context.old):
        return None  # fence_names_old says what it waits for
    if isinstance(worst_unmet(context, (new_colour_lives, limits_kept)), Failure):
        return None
    return _too_few_old_pods(context)


def old_colour_can_replace_new(context: CutoverContext) -> Unmet | None:
    """The old colour has enough ready pods for the new ones to end; they end anyway where these may lack their room."""
    if context.cutover.fenced_at is None or context.goes_forward or context.old_is_whole:
        return None
    return None if context.waited > WHOLE_TIMEOUT else _too_few_old_pods(context)


def _too_few_old_pods(context: CutoverContext) -> Waiting:
    old, ready = context.old, len(context.ready_pods(context.old))
    return Waiting(
        f"waiting for pods of version {old.version} in {old.colour}: {ready} of {context.size(old)} ready; version "
        f"{context.new.version} has {len(context.ready_pods(context.new))}"
    )


def fence_names_old(context: CutoverContext) -> Unmet | None:
    if context.went_back:
        return None
    if context.fence_is_gone:
        return Waiting("the database has no fence; the rollback goes on once its data are restored")
    if context.is_foreign:
        return Waiting("the database is another engine's; the rollback goes on once it is this one's")
    is_to_move = context.shows_earlier_data or context.cutover.fenced_at is None
    if not is_to_move and not context.names(context.old) and not context.ready_pods(context.old):
        return _cannot_go_back(context, f"version {context.new.version} goes on executing")
    return Waiting(f"the fence does not name {context.old.colour} as executor again yet")


def routed_to_old(context: CutoverContext) -> Unmet | None:
    if context.selected() is context.old.colour and not context.cutover.fenced_at:
        return None  # it never left
    if context.goes_forward and context.selected() is context.old.colour:
        return None  # it has no endpoints, and the next version does not wait for them
    if context.went_back and not context.ready_pods(context.old):
        return _cannot_go_back(context, "nothing executes orders")
    return routed_to(context, context.old)


def old_colour_serves(context: CutoverContext) -> Unmet | None:
    """A pod of the old colour answers the operator that it executes. Where it always has, it is not asked."""
    if context.cutover.fenced_at is None or context.old_serves or context.goes_forward:
        return None
    if context.fence_is_gone:
        return None  # nothing executes, and fence_names_old says why
    silent = [report for report in context.reports(context.old) if isinstance(report, str)]
    message = (
        f"no pod of version {context.old.version} in {context.old.colour} reports that it executes"
        f"{f': {silent[0]}' if silent else ''}"
    )
    if not context.old_is_down:
        return Waiting(message)
    return Failure(f"{message}; {_WAY_OUT}", Reason.CANNOT_ROLL_BACK)


def _cannot_go_back(context: CutoverContext, meanwhile: str) -> Failure:
    old, diagnosis = context.old, diagnose(context.seen, context.workload(context.old))
    cause = f": {diagnosis.message}" if diagnosis else ""
    return Failure(
        f"no pod of version {old.version} in {old.colour} is ready to go back to{cause}; {meanwhile}; {_WAY_OUT}",
        Reason.CANNOT_ROLL_BACK,
    )


def new_colour_drained(context: CutoverContext) -> Unmet | None:
    return drained(context, context.new) if context.cutover.fenced_at and not context.goes_forward else None


def new_colour_empty(context: CutoverContext) -> Unmet | None:
    deployment = context.deployment_of_revision(context.new)
    if deployment is None or context.size(context.new) == 0:
        return None
    return Waiting(f"the pods of version {context.new.version} end")


def reversed_(context: CutoverContext) -> Unmet | None:
    """The expand migrations are taken back, if the new version cannot have executed; they do no harm if they stay."""
    target = context.desired.of(context.new.colour)
    if target is None or not reverses(context) or context.waited > REVERSE_TIMEOUT:
        return None  # the old version runs on what was added
    if unmet := withdrawn_migration_ended(context):
        return unmet
    if context.seen.refusal_of(target.reverse) and context.waited > REFUSED_TIMEOUT:
        return None  # as above: the next upgrade does not wait for a quota
    unmet = job_done(
        context.seen,
        target.reverse,
        Reason.MIGRATION_FAILED,
        "reverse migration",
        waited=context.waited,
        now=context.now,
    )
    return unmet if isinstance(unmet, Waiting) else None


def withdrawn_migration_ended(context: CutoverContext) -> Unmet | None:
    """No pod runs a migration but those of the Job that reverses it: that one would wait for the other's locks."""
    target = context.desired.of(context.new.colour)
    return no_migration_pod_runs(context, besides=target.reverse["metadata"]["name"] if target else "")


def reverses(context: CutoverContext) -> bool:
    """Whether there may be something to reverse: it migrated, and cannot have executed.

    From Switching on it may have, whatever status says: the status after a move of the fence may have been lost.
    """
    seconds = context.cutover.seconds
    return Phase.MIGRATING in seconds and Phase.SWITCHING not in seconds
