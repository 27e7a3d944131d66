"""From a TradingEngine's spec, and what it already made, to the desired state that the decision works on. Pure.

The objects of a colour are built from its own record, made when the colour was: a running colour is repaired as it
was, and never changed into something else, whatever spec or the templates say by now.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from rtx_operator import desired
from rtx_operator.api import sizes
from rtx_operator.api.engine import OperatorTooOldError, TradingEngine, UnknownActiveError
from rtx_operator.api.enums import Colour, Component, RestorePhase, RetirementPhase
from rtx_operator.api.names import CredentialKey, InternalKey
from rtx_operator.api.status import Cutover, TradingEngineStatus
from rtx_operator.desired import BuildInput, Fingerprints, Record, RevisionSpec, backup
from rtx_operator.desired.image import resolved
from rtx_operator.desired.passwords import fingerprint_of, secret_of
from rtx_operator.desired.pods import credentials_of
from rtx_operator.desired.record import KIND, recorded
from rtx_operator.desired.restore import DesiredRestore, desired_restore
from rtx_operator.desired.served import has_served
from rtx_operator.desired.servers import database_plan, database_volumes, desired_servers
from rtx_operator.desired.state import (
    DesiredColour,
    DesiredServer,
    DesiredState,
    Revision,
    TrafficObjects,
    Workload,
)
from rtx_operator.observation import JobEnd, Object, Observation, job_ended
from rtx_operator.settings import Settings

FIRST_COLOUR = Colour.BLUE


def build(engine: TradingEngine, seen: Observation, settings: Settings, seed: bytes, now: datetime) -> DesiredState:
    """The desired state of an engine; `seed` is 32 random bytes, of which missing credentials are made.

    `now` says which certificates are to be renewed.

    Raises UnknownActiveError, and OperatorTooOldError.
    """
    _refuse_newer_fence(seen)
    inputs = inputs_of(engine, seen, settings)
    passwords = _passwords(inputs, seen, seed, _incarnation(engine.status))
    inputs = replace(inputs, fingerprints=passwords.fingerprints)
    status = engine.status
    colour = status.active.colour if status.active else FIRST_COLOUR
    wanted = desired.wanted_revision(engine, inputs, seen)
    running = _running(status, inputs, wanted, seen)
    cutover = _under_way(status)
    cutover_id = cutover.id if cutover else ""
    given = engine.spec.credentials_secret_ref
    servers = desired_servers(inputs, status, seen)
    desired.refuse_unknown_server(engine, servers.values())
    passwords_of = _PasswordsOf(inputs, seen, servers[Component.DATABASE])
    instances = database_plan(inputs, seen)
    names, size = inputs.names, sizes.replica_range(engine.spec.environment, engine.spec.scaling)
    return DesiredState(
        active=_colour(passwords_of(colour, running), colour, running, cutover_id, _epoch_before(status)),
        idle=_idle(passwords_of, status, colour, wanted),
        traffic={one: _traffic(inputs, one) for one in Colour},
        wanted=Revision(wanted.version, wanted.digest or None, wanted.config_hash, wanted.hash),
        is_refreshable=running.revision == wanted.hash
        and not running.makes_the_pods_of(desired.rendered(inputs, colour, wanted)),
        base_objects=(
            *passwords.secrets,
            *_backups(inputs, seen, passwords.secrets, servers[Component.DATABASE], seed, now),
            *(_schedule(inputs, status, servers[Component.DATABASE]) if passwords.secrets else ()),
            *desired.base_objects(inputs, instances),
            *_kept(status, servers.values()),
        ),
        borrowed_revision=_borrowed_revision(inputs, status, seen),
        servers=servers,
        instances=instances,
        backup_folder=_backup_folder(inputs, passwords.secrets),
        restore=_restore(inputs, status, servers[Component.DATABASE]),
        live_service=names.live_service,
        credentials_name=given.name if given else "",
        lost_secrets=passwords.lost,
        lost_keys=passwords.lost_keys,
        unreadable_keys=passwords.unreadable,
        has_served=status.active is not None or has_served(inputs.names, inputs.uid, seen),
        minimum=size.minimum,
        maximum=size.maximum,
    )


def _backups(
    inputs: BuildInput,
    seen: Observation,
    secrets: Sequence[Object],
    database: DesiredServer,
    seed: bytes,
    now: datetime,
) -> Iterator[Object]:
    """What backups need. A database that sends its log keeps the repository, also once spec asks for no backups."""
    if not secrets or not (_serves_backups(database) or backup.backs_up(inputs)):
        return
    live = seen.child("Secret", inputs.names.backup)
    yield backup.backup_secret(inputs, live, seed, now)
    yield from backup.repository_objects(inputs, desired.secret_values(secrets[0]), database.image)


def _schedule(inputs: BuildInput, status: TradingEngineStatus, database: DesiredServer) -> list[Object]:
    """The CronJobs of backups, once the database serves them; none begins while it is restored."""
    if not (_serves_backups(database) and backup.backs_up(inputs)):
        return []
    restore = status.restore
    suspended = restore is not None and not restore.phase.is_terminal and restore.phase is not RestorePhase.PENDING
    return backup.cron_jobs(inputs, database.image, suspended=suspended)


def _serves_backups(database: DesiredServer) -> bool:
    return any(backup.serves_backups(one) for one in database.kept if one["kind"] == "StatefulSet")


def _backup_folder(inputs: BuildInput, secrets: Sequence[Object]) -> str:
    return backup.backup_folder(inputs, desired.secret_values(secrets[0])) if secrets else ""


def _restore(inputs: BuildInput, status: TradingEngineStatus, database: DesiredServer) -> DesiredRestore | None:
    restore = status.restore
    under_way = restore is not None and not restore.phase.is_terminal and bool(restore.folder)
    return desired_restore(inputs, restore, database.image) if restore and under_way else None


@dataclass(frozen=True, slots=True)
class _PasswordsOf:
    """The input for a colour, with the fingerprint of its passwords."""

    inputs: BuildInput
    seen: Observation
    database: DesiredServer

    def __call__(self, colour: Colour, record: Record) -> BuildInput:
        """Its pods are replaced for new passwords once the database has them, not before: it would refuse them.

        Pods of another Secret than spec names keep what they have: what is in that one is not theirs.
        """
        live = self.seen.child("Deployment", self.inputs.names.colour(colour))
        template = record.deployment["template"]
        is_theirs = secret_of(template) in {"", self.inputs.credentials}
        if live is None or (is_theirs and self.database.has_password):
            taken = fingerprint_of(template, self.inputs.fingerprints)
        else:
            taken = credentials_of(live["spec"]["template"])
        return replace(self.inputs, fingerprints=replace(self.inputs.fingerprints, engine=taken))


def wanted_revision(engine: TradingEngine, seen: Observation, settings: Settings) -> str:
    """The hash of the revision that the spec asks for. Raises OperatorTooOldError."""
    return desired.wanted_revision(engine, inputs_of(engine, seen, settings), seen).hash


def _kept(status: TradingEngineStatus, servers: Iterable[DesiredServer]) -> Iterator[Object]:
    """The objects of servers to repair; of one whose pod a maintenance replaces only what records either revision."""
    maintenance = status.maintenance
    for server in servers:
        is_replaced = maintenance and maintenance.component is server.component and maintenance.phase.replaces_pod
        yield from server.kept[:1] if is_replaced else server.kept


def _refuse_newer_fence(seen: Observation) -> None:
    schema = seen.database.schema if seen.database else None
    if schema and schema.is_too_new:
        raise OperatorTooOldError(f"the version of the fence's schema in the database is {schema.version}")


def _running(status: TradingEngineStatus, inputs: BuildInput, wanted: RevisionSpec, seen: Observation) -> Record:
    """What the active colour runs, or is to run first. What spec asks for now never stands in for what runs."""
    if status.active is None:
        recorded_first = recorded(inputs.names, seen, FIRST_COLOUR, wanted.hash)
        first = recorded_first or desired.rendered(inputs, FIRST_COLOUR, wanted)
        install = _install(inputs, first)
        has_migrated = job_ended(seen.child("Job", install["metadata"]["name"]), JobEnd.COMPLETE)
        return replace(first, pin=first.pin or (resolved(seen, install) if has_migrated else ""))
    record = _record(inputs, status.active.colour, status.active.revision, wanted, seen)
    if record is None:
        raise UnknownActiveError(
            f"the {KIND} that records version {status.active.version} (revision {status.active.revision}), "
            "which runs, is gone, and so is its Deployment: nothing is changed; restore one of them from a backup, or "
            "set spec to what that version had"
        )
    return replace(record, pin=record.pin or _digest_of_tag(record, status.active.digest))


def _digest_of_tag(record: Record, digest: str | None) -> str:
    """The digest in status, if the image of the record has none of its own."""
    return digest or "" if not record.by_tag.digest else ""


def _install(inputs: BuildInput, record: Record) -> Object:
    return desired.migration_job(inputs, record.by_tag, "up")


def _under_way(status: TradingEngineStatus) -> Cutover | None:
    """The cutover that has a colour. One in Pending or BackingUp has none yet: what is kept there stays as it is."""
    cutover = status.cutover
    return cutover if cutover and cutover.phase.has_colour else None


def _idle(
    passwords_of: _PasswordsOf, status: TradingEngineStatus, active: Colour, wanted: RevisionSpec
) -> DesiredColour | None:
    cutover = _under_way(status)
    if cutover:
        release = cutover.to if cutover.to.colour is not active else cutover.from_
        revision = release.revision
    elif status.previous:
        revision = status.previous.revision
    elif status.retirement and status.retirement.phase is not RetirementPhase.SUCCEEDED:
        revision = status.retirement.release.revision
    else:
        return None
    record = _record(passwords_of.inputs, active.other, revision, wanted, passwords_of.seen)
    if record and cutover and cutover.digest is not None and revision == cutover.to.revision:
        record = replace(record, pin=cutover.digest)
    if record is None:
        return None
    inputs, known = passwords_of(active.other, record), _epoch_before(status)
    cutover_id = cutover.id if cutover else ""
    colour = _colour(inputs, active.other, record, cutover_id, known)
    # The pods of a release that was found running are not replaced: what they run migrates.
    was_found = status.previous is not None and status.previous.adopted and status.previous.revision == revision
    return replace(colour, migrate=_migrate(inputs, record, cutover_id)) if was_found else colour


def _borrowed_revision(inputs: BuildInput, status: TradingEngineStatus, seen: Observation) -> tuple[Object, ...]:
    cutover, previous = _under_way(status), status.previous
    if not cutover or not previous or previous.revision in {cutover.to.revision, cutover.from_.revision}:
        return ()
    record = recorded(inputs.names, seen, previous.colour, previous.revision)
    return (desired.controller_revision(inputs, previous.colour, record),) if record else ()


def _record(
    inputs: BuildInput, colour: Colour, revision: str, wanted: RevisionSpec, seen: Observation
) -> Record | None:
    """The record of the revision in the colour: as it was made, else as it runs; else a new one if spec asks for it."""
    record = recorded(inputs.names, seen, colour, revision) or desired.running(inputs, colour, revision, wanted, seen)
    if record:
        return record
    return desired.rendered(inputs, colour, wanted) if wanted.hash == revision else None


def _colour(inputs: BuildInput, colour: Colour, record: Record, cutover_id: str, known_epoch: int) -> DesiredColour:
    """`known_epoch` names the Job that is needed once more whenever the data are of an earlier one."""
    return DesiredColour(
        colour=colour,
        revision=Revision(record.version, record.digest or None, record.config_hash, record.revision, record.image),
        objects=tuple(desired.colour_children(inputs, colour, record)),
        install=_install(inputs, record),
        migrate=_migrate(inputs, record.by_tag, cutover_id),
        reverse=desired.migration_job(inputs, record, "down", cutover=cutover_id),
        contract=desired.migration_job(inputs, record, "up", "--half", "contract"),
        renew=_migrate(inputs, record, f"after-epoch-{known_epoch}"),
    )


def _epoch_before(status: TradingEngineStatus) -> int:
    """The epoch that names the Job for earlier data: it keeps its name until it has run, also once the fence moved."""
    if status.earlier_data:
        return status.earlier_data.epoch
    return status.active.epoch if status.active else 0


def _migrate(inputs: BuildInput, record: Record, cutover_id: str) -> Object:
    return desired.migration_job(inputs, record, "up", "--half", "expand", cutover=cutover_id)


def _traffic(inputs: BuildInput, colour: Colour) -> TrafficObjects:
    select, *scaling = desired.traffic_children(inputs, colour)
    workload = Workload("Deployment", inputs.names.colour(colour), inputs.names.selector(Component.ENGINE, colour))
    return TrafficObjects(select, tuple(scaling), workload)


def inputs_of(engine: TradingEngine, seen: Observation, settings: Settings) -> BuildInput:
    """What the builders need to know of an engine."""
    return BuildInput(
        namespace=engine.namespace,
        name=engine.name,
        uid=engine.uid,
        spec=engine.spec,
        postgres_image=settings.postgres_image,
        redis_image=settings.redis_image,
        operator_namespace=settings.namespace,
        refresh=engine.refresh,
        orders_metric=seen.orders_metric_served,
    )


@dataclass(frozen=True, slots=True)
class _Passwords:
    """The Secrets to apply, and the fingerprints of what is in them; neither while a password is lost or unreadable."""

    secrets: tuple[Object, ...] = ()
    fingerprints: Fingerprints = field(default_factory=Fingerprints)
    lost: tuple[str, ...] = ()
    lost_keys: tuple[tuple[str, str], ...] = ()  # key, Secret
    unreadable: tuple[str, ...] = ()


def _incarnation(status: TradingEngineStatus) -> str:
    """What names the folder in the repository from now on; empty: what it has. Restored data begin a new one."""
    restore = status.restore
    return restore.id if restore and restore.phase is RestorePhase.SWAPPING else ""


def _passwords(inputs: BuildInput, seen: Observation, seed: bytes, incarnation: str) -> _Passwords:
    """Secrets that exist are kept key by key. One is generated only while no volume has passwords that it held."""
    names, generated = inputs.names, inputs.credentials_are_generated
    internal, credentials = seen.child("Secret", names.internal), seen.child("Secret", names.credentials)
    live = {names.internal: internal, **({names.credentials: credentials} if generated else {})}
    volumes = database_volumes(inputs, seen)
    lost = tuple(name for name, secret in live.items() if secret is None and volumes)
    keys = {names.internal: InternalKey, names.credentials: CredentialKey}
    lost_keys = tuple(
        (key, name) for name, secret in live.items() for key in desired.lost(secret, keys[name], volumes=volumes)
    )
    used = live if generated else {**live, inputs.credentials: seen.credentials}
    unreadable = tuple(f"{key} of Secret {name}" for name, secret in used.items() for key in desired.unreadable(secret))
    if lost or lost_keys or unreadable:
        return _Passwords(lost=lost, lost_keys=lost_keys, unreadable=unreadable)
    secrets = desired.secrets(inputs, internal, credentials, seed, incarnation)
    of_name = {secret["metadata"]["name"]: secret for secret in secrets}
    in_use = of_name[names.credentials] if generated else seen.credentials
    return _Passwords(tuple(secrets), desired.fingerprints(of_name[names.internal], in_use))
