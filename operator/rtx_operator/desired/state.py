"""What a TradingEngine's spec comes to: the objects wanted, and how the decision tells one from the other. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from rtx_operator.api.enums import Colour, Component, ServerComponent
from rtx_operator.api.names import Label
from rtx_operator.api.status import Asked, Release, Server, ServerStart
from rtx_operator.desired.database.instances import InstancesPlan
from rtx_operator.desired.pods import credentials_of
from rtx_operator.desired.restore import DesiredRestore
from rtx_operator.observation import Object, Observation


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment, StatefulSet or Job, and the labels that its pods carry."""

    kind: str
    name: str
    pods: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Revision:
    """What identifies the pods that a spec asks for: two that differ need other pods."""

    version: str
    digest: str | None  # of the image, when spec gives it or the tag was resolved
    config_hash: str  # names its ConfigMap
    hash: str  # of everything that shapes a pod
    image: str = ""  # of its pods, with the digest if that is known


@dataclass(frozen=True, slots=True)
class DesiredColour:
    """A colour in one revision, and every object that this may need."""

    colour: Colour
    revision: Revision
    objects: tuple[Object, ...]  # its ControllerRevision first, its Deployment last
    install: Object  # the Job that makes an empty database fit for it
    migrate: Object  # the Job that makes the database fit for it while another version runs
    reverse: Object  # the Job that takes that back
    contract: Object  # the Job that takes away what only older versions need
    renew: Object  # the Job that makes an earlier state of the data fit for it again

    @property
    def release(self) -> Release:
        return Release(colour=self.colour, version=self.revision.version, revision=self.revision.hash)

    @property
    def credentials(self) -> str:
        """The fingerprint of the passwords with which its pods are to start; empty while it is not known."""
        return credentials_of(self.objects[-1]["spec"]["template"])

    @property
    def controller_revision(self) -> Object:
        """Remembers the revision."""
        return self.objects[0]

    @property
    def jobs(self) -> tuple[Object, ...]:
        return (self.install, self.migrate, self.reverse, self.contract, self.renew)


@dataclass(frozen=True, slots=True)
class TrafficObjects:
    """What leads to a colour, whatever its revision."""

    select: Object  # the live Service that selects it
    scaling: tuple[Object, ...]  # the autoscaler that scales it; empty when the size is fixed
    workload: Workload  # its Deployment


@dataclass(frozen=True, slots=True)
class DesiredServer:
    """Database or cache: as it runs, and as a maintenance makes it (ADR 0033).

    Each tuple of objects is its ControllerRevision, ConfigMap and StatefulSet.
    """

    component: ServerComponent
    workload: Workload
    size: int  # how many pods it has now
    claims: tuple[str, ...]  # names of the PersistentVolumeClaims with their data
    revision: str  # what it runs, or is to run first
    image: str  # of that
    first_asked: str  # the hash of what was asked for when that was first made
    asked: Asked  # what is asked for now
    wanted: str  # the revision that today's templates make of it
    credentials_known: bool  # its passwords are; a pod could not start without them
    started: ServerStart | None  # the last start of its process that is known; of several, of the one that leads
    standbys: tuple[ServerStart, ...]  # those of the others
    has_password: bool  # it started with the password that engine pods have from today's Secrets
    has_credentials: bool  # that, and with the passwords of its other roles
    password_conflict: str  # why its passwords are not changed, and what to do; else empty
    kept: tuple[Object, ...]  # as it runs
    strays: tuple[Object, ...]  # pods of another revision that serve nobody: they are evicted, to be made as it runs
    renewed: tuple[Object, ...]  # as a maintenance makes it. Empty: its record is lost
    renewed_revision: str
    renewed_image: str
    checks: tuple[Object, ...]  # the Jobs that try that first; empty while it is not known where the volumes can be

    def is_due(self, made: Server) -> bool:
        """Whether it is to be made otherwise than it was `made`, and that has not failed."""
        return made.failed is None and self.asked.differs_from(made.asked)


JOB_LABEL = "batch.kubernetes.io/job-name"  # the Job controller puts it on its pods


def job_workload(job: Object) -> Workload:
    """A Job, and the label that the Job controller gives its pods."""
    name = job["metadata"]["name"]
    return Workload("Job", name, {JOB_LABEL: name})


@dataclass(frozen=True, slots=True)
class DesiredState:
    """All objects of an engine.

    `active` is the colour that runs, once one does, otherwise the one to install. `idle` is the other one: what a
    cutover goes to or comes from, else what is kept warm; None when it is of no use, or nobody knows its revision.
    """

    active: DesiredColour
    idle: DesiredColour | None
    traffic: Mapping[Colour, TrafficObjects]
    wanted: Revision  # what spec asks for now
    base_objects: tuple[Object, ...]  # database and cache unless in maintenance, network, accounts: always there
    borrowed_revision: tuple[
        Object, ...
    ]  # records the revision of a kept colour whose place a cutover has taken for a while
    servers: Mapping[Component, DesiredServer]  # database and cache
    instances: InstancesPlan  # how the database gets as many servers as spec asks for
    live_service: str
    credentials_name: str  # of the user's Secret; empty when the operator made it
    minimum: int
    maximum: int
    lost_secrets: tuple[str, ...] = ()  # names of generated Secrets that are gone while a volume has their passwords
    lost_keys: tuple[tuple[str, str], ...] = ()  # (key, Secret) that is gone while a volume has its password
    unreadable_keys: tuple[str, ...] = ()  # keys of Secrets that are needed and are no text, with their Secret
    has_served: bool = False  # by status, or by what the Deployments show; else it is being installed
    backup_folder: str = ""  # of the database in the repository; empty while its Secret is not known
    restore: DesiredRestore | None = None  # the Jobs of the restore under way
    is_refreshable: bool = False  # it runs what spec asks for, and this release of the operator would make it otherwise

    @property
    def database(self) -> Workload:
        return self.servers[Component.DATABASE].workload

    @property
    def cache(self) -> Workload:
        return self.servers[Component.CACHE].workload

    @property
    def engine(self) -> Workload:
        """The Deployment of the active colour."""
        return self.traffic[self.active.colour].workload

    def of(self, colour: Colour) -> DesiredColour | None:
        """The desired colour."""
        return self.active if self.active.colour is colour else self.idle

    def selected(self, seen: Observation) -> Colour | None:
        """The colour that the live Service selects now."""
        service = seen.child("Service", self.live_service) or {}
        colour = service.get("spec", {}).get("selector", {}).get(Label.COLOUR.value)
        return Colour(colour) if colour in set(Colour) else None
