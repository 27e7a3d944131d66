"""The installation as a chain of checks. All are checked each time: only the active release is remembered.

The first check that is not passed is the engine's Ready condition, so the order is the one in which a person would
look for the cause. The chain stays in force after the installation: it is what Ready says of an engine that runs.
"""

from rtx_operator.api.enums import Component, Reason, RestorePhase
from rtx_operator.api.names import REQUIRED_CREDENTIALS, Label, Names
from rtx_operator.decision.context import DecisionContext
from rtx_operator.decision.database import database_durable, database_ready, server_ready
from rtx_operator.decision.earlier_data import earlier_data_hold, earlier_data_migrated
from rtx_operator.decision.fence import fence_to_move
from rtx_operator.desired.state import Workload, job_workload
from rtx_operator.diagnosis import diagnose, lost_pod
from rtx_operator.observation import (
    DEADLINE_EXCEEDED,
    JobEnd,
    Object,
    executes,
    is_ready,
    job_ended,
    replicas,
    revision_of,
)
from rtx_operator.operations.database import database_members
from rtx_operator.results import Check, Failure, Unmet, Waiting


def credentials_exist(context: DecisionContext) -> Unmet | None:
    """Every Secret exists, with every key that is needed, as text."""
    desired = context.desired
    if lost := desired.lost_secrets:
        namespace, label = context.engine.namespace, f"{Label.ENGINE}={context.engine.name}"
        names = " ".join(lost)
        create = f"for s in {names}; do kubectl create secret generic $s -n {namespace}; done"
        return Failure(
            f"missing while a volume has its passwords: Secret {names}. Restore it from a backup, or from the "
            "environment of the pods that still run. To have new passwords generated instead, which restarts every pod "
            f"and ends every session: {create}; kubectl label secret {names} -n {namespace} {label}",
            Reason.CREDENTIALS_LOST,
        )
    if desired.lost_keys:
        key, secret = desired.lost_keys[0]
        names = ", ".join(f"{key} of Secret {secret}" for key, secret in desired.lost_keys)
        patch = f"""'{{"stringData":{{"{key}":"VALUE"}}}}'"""
        return Failure(
            f"missing while a volume has this password: {names}. Put its value back, from a backup or from the "
            "environment of the database's pod; another value changes the password, which restarts the database: "
            f"kubectl patch secret {secret} -n {context.engine.namespace} -p {patch}",
            Reason.CREDENTIALS_LOST,
        )
    if desired.unreadable_keys:
        return Failure(
            f"{', '.join(desired.unreadable_keys)} is not text in UTF-8; correct the value", Reason.CREDENTIALS_MISSING
        )
    return _credentials_given(desired.credentials_name, context.seen.credentials)


def _credentials_given(name: str, secret: Object | None) -> Unmet | None:
    """The Secret of spec.credentialsSecretRef has every key that is needed."""
    if not name:
        return None
    if secret is None:
        return Failure(
            f"Secret {name}, named by spec.credentialsSecretRef, does not exist in this namespace; create it, or leave "
            "spec.credentialsSecretRef out to have credentials generated",
            Reason.CREDENTIALS_MISSING,
        )
    missing = [key for key in REQUIRED_CREDENTIALS if not (secret.get("data") or {}).get(key)]
    if not missing:
        return None
    return Failure(f"Secret {name} lacks {', '.join(missing)}; add what is missing", Reason.CREDENTIALS_MISSING)


def no_restore_runs(context: DecisionContext) -> Unmet | None:
    """No order is executed while the data are restored; until then one that only waits, or checks, disturbs nobody."""
    restore = context.state.restore_under_way
    if restore is None or restore.phase in {RestorePhase.PENDING, RestorePhase.VALIDATING}:
        return None
    return Waiting(f"orders get 503: restore {restore.name} of the database is {restore.phase}", Reason.RESTORING)


def cache_ready(context: DecisionContext) -> Unmet | None:
    """Asked of the first installation only: an engine that has served goes on without its cache (cache.py)."""
    if context.desired.has_served:
        return None
    return server_ready(context, context.desired.cache, Reason.CACHE_STARTING, "the cache")


def database_answers(context: DecisionContext) -> Unmet | None:
    """The database serves the operator's role."""
    report = context.seen.database
    if report is not None and not report.error:
        return None
    cause = report.error if report else "it was not queried yet"
    since = f" since {report.silent_since:%H:%M:%S} UTC" if report and report.silent_since else ""
    pod = _primary(context)
    return Waiting(
        f"pod {pod} of the database is ready but does not serve the operator{since}: {cause}; see kubectl logs {pod}",
        Reason.DATABASE_UNREACHABLE,
    )


def _primary(context: DecisionContext) -> str:
    """The name of the database's pod that leads; of the first one while none does."""
    primary = database_members(context.seen, Names(context.engine.name)).primary
    return primary.name if primary else f"{context.desired.database.name}-0"


def database_gets_on(context: DecisionContext) -> Unmet | None:
    """The primary writes its log: one whose disk hangs is ready, and answers what it need not write down."""
    since = context.seen.database.stuck_since if context.seen.database else None
    if since is None:
        return None
    pod = _primary(context)
    return Waiting(
        f"pod {pod} of the database is ready, and orders have waited in it since {since:%H:%M:%S} UTC: it writes no "
        f"log. See the disk of its node; kubectl delete pod {pod} has another server take over, if there is one",
        Reason.DATABASE_STUCK,
    )


def database_has_passwords(context: DecisionContext) -> Unmet | None:
    """The database was made with the passwords of today: a new engine pod would be refused by another one."""
    database = context.desired.servers[Component.DATABASE]
    if database.has_credentials:
        return None
    if database.password_conflict:
        return Waiting(database.password_conflict, Reason.CREDENTIALS_MISSING)
    made = context.state.servers.get(Component.DATABASE)
    if made and not database.asked.differs_from(made.asked):
        pod = _primary(context)
        return Waiting(
            f"pod {pod} was started with passwords that were changed back since: kubectl delete pod {pod} "
            f"-n {context.engine.namespace}",
            Reason.DATABASE_STARTING,
        )
    failed = f", which failed: {made.failed.message}" if made and made.failed else ""
    return Waiting(f"the database gets its new passwords first, by its maintenance{failed}", Reason.DATABASE_STARTING)


def database_is_ours(context: DecisionContext) -> Unmet | None:
    fence = context.fence
    if fence is None or context.owner.owns(fence):
        return None
    return Failure(
        f"the database belongs to the TradingEngine {fence.owner}; give this one a database of its own",
        Reason.DATABASE_IN_USE,
    )


def database_has_its_data(context: DecisionContext) -> Unmet | None:
    """The fence is there, if it ever was: an empty database is not installed into."""
    if not context.lost_its_fence:
        return None
    claim = context.desired.servers[Component.DATABASE].claims[0]
    return Failure(
        "the database answers and has no fence, although this engine has served: its data are gone, or it runs on "
        f"another volume. Nothing is installed into it. Restore the volume of PersistentVolumeClaim {claim}, or its "
        "data, from a backup. To give the data up and begin anew: delete the TradingEngine and apply it again",
        Reason.DATA_MISSING,
    )


def fence_names_active(context: DecisionContext) -> Unmet | None:
    """The fence names the active colour, or one of the two of a cutover: pods of either forward to it."""
    cutover, fence = context.cutover, context.fence
    if cutover and any(executes(fence, [release]) for release in (cutover.from_, cutover.to)):
        return None
    if not fence_to_move(context):
        return None
    return Waiting(
        f"the fence does not name colour {context.desired.active.colour} as executor yet; moving it",
        Reason.FENCE_MOVING,
    )


def no_older_pod_executes(context: DecisionContext) -> Unmet | None:
    """No pod of an earlier installation may execute when this one migrates: its Job runs contract migrations too."""
    fence, active = context.fence, context.desired.active
    if context.is_installed or fence is None or active.colour.value not in fence.executors:
        return None
    for pod in context.seen.alive(context.desired.engine.pods):
        may_execute = is_ready(pod) or pod["metadata"].get("deletionTimestamp")
        if may_execute and revision_of(pod) != active.revision.hash:
            name = pod["metadata"]["name"]
            return Waiting(
                f"waiting for pod {name} of an earlier installation to end; if its node is gone for good: "
                f"kubectl delete pod {name} --force",
                Reason.TERMINATING,
            )
    return None


def migrated(context: DecisionContext) -> Unmet | None:
    """The install Job is complete; of an engine that is installed nothing is asked."""
    if context.is_installed:
        return None
    name = context.desired.active.install["metadata"]["name"]
    job = context.seen.child("Job", name)
    if job_ended(job, JobEnd.COMPLETE):
        return None
    failed = job_ended(job, JobEnd.FAILED)
    if failed and not exceeded_its_deadline(job):
        return Failure(
            f"migration Job {name} failed ({failed.get('message', 'no detail given')}); see kubectl logs job/{name}, "
            "correct the cause and delete the Job to retry",
            Reason.MIGRATION_FAILED,
        )
    again = " (it exceeded its deadline and is created again)" if failed else ""
    workload = job_workload(context.desired.active.install)
    failure = lost_pod(context.seen, workload, context.now) or diagnose(context.seen, workload)
    return failure or Waiting(f"waiting for migration Job {name} to end{again}", Reason.MIGRATING)


def exceeded_its_deadline(job: Object | None) -> bool:
    """Its deadline ended it, perhaps before it ever ran for want of an image: that is no verdict on the migration."""
    failed = job_ended(job, JobEnd.FAILED)
    return failed is not None and failed.get("reason") == DEADLINE_EXCEEDED


def engine_ready(context: DecisionContext) -> Unmet | None:
    """The first time all pods must be ready; later on the engine serves as long as one of them is."""
    workload, minimum = _executing(context), context.desired.minimum
    size, ready = replicas(context.seen.child(workload.kind, workload.name))
    if ready >= (1 if context.is_installed else max(minimum, size)):
        return None
    return diagnose(context.seen, workload) or Waiting(
        f"waiting for the engine: {ready} of {max(minimum, size)} pods ready", Reason.ENGINE_STARTING
    )


def _executing(context: DecisionContext) -> Workload:
    """The Deployment whose pods execute: the active colour's, or in a cutover that of the colour the fence names."""
    cutover, desired = context.cutover, context.desired
    if cutover and executes(context.fence, [cutover.to]):
        return desired.traffic[cutover.to.colour].workload
    return desired.engine


def live_service_has_endpoints(context: DecisionContext) -> Unmet | None:
    service = context.desired.live_service
    if context.seen.serving(service):
        return None
    return Waiting(f"Service {service} has no ready endpoint yet", Reason.ENDPOINTS_PENDING)


BEFORE_MIGRATION: tuple[Check[DecisionContext], ...] = (
    credentials_exist,
    database_ready,
    cache_ready,
    database_answers,
    database_is_ours,
    database_has_its_data,
    database_durable,
    earlier_data_migrated,
    fence_names_active,
    no_older_pod_executes,
)
# What a cutover or a retirement needs. Engine pods start and serve without the cache.
BEFORE_OPERATIONS: tuple[Check[DecisionContext], ...] = (
    credentials_exist,
    database_ready,
    database_answers,
    database_is_ours,
    database_has_its_data,
    earlier_data_hold,
    fence_names_active,
    no_older_pod_executes,
    database_has_passwords,
)
BEFORE_COLOUR: tuple[Check[DecisionContext], ...] = (*BEFORE_MIGRATION, migrated)
READY: tuple[Check[DecisionContext], ...] = (
    no_restore_runs,
    *BEFORE_COLOUR,
    database_gets_on,
    engine_ready,
    live_service_has_endpoints,
)
