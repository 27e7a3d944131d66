"""The status of a TradingEngine: what the operator reports. Read it with `kubectl describe te`."""

from typing import Annotated

from pydantic import Field, WithJsonSchema

from rtx_operator.api.enums import (
    Colour,
    ConditionStatus,
    ConditionType,
    CutoverPhase,
    Durability,
    Judgement,
    MaintenancePhase,
    MemberRole,
    RestorePhase,
    RetirementPhase,
    ServerComponent,
)
from rtx_operator.api.restore_source import RestoreSource
from rtx_operator.api.schema import StatusModel, Time

COUNTS = WithJsonSchema({"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 64})
SECONDS = WithJsonSchema({"type": "object", "additionalProperties": {"type": "number"}, "maxProperties": 16})
MESSAGE_LIMIT = 4096  # characters; the API server refuses a longer message
HISTORY_LIMIT = 10  # cutovers that status remembers
ANSWERS_LIMIT = 64  # pods whose answers status remembers


class Condition(StatusModel):
    """One condition, as `metav1.Condition` defines it."""

    type: ConditionType = Field(description="Its kind.")
    status: ConditionStatus = Field(description="True, False or Unknown.")
    reason: str = Field(min_length=1, max_length=1024, description="Why, in one word.")
    message: str = Field(max_length=32768, description="Why, in plain words, and what to do.")
    last_transition_time: str = Field(
        description="When the status last changed.", json_schema_extra={"format": "date-time"}
    )
    observed_generation: int = Field(ge=0, description="The generation of the spec that this speaks of.")


class Release(StatusModel):
    """A version in a colour."""

    colour: Colour = Field(description="The colour: blue or green.")
    version: str = Field(max_length=64, description="The engine's version.")
    revision: str = Field(max_length=64, description="Hash of everything that shapes its pods.")


class Active(Release):
    """The release that takes the traffic."""

    image: str = Field(
        default="",
        max_length=512,
        description="The image of its pods: with the digest that its migration Job ran, so that later pods run the "
        "same, or by tag only, where nodes report no digest that its registry knows.",
    )
    digest: str | None = Field(default=None, max_length=71, description="The digest in image; absent: by tag only.")
    config_hash: str = Field(max_length=64, description="Ends the name of its ConfigMap.")
    epoch: int = Field(
        default=0, ge=0, description="The fence's epoch from which the database lets it execute; 0 while unknown."
    )


class EarlierData(StatusModel):
    """The database showed an earlier state of its data: it was restored, or failed over to a replica that lagged."""

    epoch: int = Field(
        ge=0, description="The fence's epoch that was known before. It names the Job that migrates the data again."
    )
    since: Time = Field(description="When the operator first observed the earlier state.")


class Previous(Release):
    """The release that was active before. While it is kept, going back to it is a switch."""

    retire_after: Time = Field(description="When its retirement begins. A pause moves it by its length.")
    kept_for_seconds: float | None = Field(
        default=None,
        ge=0,
        description="Seconds for which it is kept, of which retireAfter was made. Another value in "
        "spec.rollout.keepPreviousFor moves that.",
    )
    adopted: bool = Field(
        default=False,
        description="It was found when status was lost, and may never have served: a cutover to it migrates first.",
    )
    message: str = Field(
        default="", max_length=MESSAGE_LIMIT, description="Why it is kept for longer than until retireAfter."
    )


class Rejected(StatusModel):
    """The revision that was rolled back. It is not tried again until spec or the retry annotation changes."""

    revision: str = Field(max_length=64, description="Hash of everything that shapes its pods.")
    version: str = Field(max_length=64, description="The engine's version.")
    reason: str = Field(max_length=64, description="Why it was rolled back, in one word.")
    message: str = Field(max_length=MESSAGE_LIMIT, description="Why it was rolled back.")
    retry: str = Field(default="", max_length=256, description="Value of the retry annotation at that time.")


class Asked(StatusModel):
    """What a user asked for of database or cache. The operator's own templates and defaults are no part of it."""

    spec: str = Field(
        max_length=64, description="Hash of the fields of spec, and of the passwords, that shape its pod."
    )
    refresh: str = Field(default="", max_length=256, description="Value of the refresh annotation.")

    def differs_from(self, made: "Asked") -> bool:
        """Whether this asks for something else than `made` did. A refresh annotation that is gone asks for nothing."""
        return self.spec != made.spec or self.refresh not in {"", made.refresh}


class FailedMaintenance(StatusModel):
    """What failed. It is not tried again until spec or an annotation asks for something else."""

    asked: Asked = Field(description="What was asked for.")
    retry: str = Field(default="", max_length=256, description="Value of the retry annotation at that time.")
    reason: str = Field(max_length=64, description="Why it failed, in one word.")
    message: str = Field(max_length=MESSAGE_LIMIT, description="Why it failed.")


class ServerStart(StatusModel):
    """The last start of a server's process: it has the passwords that its Secrets had then."""

    pod: str = Field(max_length=64, description="The uid of its pod.")
    restarts: int = Field(ge=0, description="How often its container had been restarted in that pod.")
    password: str = Field(
        default="",
        max_length=64,
        description="Fingerprint of the password with which engine pods log in; empty: not known.",
    )
    by_peer: str = Field(
        default="",
        max_length=64,
        description="Fingerprint of the same password. Its key is PEER_SECRET, that of the others "
        "DB_SUPERUSER_PASSWORD; either may change.",
    )
    internal: str = Field(
        default="",
        max_length=64,
        description="Fingerprint of the database's other passwords; empty: not known, or a cache.",
    )


class Server(StatusModel):
    """Database or cache as it was made: by the installation, or by its last maintenance that succeeded."""

    revision: str = Field(
        max_length=64, description="Hash of what its pod is made from; ends the name of its ControllerRevision."
    )
    image: str = Field(max_length=512, description="The image of its pod.")
    asked: Asked = Field(description="What was asked for then; asking for something else begins a maintenance.")
    failed: FailedMaintenance | None = Field(
        default=None, description="The maintenance that failed, while spec asks for it."
    )
    started: ServerStart | None = Field(
        default=None,
        description="The last start of its process, and the passwords that it has since. Of several servers: of the "
        "one that leads.",
    )
    standbys: list[ServerStart] = Field(
        default=[], max_length=8, description="The same of the database's standbys: one that takes over sets its own."
    )


class DatabaseServer(StatusModel):
    """A server of the database, by its own report."""

    name: str = Field(max_length=64, description="The name of its pod.")
    role: MemberRole | None = Field(default=None, description="primary or replica; absent: it is neither now.")
    in_sync: bool = Field(description="Whether it leads, or follows the one that does closely.")
    timeline: int | None = Field(default=None, ge=0, description="How often a server has taken over, in its data.")


class DatabaseCluster(StatusModel):
    """The servers of the database."""

    primary: str | None = Field(
        default=None, max_length=64, description="The pod of the server that leads; absent: none does."
    )
    in_sync: str = Field(max_length=16, description="Servers in sync, and servers there are to be now.")
    durability: Durability | None = Field(
        default=None, description="The durability in force; absent: one server, or standbys join."
    )
    servers: list[DatabaseServer] = Field(default=[], max_length=8, description="Each of them.")


class OperationRecord(StatusModel):
    """What status records of an operation: one at a time of each kind, the one under way or the last one."""

    id: str = Field(max_length=80, description="Names the operation; no two have the same.")
    started_at: Time = Field(description="When the operation began.")
    since: Time = Field(description="When its phase began.")
    deadline: Time | None = Field(
        default=None,
        description="When its phase must have ended; absent: it has no deadline. A pause moves it by its length.",
    )
    limit_seconds: float | None = Field(
        default=None,
        ge=0,
        description="Seconds that the phase may take, of which deadline was made. Another value in spec.rollout moves "
        "the deadline of the phase that runs.",
    )
    paused_seconds: float = Field(
        default=0, ge=0, description="Seconds of its phase in which the engine was paused; they count for no deadline."
    )
    reason: str = Field(default="", max_length=64, description="Why it goes back or failed, in one word.")
    message: str = Field(
        default="", max_length=MESSAGE_LIMIT, description="What it waits for, or why it goes back or failed."
    )


class AnswersOfPod(StatusModel):
    """What a pod of a new version answered to clients so far: it counts also once the pod is gone."""

    pod: str = Field(max_length=253, description="Its name.")
    epoch: int = Field(ge=0, description="The fence's epoch since which it answered them.")
    requests: int = Field(ge=0, description="Its answers to clients, without answers 4xx.")
    server_errors: int = Field(ge=0, description="Those of them that were 5xx.")


class Cutover(OperationRecord):
    """The cutover that is under way, or the last one."""

    phase: CutoverPhase = Field(description="Its phase.")
    from_: Release = Field(alias="from", description="The release that was active when it began.")
    to: Release = Field(description="The release that it makes active.")
    fenced_at: Time | None = Field(default=None, description="When the fence named the new colour as executor.")
    switched_at: Time | None = Field(default=None, description="When the live Service had only pods of the new colour.")
    restored_at: Time | None = Field(default=None, description="When it had only pods of the old colour again.")
    drain_until: Time | None = Field(
        default=None,
        description="Until when the colour that lost the traffic may drain. A pause moves it by its length.",
    )
    drain_seconds: float | None = Field(
        default=None,
        ge=0,
        description="Seconds of which drainUntil was made. Another value in spec.rollout.drainTimeout moves that.",
    )
    digest: str | None = Field(
        default=None,
        max_length=71,
        description="The digest to which the new version's tag was resolved; empty: pods are made by tag, as nodes "
        "report no digest that its registry knows. Absent before that, and where pods of the version are kept.",
    )
    restarts: Annotated[dict[str, int], COUNTS] = Field(
        default={},
        description="How often pods of the new version had restarted before the switch, of those that had. One that "
        "restarts after it rolls the upgrade back.",
    )
    resumed_at: Time | None = Field(
        default=None,
        description="When an operator observed the new version again, after nobody had for a while in Monitoring.",
    )
    judged: Judgement | None = Field(
        default=None, description="By what the new version is judged: Traffic or Probes; absent before Monitoring."
    )
    requests: int | None = Field(
        default=None, ge=0, description="Answers to clients by which it was judged, without answers 4xx."
    )
    answers: list[AnswersOfPod] = Field(
        default=[],
        max_length=ANSWERS_LIMIT,
        description="What the pods of the new version had answered in Monitoring, to a tenth; empty while none of them "
        "has failed a request.",
    )
    smoke_failing_since: Time | None = Field(
        default=None, description="Since when smoke tests fail, and do not pass twice as often, in Monitoring."
    )
    smoke_passes_missing: int = Field(
        default=0, ge=0, description="How often the smoke tests must pass for those of late that failed to be made up."
    )
    pods_missing_since: Time | None = Field(
        default=None,
        description="In Monitoring: since when the new version has fewer ready pods than it needs. A pause moves it.",
    )
    retry: str = Field(
        default="",
        max_length=256,
        description="Value of the retry annotation when its backup began, or when it turned back: a later one asks for "
        "another try.",
    )
    monitored_at: Time | None = Field(default=None, description="When its time of monitoring was over.")
    old_down_since: Time | None = Field(
        default=None, description="In RollingBack: since when the old version cannot serve. A pause moves it."
    )
    fence_stuck_since: Time | None = Field(
        default=None,
        description="In RollingBack: since when the fence does not move back: the database does not answer, or takes "
        "no writes. A pause moves it.",
    )
    data_lost_at: Time | None = Field(
        default=None,
        description="When the database showed an earlier state of its data, before the cutover turned back. A failure "
        "after that does not reject the version.",
    )
    seconds: Annotated[dict[str, float], SECONDS] = Field(
        default={}, description="Seconds that each phase took, of the phases that are over."
    )


class FailedTry(StatusModel):
    """A retirement that failed, and is tried again."""

    reason: str = Field(max_length=64, description="Why it failed, in one word.")
    message: str = Field(max_length=MESSAGE_LIMIT, description="Why it failed.")


class Retirement(OperationRecord):
    """The retirement of a previous colour that is under way, or the last one."""

    phase: RetirementPhase = Field(description="Its phase.")
    release: Release = Field(description="The release that it removes.")
    retry: str = Field(
        default="", max_length=256, description="Last value of the retry annotation that does not retry it again."
    )
    last_try: FailedTry | None = Field(
        default=None, description="The try before, which failed: Stalled until this one has done what it could not."
    )
    seconds: Annotated[dict[str, float], SECONDS] = Field(
        default={}, description="Seconds that each phase took, of the phases that are over."
    )


class Maintenance(OperationRecord):
    """The maintenance of database or cache that is under way, or the last one."""

    phase: MaintenancePhase = Field(description="Its phase.")
    component: ServerComponent = Field(description="What it changes: database or cache.")
    from_: str = Field(alias="from", max_length=64, description="The revision that ran when it began.")
    to: str = Field(max_length=64, description="The revision that it goes to.")
    asked: Asked = Field(description="What was asked for when it began.")
    retry: str = Field(default="", max_length=256, description="Value of the retry annotation when it began.")
    epoch: int | None = Field(
        default=None,
        ge=0,
        description="The fence's epoch before the pod was replaced: the restarted database has the same data only with "
        "that epoch or a later one.",
    )
    seconds: Annotated[dict[str, float], SECONDS] = Field(
        default={}, description="Seconds that each phase took, of the phases that are over."
    )


class RestoredData(StatusModel):
    """What a restore brought back."""

    label: str = Field(max_length=64, description="The backup that it began with, by its name in the repository.")
    lsn: str = Field(max_length=20, description="Position of the log up to which the data were restored.")
    last_commit: Time | None = Field(
        default=None, description="The last commit that they have; absent: none since the backup began."
    )


class Restore(OperationRecord):
    """The restore of the database's data that is under way, or the last one."""

    phase: RestorePhase = Field(description="Its phase.")
    name: str = Field(max_length=63, description="Name of its TradingEngineRestore.")
    uid: str = Field(max_length=64, description="uid of that.")
    source: RestoreSource = Field(description="What is restored.")
    folder: str = Field(default="", max_length=1024, description="Folder of the repository from which it restores.")
    label: str = Field(
        default="", max_length=64, description="The backup that it begins with, once that is known to be there."
    )
    last_commit: Time | None = Field(
        default=None, description="The last commit in the repository when the target was checked."
    )
    servers: int = Field(default=0, ge=0, description="Volumes of the database whose data it replaces.")
    restored: RestoredData | None = Field(default=None, description="The restored data, once they are on the volume.")
    seconds: Annotated[dict[str, float], SECONDS] = Field(
        default={}, description="Seconds that each phase took, of the phases that are over."
    )


Record = Restore | Cutover | Maintenance | Retirement  # of an operation


class HistoryEntry(StatusModel):
    """A cutover that is over."""

    id: str = Field(max_length=80, description="Names the cutover, in the fence too.")
    from_version: str = Field(max_length=64, description="The version that was active when it began.")
    to_version: str = Field(max_length=64, description="The version that it was to make active.")
    result: str = Field(max_length=64, description="Succeeded, RolledBack or Failed.")
    started_at: Time = Field(description="When it began.")
    ended_at: Time = Field(description="When it was over.")
    fenced_at: Time | None = Field(default=None, description="When the fence named the new colour as executor.")
    switched_at: Time | None = Field(default=None, description="When the live Service had only pods of the new colour.")
    restored_at: Time | None = Field(default=None, description="When it had only pods of the old colour again.")
    judged: str | None = Field(
        default=None,
        max_length=64,
        description="By what the new version was judged: Traffic or Probes; absent when it went back.",
    )
    requests: int | None = Field(default=None, ge=0, description="Answers to clients by which it was judged.")
    reason: str = Field(default="", max_length=64, description="Why it went back, in one word.")
    message: str = Field(default="", max_length=MESSAGE_LIMIT, description="Why it went back.")
    seconds: Annotated[dict[str, float], SECONDS] = Field(default={}, description="Seconds that each phase took.")


class Backups(StatusModel):
    """The newest backup that succeeded, and the repository as it was then."""

    name: str = Field(max_length=63, description="Name of its TradingEngineBackup.")
    finished_at: Time = Field(
        description="When it ended, by the clock of its pod; when the operator knew that, if that was earlier."
    )
    count: int = Field(ge=0, description="Backups in the repository.")
    oldest: Time = Field(description="When the oldest of them ended, by the clock of its pod.")
    newest: Time = Field(description="When the newest of them ended, by the clock of its pod.")
    stored_bytes: int = Field(ge=0, description="Bytes of all of them in the repository, without the log.")
    place: str = Field(default="", max_length=64, description="Which repository that is.")


class ReplicaCount(StatusModel):
    """Pods of the active colour."""

    desired: int = Field(ge=0, description="How many there should be now.")
    ready: int = Field(ge=0, description="How many are ready.")


class TradingEngineStatus(StatusModel):
    """What the operator last observed and did."""

    observed_generation: int = Field(default=0, ge=0, description="The generation of spec that was reconciled last.")
    conditions: list[Condition] = Field(
        default=[],
        max_length=16,
        description="Ready, Reconciling, Stalled (as kstatus defines them), UpToDate, CacheAvailable, "
        "DatabaseRedundant, BackupFresh, Disputed.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    paused_since: Time | None = Field(
        default=None,
        description="Since when the operator leaves the engine alone, because it is paused, or cannot be read; absent: "
        "it does not. Until it goes on, no time counts.",
    )
    active: Active | None = Field(default=None, description="The release that takes the traffic.")
    earlier_data: EarlierData | None = Field(
        default=None,
        description="Since when the database shows an earlier state of its data, until the active release's migrations "
        "have run again.",
    )
    replicas: ReplicaCount | None = Field(default=None, description="Pods of the active colour.")
    cutover: Cutover | None = Field(default=None, description="The cutover under way, or the last one.")
    previous: Previous | None = Field(default=None, description="The release that was active before, while it is kept.")
    retirement: Retirement | None = Field(default=None, description="The retirement under way, or the last one.")
    database_cluster: DatabaseCluster | None = Field(
        default=None, description="The servers of the database; absent until one has reported."
    )
    database: Server | None = Field(default=None, description="The database as it was made.")
    cache: Server | None = Field(default=None, description="The cache as it was made.")
    backup: Backups | None = Field(default=None, description="The newest backup that succeeded.")
    restore: Restore | None = Field(default=None, description="The restore under way, or the last one.")
    maintenance: Maintenance | None = Field(default=None, description="The maintenance under way, or the last one.")
    rejected: Rejected | None = Field(
        default=None, description="The revision that was rolled back, while spec asks for it."
    )
    history: list[HistoryEntry] = Field(
        default=[], max_length=HISTORY_LIMIT, description="Cutovers that are over, newest first."
    )
    pods: str | None = Field(default=None, max_length=16, description="Pods of the active colour as ready/desired.")
