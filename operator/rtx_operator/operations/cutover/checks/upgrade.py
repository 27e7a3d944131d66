"""The way forward: the checks of Pending to Switching, and of Promoting."""

from datetime import timedelta

from rtx_operator.api.enums import BackupPhase, Reason
from rtx_operator.diagnosis import diagnose
from rtx_operator.operations.cutover.checks.shared import (
    RETRY_FOR,
    no_migration_pod_runs,
    routed_to,
    smoke_tests_pass,
)
from rtx_operator.operations.cutover.context import CutoverContext
from rtx_operator.operations.jobs import GIVE_UP_AFTER, job_done
from rtx_operator.pod_reports import is_same_version
from rtx_operator.results import Check, Failure, Unmet, Waiting, worst_unmet

# Pods that start and end leave their nodes busy for a moment (sandboxes, networks, policies): no switch falls into it.
SETTLE_TIME = timedelta(seconds=2)


# --- Pending ---------------------------------------------------------------------------------------------------------


def nothing_holds(context: CutoverContext) -> Unmet | None:
    """The engine's installation is in order: no migration runs on a database that is not."""
    return Waiting(context.held) if context.held else None


def backups_have_moved(context: CutoverContext) -> Unmet | None:
    """No backup can be made in a repository to which the database does not send its log yet."""
    if context.goes_back or not (context.begins_with_backup and context.backups_are_to_move):
        return None
    return Waiting(
        "waiting for the maintenance that restarts the database with the access to the repository that spec.backup "
        "names; without a backup: set spec.rollout.backup.mode to Skipped",
        Reason.BACKUP_UNPREPARED,
    )


def no_migration_runs(context: CutoverContext) -> Unmet | None:
    """No pod of an earlier migration Job may still run, whatever became of its Job."""
    return no_migration_pod_runs(context)


def slot_is_free(context: CutoverContext) -> Unmet | None:
    """Fewer engines than MAX_CUTOVERS are in a cutover; going back to the release that is kept waits for none."""
    if context.seen.cutover_slot or context.goes_back:
        return None
    others = context.seen.cutovers_elsewhere
    if others is None:
        return Waiting("waiting until the operator, which has just started, knows all engines", Reason.FLEET_BUSY)
    return Waiting(
        f"{others} other engines are being upgraded, as many as MAX_CUTOVERS of the operator allows; this one waits",
        Reason.FLEET_BUSY,
    )


# --- BackingUp -------------------------------------------------------------------------------------------------------


def backed_up(context: CutoverContext) -> Unmet | None:
    """A backup that was made for this upgrade is in the repository, with the log that it needs."""
    if not context.begins_with_backup:
        return None  # spec has changed since
    name, backup = context.wanted_backup["metadata"]["name"], context.backup
    status = (backup or {}).get("status") or {}
    if status.get("phase") == BackupPhase.SUCCEEDED:
        return None
    said = status.get("message") or "it has not begun"
    if status.get("phase") == BackupPhase.FAILED:
        return Failure(f"backup {name} failed: {said}; see kubectl describe teb {name}", Reason.BACKUP_FAILED)
    return context.seen.refusal_of(context.wanted_backup) or Waiting(f"waiting for backup {name}: {said}")


# --- Migrating -------------------------------------------------------------------------------------------------------


def migrated(context: CutoverContext) -> Unmet | None:
    target = context.desired.of(context.new.colour)
    if target is None:
        return Failure(f"no revision of version {context.new.version} is recorded any more", Reason.SUPERSEDED)
    return job_done(
        context.seen, target.migrate, Reason.MIGRATION_FAILED, "migration", waited=context.waited, now=context.now
    )


# --- Provisioning, and again before the switch -----------------------------------------------------------------------


def new_colour_ready(context: CutoverContext) -> Unmet | None:
    """As many ready pods as the active colour has now, and none of another revision left that would execute, too."""
    new, wanted = context.new, context.size_needed
    ready, others = len(context.ready_pods(new)), context.pods_of_other_revisions(new)
    if ready >= wanted and context.size(new) >= wanted and not others:
        return None
    diagnosis = context.refusal or diagnose(context.seen, context.workload(new))
    has_had_its_time = context.waited > GIVE_UP_AFTER and (context.refusal or not context.all_are_new(new))
    if diagnosis and has_had_its_time:
        return diagnosis
    message = f"waiting for version {new.version} in {new.colour}: {ready} of {wanted} pods ready"
    if others and not diagnosis:
        return Waiting(f"{message}, and pod {others[0]} of another revision in {new.colour} has not ended")
    return Waiting(f"{message}; {diagnosis.message}" if diagnosis else message)


def new_colour_has_passwords(context: CutoverContext) -> Unmet | None:
    """Pods that were kept since before a change of passwords are replaced first: the database refuses them."""
    if others := context.pods_with_old_passwords(context.new):
        return Waiting(f"waiting for pod {others[0]}, which has old passwords, to be replaced")
    return None


# --- Testing ---------------------------------------------------------------------------------------------------------


def old_pods_reach_new(context: CutoverContext) -> Unmet | None:
    """Each old pod reports that it reaches the new colour: it will have to forward requests."""
    for pod in context.ready_pods(context.old):
        name = pod["metadata"]["name"]
        answer = context.seen.reach.get(name)
        if answer is None:
            return Waiting(f"pod {name} has not answered yet whether it reaches the {context.new.colour} pods")
        cause = answer if isinstance(answer, str) else answer.error or "it gives no cause"
        if isinstance(answer, str) or not answer.reaches:
            message = f"pod {name} does not reach the {context.new.colour} pods: {cause}"
            return _after_retries(context, message, Reason.PEERS_UNREACHABLE)
    return None


def pods_are_of_version(context: CutoverContext) -> Unmet | None:
    """Each new pod reports the version that it was made for: a tag may lead to another build."""
    version = context.new.version
    for pod in context.ready_pods(context.new):
        name = pod["metadata"]["name"]
        report = context.seen.engines.get(name)
        if report is None:
            return Waiting(f"pod {name} has not reported its version yet")
        if isinstance(report, str):
            return _after_retries(context, f"pod {name} does not report its version: {report}", Reason.NOT_READY)
        if not is_same_version(report.version, version):
            return Failure(
                f"pod {name} reports version {report.version}, not {version}: its image is another build than "
                "spec.version says; push the right image, or correct spec.version or spec.image",
                Reason.WRONG_VERSION,
            )
    return None


def smoke_passes(context: CutoverContext) -> Unmet | None:
    """Each smoke test of the spec was run anew for this reconcile and passed."""
    return smoke_tests_pass(context, context.waited)


def nodes_settled(context: CutoverContext) -> Unmet | None:
    seconds = SETTLE_TIME.total_seconds()
    return (
        Waiting(f"waiting {seconds:.0f} s for nodes to settle before the switch")
        if context.waited < SETTLE_TIME
        else None
    )


def _after_retries(context: CutoverContext, message: str, reason: Reason) -> Unmet:
    return Failure(message, reason) if context.waited > RETRY_FOR else Waiting(message)


SWITCH_GATES: tuple[Check[CutoverContext], ...] = (
    new_colour_ready,
    pods_are_of_version,
    old_pods_reach_new,
    smoke_passes,
)


# --- Switching -------------------------------------------------------------------------------------------------------


def fence_names_new(context: CutoverContext) -> Unmet | None:
    if context.executes(context.new):
        return None
    gate = worst_unmet(context, SWITCH_GATES)
    return gate or Waiting(f"the fence does not name {context.new.colour} as executor yet")


def routed_to_new(context: CutoverContext) -> Unmet | None:
    """The live Service leads to the new colour and nowhere else."""
    if context.executes(context.new) and not context.ready_pods(context.new):
        return Failure(f"no pod of version {context.new.version} is ready any more", Reason.NOT_READY)
    return routed_to(context, context.new)


# --- Promoting -------------------------------------------------------------------------------------------------------


def promoted(context: CutoverContext) -> Unmet | None:
    """The autoscaler scales the new colour."""
    elsewhere = context.autoscaler_elsewhere(context.new)
    if not elsewhere:
        return None
    refusal = context.seen.refusal_of(*elsewhere)
    if refusal:
        return refusal if context.waited > GIVE_UP_AFTER else Waiting(refusal.message)
    autoscaler = elsewhere[0]
    return Waiting(f"{autoscaler['kind']} {autoscaler['metadata']['name']} does not scale {context.new.colour} yet")
