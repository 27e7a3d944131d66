"""Database and cache as they run, by what was recorded when they were made, and as a maintenance would make them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from rtx_operator.api.enums import Component, MaintenancePhase, ServerComponent
from rtx_operator.api.names import MAX_DATABASE_INSTANCES, CredentialKey
from rtx_operator.api.spec import Backup, TradingEngineSpec
from rtx_operator.api.status import Asked, Maintenance, Server, ServerStart, TradingEngineStatus
from rtx_operator.desired.cache.server import cache_configuration, cache_stateful_set
from rtx_operator.desired.check import check_job
from rtx_operator.desired.database.instances import DatabaseFacts, InstancesPlan, plan_instances, servers_now
from rtx_operator.desired.database.server import database_configuration, database_stateful_set
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.passwords import PasswordsToTake, last_start, secret_of
from rtx_operator.desired.pods import CREDENTIALS, plain
from rtx_operator.desired.render import Object, digest
from rtx_operator.desired.served import has_served
from rtx_operator.desired.server_revision import ServerRevision, as_made, controller_revision
from rtx_operator.desired.state import DesiredServer, Workload
from rtx_operator.members import members
from rtx_operator.observation import Observation, is_applied, is_ready, revision_of, waits_for_image
from rtx_operator.patroni import Configuration, Quorum

SERVERS: tuple[ServerComponent, ...] = (Component.DATABASE, Component.CACHE)
_RENDERED = {
    Component.DATABASE: (database_configuration, database_stateful_set),
    Component.CACHE: (cache_configuration, cache_stateful_set),
}
_PASSWORD_KEYS = {Component.DATABASE: CredentialKey.DB_PASSWORD, Component.CACHE: CredentialKey.REDIS_PASSWORD}


def desired_servers(
    inputs: BuildInput, status: TradingEngineStatus, seen: Observation
) -> Mapping[Component, DesiredServer]:
    """Database and cache of an engine."""
    return {component: _server(_Given(inputs, component, status, seen)) for component in SERVERS}


def database_plan(inputs: BuildInput, seen: Observation) -> InstancesPlan:
    """The next step towards as many servers as spec asks for."""
    spec = inputs.spec.database
    return plan_instances(spec.instances, spec.durability, _database_facts(inputs, seen))


def _database_facts(inputs: BuildInput, seen: Observation) -> DatabaseFacts:
    names = inputs.names
    return DatabaseFacts(
        name=names.postgres,
        size=_live_size(seen.child("StatefulSet", names.postgres)),
        members=members(seen.alive(names.selector(Component.DATABASE))),
        configuration=Configuration.of(seen.child("ConfigMap", names.database_configuration)),
        quorum=Quorum.of(seen.child("ConfigMap", names.database_quorum)),
        answers=seen.database is not None and not seen.database.error,
        has_volumes=database_volumes(inputs, seen) > 0,
    )


def database_volumes(inputs: BuildInput, seen: Observation) -> int:
    """How many volumes of the database there are, which may have data."""
    claims = (inputs.names.claim(Component.DATABASE, one) for one in range(MAX_DATABASE_INSTANCES))
    return sum(("PersistentVolumeClaim", claim) in seen.children for claim in claims)


def _live_size(stateful_set: Object | None) -> int | None:
    return None if stateful_set is None else int(stateful_set["spec"].get("replicas", 1))


@dataclass(frozen=True, slots=True)
class _Given:
    """What decides how one server is made."""

    inputs: BuildInput
    component: ServerComponent
    status: TradingEngineStatus
    seen: Observation

    @property
    def name(self) -> str:
        return self.inputs.names.server(self.component)

    @property
    def rendered(self) -> tuple[Object, Object]:
        """ConfigMap and StatefulSet as today's templates make them."""
        configuration, stateful_set = _RENDERED[self.component]
        return configuration(self.inputs), stateful_set(self.inputs)

    @property
    def made(self) -> Server | None:
        """What status says of it."""
        return self.status.cache if self.component is Component.CACHE else self.status.database

    @property
    def is_being_installed(self) -> bool:
        """Whether the engine has never served: its servers follow the spec at once."""
        return self.status.active is None and not has_served(self.inputs.names, self.inputs.uid, self.seen)

    @property
    def size(self) -> int:
        """How many pods it has now. The database's stay while a maintenance replaces them, the cache's change by it."""
        if self.component is Component.CACHE:
            return _live_size(self.seen.child("StatefulSet", self.name)) or 1
        if self.status.restore and self.status.restore.phase.is_stopped:
            return 0  # its data are being replaced
        if self.maintenance and self.maintenance.phase.replaces_pod:
            return servers_now(self.inputs.spec.database.instances, _database_facts(self.inputs, self.seen))
        return database_plan(self.inputs, self.seen).size

    @property
    def pods(self) -> list[Object]:
        """Its pods that are not being deleted, the first one first."""
        pods = self.seen.pods_of(self.inputs.names.selector(self.component))
        return sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))

    @property
    def passwords(self) -> PasswordsToTake:
        """What it would take if it started now."""
        secret, known = self.inputs.credentials, self.inputs.fingerprints
        if self.component is Component.CACHE:
            return PasswordsToTake(secret, known.cache, known.cache_by_peer)
        return PasswordsToTake(
            secret, known.database_engine, known.database_engine_by_peer, internal=known.database_internal
        )

    @property
    def maintenance(self) -> Maintenance | None:
        """Its maintenance under way."""
        record = self.status.maintenance
        is_ours = record is not None and record.component is self.component and not record.phase.is_terminal
        return record if is_ours else None

    def recorded(self, revision: str) -> ServerRevision | None:
        record = self.seen.child("ControllerRevision", self.inputs.names.server_revision(self.component, revision))
        return ServerRevision.recorded(record) if record else None


def _server(given: _Given) -> DesiredServer:
    inputs, component, names = given.inputs, given.component, given.inputs.names
    config_map, stateful_set = given.rendered
    wanted = ServerRevision.rendered(stateful_set, config_map, "")
    runs = _running(given, wanted)
    fingerprint = wanted.credentials
    if runs and not fingerprint:
        wanted = ServerRevision.rendered(_with_credentials(stateful_set, runs.credentials), config_map, "")
    asked = Asked(spec=_asked(given, wanted.credentials, runs), refresh=inputs.refresh)
    wanted = replace(wanted, asked=asked.spec, fixed=runs.fixed if runs else wanted.fixed)
    if runs is None or (given.is_being_installed and runs.asked != asked.spec):
        runs = given.recorded(wanted.hash) or wanted
    renewed = _renewed(given, wanted)
    passwords = _passwords(given, is_made_with_them=not fingerprint or runs.credentials in {"", fingerprint})

    size = given.size

    def objects(revision: ServerRevision) -> tuple[Object, ...]:
        pods = revision.size if component is Component.CACHE else size
        return (
            controller_revision(inputs, component, revision),
            {**config_map, "data": dict(revision.configuration)},
            as_made(stateful_set, revision, size=pods),
        )

    return DesiredServer(
        component=component,
        workload=Workload("StatefulSet", given.name, names.selector(component)),
        size=size,
        claims=tuple(names.claim(component, ordinal) for ordinal in range(max(size, 1))),
        revision=runs.hash,
        image=runs.image,
        first_asked=runs.asked,
        asked=asked,
        wanted=wanted.hash,
        credentials_known=bool(fingerprint),
        started=passwords.started,
        standbys=passwords.standbys,
        has_password=passwords.has_that_of_engines,
        has_credentials=passwords.has_all,
        password_conflict="" if passwords.has_that_of_engines else _password_conflict(given),
        kept=objects(runs),
        strays=_strays(given, runs),
        renewed=objects(renewed) if renewed else (),
        renewed_revision=renewed.hash if renewed else "",
        renewed_image=renewed.image if renewed else "",
        checks=_checks(given, renewed, runs),
    )


@dataclass(frozen=True, slots=True)
class _Passwords:
    """The last start of a server that is known, and whether it took the passwords of today.

    `has_that_of_engines` is about the one with which engine pods log in.
    """

    started: ServerStart | None
    has_that_of_engines: bool
    has_all: bool
    standbys: tuple[ServerStart, ...] = ()


def _passwords(given: _Given, *, is_made_with_them: bool) -> _Passwords:
    """While no start is known, its record says what it took; also of the first one that is observed."""
    known, today = given.made.started if given.made else None, given.passwords
    leading, others = _by_leadership(given)
    started = last_start(_start_of(given, leading[0]) or known if leading else known, leading, today)
    standbys = tuple(filter(None, (last_start(_start_of(given, pod) or known, [pod], today) for pod in others)))
    if started is None or not today.password:
        return _Passwords(started, is_made_with_them, is_made_with_them, standbys)
    if known is None and not is_made_with_them:
        started = ServerStart(pod=started.pod, restarts=started.restarts)
    has_that_of_engines = today.is_that_of(started)
    has_all = has_that_of_engines and started.internal == today.internal
    return _Passwords(started, has_that_of_engines, has_all, standbys)


def _by_leadership(given: _Given) -> tuple[list[Object], list[Object]]:
    """The pod whose passwords count, and the others: a server sets those that it has when it begins to lead."""
    if given.size == 1 or given.component is Component.CACHE:
        return given.pods, []
    primary = members(given.pods).primary
    leading = [pod for pod in given.pods if primary and pod["metadata"]["name"] == primary.name]
    return leading, [pod for pod in given.pods if pod not in leading]


def _start_of(given: _Given, pod: Object) -> ServerStart | None:
    """The last start of the pod as status has it."""
    known = (given.made.started, *given.made.standbys) if given.made else ()
    return next((one for one in known if one and one.pod == pod["metadata"].get("uid", "")), None)


def _password_conflict(given: _Given) -> str:
    """A change of the password is a step of its own: pods of another Secret would get it only with the next upgrade."""
    wanted, active = given.inputs.credentials, given.status.active
    live = given.seen.child("Deployment", given.inputs.names.colour(active.colour)) if active else None
    named = secret_of(live["spec"]["template"]) if live else ""
    if named in {"", wanted}:
        return ""
    key = _PASSWORD_KEYS[given.component]
    return (
        f"Secret {wanted} has another {key} than Secret {named}, from which the running pods have it: put that "
        f"of {named} into {wanted}. Once everything runs with {wanted}, change it there"
    )


def _strays(given: _Given, runs: ServerRevision) -> tuple[Object, ...]:
    """The pods of another revision that are made anew at once: they serve nobody.

    A pod that runs is kept. The next one is of the StatefulSet's template, also where status was lost in a restart.
    """
    if not is_applied(given.seen.child("StatefulSet", given.name), runs.hash):
        return ()  # another pod of the same revision would come
    others = (pod for pod in given.pods if revision_of(pod) != runs.hash)
    return tuple(pod for pod in others if given.is_being_installed or not is_ready(pod))


def _running(given: _Given, wanted: ServerRevision) -> ServerRevision | None:
    """What runs: as status names it, else as the pod does, else the StatefulSet; None before the first installation.

    A maintenance gives the StatefulSet its new revision before the pod has it.
    """
    stateful_set = given.seen.child("StatefulSet", given.name)
    labelled = [revision_of(one) for one in (*given.pods, *filter(None, [stateful_set]))]
    named = [given.made.revision] if given.made else labelled
    return next(filter(None, (_made(given, wanted, revision) for revision in named if revision)), None)


def _made(given: _Given, wanted: ServerRevision, revision: str) -> ServerRevision | None:
    """The revision as it was recorded, else as it can be found out; None when it cannot."""
    stateful_set, config_map = given.seen.child("StatefulSet", given.name), given.seen.child("ConfigMap", given.name)
    if recorded := given.recorded(revision):
        return recorded
    asked = given.made.asked.spec if given.made else ""
    if wanted.hash == revision:
        return replace(wanted, asked=asked)
    if stateful_set and config_map and revision_of(stateful_set) == revision:
        return ServerRevision.running(stateful_set, config_map, asked)
    return None


def _renewed(given: _Given, wanted: ServerRevision) -> ServerRevision | None:
    """What a maintenance makes: as it was recorded when that began, else what is wanted now."""
    if given.maintenance is None:
        return given.recorded(wanted.hash) or wanted
    to = given.maintenance.to
    return given.recorded(to) or (wanted if wanted.hash == to else None)


def _checks(given: _Given, renewed: ServerRevision | None, runs: ServerRevision) -> tuple[Object, ...]:
    """One Job for each place where a volume can be; volumes that can be anywhere share one."""
    checks = given.maintenance is not None and given.maintenance.phase is MaintenancePhase.CHECKING
    if not checks or renewed is None or given.seen.volumes is None:
        return ()
    volumes = given.seen.volumes.values()
    jobs = [check_job(given.inputs, given.component, renewed, runs, volume) for volume in volumes]
    return tuple({job["metadata"]["name"]: job for job in jobs}.values())


def _with_credentials(stateful_set: Object, fingerprint: str) -> Object:
    """The StatefulSet with the fingerprint that runs: passwords that nobody can read now are not taken for new ones."""
    if not fingerprint:
        return stateful_set
    template = stateful_set["spec"]["template"]
    annotated = {**(template["metadata"].get("annotations") or {}), CREDENTIALS: fingerprint}
    metadata = {**template["metadata"], "annotations": annotated}
    return {**stateful_set, "spec": {**stateful_set["spec"], "template": {**template, "metadata": metadata}}}


def _asked(given: _Given, fingerprint: str, runs: ServerRevision | None) -> str:
    """The hash of what the user asks for.

    Pull secrets are of no use to a pod that runs. Others than it has are asked for with whatever else is, or once the
    pod cannot pull its image. Nor is another pod made for them while one is on its way.
    """
    asked, made = _hash_of_asked(given, fingerprint, given.inputs.pull_secrets), given.made
    if made is None or runs is None or given.is_being_installed:
        return asked
    maintenance = given.maintenance
    if maintenance and maintenance.phase.replaces_pod:
        to = given.recorded(maintenance.to)
        as_it_becomes = _hash_of_asked(given, fingerprint, to.pull_secrets if to else given.inputs.pull_secrets)
        if as_it_becomes == maintenance.asked.spec:
            return as_it_becomes
    if any(map(waits_for_image, given.pods)):
        return asked
    as_it_runs = _hash_of_asked(given, fingerprint, runs.pull_secrets)
    return as_it_runs if as_it_runs == made.asked.spec else asked


def _hash_of_asked(given: _Given, fingerprint: str, pull_secrets: list[Object]) -> str:
    inputs = given.inputs
    asked = {
        **asked_of_spec(inputs.spec, given.component),
        "imagePullSecrets": pull_secrets,
        "credentials": inputs.credentials,
        "fingerprint": fingerprint,
    }
    return digest({field: value for field, value in asked.items() if value})


def asked_of_spec(spec: TradingEngineSpec, component: ServerComponent) -> Object:
    """What of spec the pods of database or cache are made from: an edit of it begins a maintenance."""
    if component is Component.CACHE:
        return spec.cache.asked_of_pods()
    return {**spec.database.asked_of_pods(), "backup": _asked_of_backups(spec.backup)}


def _asked_of_backups(backup: Backup) -> Object:
    """What of spec.backup is in the database's pods; the rest reaches them as files that change while they run."""
    store = backup.s3
    asked: Object = {"type": backup.type} if backup.type else {}
    if store is None:
        return asked
    ca = plain(store.trusted_ca) if store.trusted_ca else ""
    return {**asked, "secret": store.credentials_secret_ref.name, "ca": ca}
