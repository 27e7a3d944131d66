"""The enums of the API and its objects, with the meaning of each value."""

from enum import StrEnum
from typing import Literal


class Colour(StrEnum):
    """The two sets of engine pods between which an upgrade moves."""

    BLUE = "blue"
    GREEN = "green"

    @property
    def other(self) -> "Colour":
        return Colour.GREEN if self is Colour.BLUE else Colour.BLUE


class Component(StrEnum):
    """The part of an engine that a child object belongs to: the value of `app.kubernetes.io/component`."""

    ENGINE = "engine"
    MIGRATION = "migration"
    DATABASE = "database"
    CACHE = "cache"
    MAINTENANCE = "maintenance"  # the Jobs that try an image and a place for database or cache
    BACKUP = "backup"  # the Jobs that make backups of the database
    REPOSITORY = "repository"  # the volume with the backups, and the pod that serves it
    RESTORE = "restore"  # the Jobs that check and restore the database's data


ServerComponent = Literal[Component.DATABASE, Component.CACHE]


class Environment(StrEnum):
    """Selects default sizes."""

    DEVELOPMENT = "Development"  # one small replica
    STAGING = "Staging"  # two replicas
    PRODUCTION = "Production"  # three to twenty replicas


class ExecutionMode(StrEnum):
    """The counterparty of a client's order."""

    B_BOOK = "BBook"  # the house


class PriceFeed(StrEnum):
    """The source of prices."""

    SIMULATED = "Simulated"  # computed from the symbol and the time


class LogLevel(StrEnum):
    """The lowest level that the engine logs."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class PullPolicy(StrEnum):
    """When a node pulls the image."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class UriStyle(StrEnum):
    """Where a bucket's name stands in its addresses."""

    PATH = "Path"  # https://ENDPOINT/BUCKET
    HOST = "Host"  # https://BUCKET.ENDPOINT


class BackupBefore(StrEnum):
    """Whether an upgrade begins with a backup."""

    REQUIRED = "Required"  # without a fresh one, nothing is migrated
    SKIPPED = "Skipped"


class RolloutStrategy(StrEnum):
    """How a new version replaces the old one."""

    BLUE_GREEN = "BlueGreen"  # both colours at full size, one switch


class DatabaseType(StrEnum):
    """How PostgreSQL is run."""

    MANAGED = "Managed"  # by the operator, in the engine's namespace


class Durability(StrEnum):
    """When PostgreSQL acknowledges a commit."""

    QUORUM = "Quorum"  # once it is on the disks of the primary and of one standby
    ASYNCHRONOUS = "Asynchronous"  # once it is on the disk of the primary


class MemberRole(StrEnum):
    """What a PostgreSQL server is at present: the value of `rtx-trading.com/role`."""

    PRIMARY = "primary"  # takes writes
    REPLICA = "replica"  # a standby


class CacheMode(StrEnum):
    """How Redis is run."""

    SINGLE = "Single"  # one pod with a volume
    SENTINEL = "Sentinel"  # three, of which Sentinels choose the master


class BackupType(StrEnum):
    """Where backups of the database are kept."""

    VOLUME = "Volume"  # on a volume of their own, in the engine's namespace
    S3 = "S3"  # in a bucket
    NONE = "None"  # nowhere


class BackupKind(StrEnum):
    """What a backup contains."""

    FULL = "Full"  # the whole database
    INCREMENTAL = "Incremental"  # what has changed since the last backup


class BackupPhase(StrEnum):
    """The phase of a backup; operations/backup/phases.py has everything about each."""

    PENDING = "Pending"  # no Job yet: the database is not ready for it, or another backup runs
    RUNNING = "Running"  # its Job runs
    SUCCEEDED = "Succeeded"  # it is in the repository, with the log that it needs
    FAILED = "Failed"

    @property
    def is_terminal(self) -> bool:
        return self in {BackupPhase.SUCCEEDED, BackupPhase.FAILED}


class RestorePhase(StrEnum):
    """The phase of a restore; operations/restore/phases.py has everything about each."""

    PENDING = "Pending"  # no effect yet: another operation goes first, or something is missing
    VALIDATING = "Validating"  # a Job checks, by the repository, that the target can be restored
    FENCING = "Fencing"  # the fence names nobody: no order is executed from here on
    STOPPING = "Stopping"  # the database's pods end
    RESTORING = "Restoring"  # a Job restores beside the data that are there
    SWAPPING = "Swapping"  # the restored data take the place of those, which are kept
    STARTING = "Starting"  # the database starts with the restored data
    RESUMING = "Resuming"  # the fence names the active colour again, once its migrations have run
    SUCCEEDED = "Succeeded"
    UNDOING = "Undoing"  # the data of before come back
    ROLLING_BACK = "RollingBack"  # the database's pods and the fence come back
    FAILED = "Failed"  # the data are as before

    @property
    def is_terminal(self) -> bool:
        return self in {RestorePhase.SUCCEEDED, RestorePhase.FAILED}

    @property
    def is_fenced(self) -> bool:
        """Whether the restore itself says who executes: nobody."""
        return self.is_stopped or self in {RestorePhase.FENCING, RestorePhase.STARTING}

    @property
    def is_stopped(self) -> bool:
        """Whether the database is to have no pods."""
        return self in {RestorePhase.STOPPING, RestorePhase.RESTORING, RestorePhase.SWAPPING, RestorePhase.UNDOING}


class DeletionPolicy(StrEnum):
    """What remains after a TradingEngine is deleted."""

    RETAIN = "Retain"  # the data volumes, and the Secrets with their passwords
    DELETE = "Delete"  # nothing


class PeerPort(StrEnum):
    """A port of the engine: http (7999) or metrics (9090)."""

    HTTP = "http"  # 7999
    METRICS = "metrics"  # 9090


class OperationName(StrEnum):
    """The procedures with phases in status; operations/ has a folder for each."""

    RESTORE = "Restore"
    CUTOVER = "Cutover"
    MAINTENANCE = "Maintenance"
    RETIREMENT = "Retirement"


class CutoverPhase(StrEnum):
    """The phase of a cutover; operations/cutover/phases.py has everything about each."""

    PENDING = "Pending"  # no effect yet: another operation or a hold comes first
    BACKING_UP = "BackingUp"  # a fresh backup is made, before anything is changed
    MIGRATING = "Migrating"  # the new version's expand migrations run
    PROVISIONING = "Provisioning"  # the idle colour starts, and grows to the size of the active one
    TESTING = "Testing"  # smoke tests run; every old pod must reach a new one
    SWITCHING = "Switching"  # the fence moves, then the live Service
    MONITORING = "Monitoring"  # the old colour drains; the new one must stay within spec.rollout.monitor
    PROMOTING = "Promoting"  # the new colour has been judged: there is no way back from here but another cutover
    SUCCEEDED = "Succeeded"
    ROLLING_BACK = "RollingBack"  # fence and live Service return to the old colour; the new one is emptied
    ROLLED_BACK = "RolledBack"
    FAILED = "Failed"  # going back was impossible, and spec asked for a third version: the new one stays until then

    @property
    def is_terminal(self) -> bool:
        return self in {CutoverPhase.SUCCEEDED, CutoverPhase.ROLLED_BACK, CutoverPhase.FAILED}

    @property
    def has_colour(self) -> bool:
        """Whether the cutover's target is made in the idle colour."""
        return not self.is_terminal and self not in {CutoverPhase.PENDING, CutoverPhase.BACKING_UP}

    @property
    def has_slot(self) -> bool:
        """Whether it counts for MAX_CUTOVERS. A rollback makes nothing, and may wait for a person without end."""
        return not self.is_terminal and self not in {CutoverPhase.PENDING, CutoverPhase.ROLLING_BACK}


class Judgement(StrEnum):
    """By what a new version is judged while it is monitored."""

    TRAFFIC = "Traffic"  # by its answers to clients: at least spec.rollout.monitor.minimumRequests
    PROBES = "Probes"  # by its smoke tests, since it answered fewer


class RetirementPhase(StrEnum):
    """The phase of a retirement; operations/retirement/phases.py has everything about each."""

    EMPTYING = "Emptying"  # the previous colour's pods end
    CONTRACTING = "Contracting"  # the contract migrations run
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"  # the operator gave up: no cutover waits for it, and Stalled names the cause

    @property
    def is_terminal(self) -> bool:
        return self in {RetirementPhase.SUCCEEDED, RetirementPhase.FAILED}


class MaintenancePhase(StrEnum):
    """The phase of a maintenance; operations/maintenance/phases.py has everything about each."""

    PENDING = "Pending"  # no effect yet: it waits for a slot of the fleet, and for other operations
    CHECKING = "Checking"  # a Job tries the image, on a node where the volume can be
    RESTARTING = "Restarting"  # the pod is replaced
    VERIFYING = "Verifying"  # the database answers and has its fence
    SUCCEEDED = "Succeeded"
    ROLLING_BACK = "RollingBack"  # the pod is replaced by one as before
    FAILED = "Failed"  # the server runs as before, and Stalled names the cause

    @property
    def is_terminal(self) -> bool:
        return self in {MaintenancePhase.SUCCEEDED, MaintenancePhase.FAILED}

    @property
    def has_slot(self) -> bool:
        """Whether it counts for MAX_MAINTENANCE."""
        return not self.is_terminal and self is not MaintenancePhase.PENDING

    @property
    def replaces_pod(self) -> bool:
        """Whether the server's objects are changed by the maintenance itself, and not repaired besides."""
        return self in {MaintenancePhase.RESTARTING, MaintenancePhase.VERIFYING, MaintenancePhase.ROLLING_BACK}


class ConditionType(StrEnum):
    """Conditions of a TradingEngine; the first three are kstatus'."""

    READY = "Ready"  # orders can be placed
    RECONCILING = "Reconciling"  # the operator is working towards the spec
    STALLED = "Stalled"  # the operator needs the help of a person
    UP_TO_DATE = "UpToDate"  # the running revision is that of the spec
    CACHE_AVAILABLE = "CacheAvailable"  # Redis is ready; without it orders and reads go on
    DATABASE_REDUNDANT = "DatabaseRedundant"  # the loss of one database server would be borne; absent with one server
    BACKUP_FRESH = "BackupFresh"  # the newest backup is recent, and what it needs is in the repository
    DISPUTED = "Disputed"  # another manager keeps changing the engine's objects; absent until one does


class ConditionStatus(StrEnum):
    """A condition's status as Kubernetes writes it."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Reason(StrEnum):
    """The cause of a condition's status; the condition's message has the details and the remedy."""

    # Ready, CacheAvailable and UpToDate hold
    SERVING = "Serving"  # the live Service has ready pods of the active colour
    CACHE_READY = "CacheReady"
    AS_SPECIFIED = "AsSpecified"  # the running pods are of the spec's revision
    REFRESH_AVAILABLE = "RefreshAvailable"  # likewise, but this release of the operator would make them otherwise
    IN_SYNC = "InSync"  # all servers of the database are in sync with the one that leads
    DONE = "Done"  # the operator has nothing left to do
    # In progress: only time is needed
    DATABASE_STARTING = "DatabaseStarting"
    NO_PRIMARY = "NoPrimary"  # no server of the database leads: one of them takes over, or starts
    STANDBY_MISSING = "StandbyMissing"  # standbys of the database do not follow; the message names them
    DATABASE_STUCK = "DatabaseStuck"  # the database's primary is ready, and writes nothing: its disk hangs
    DATABASE_SCALING = "DatabaseScaling"  # the number of database servers, or their durability, is being changed
    CACHE_STARTING = "CacheStarting"
    CACHE_DEGRADED = "CacheDegraded"  # it serves, and one of its pods is missing
    MIGRATING = "Migrating"
    FLEET_BUSY = "FleetBusy"  # as many other engines are being upgraded as the operator's MAX_CUTOVERS allows
    ENGINE_STARTING = "EngineStarting"
    FENCE_MOVING = "FenceMoving"  # the database does not name the active colour as its executor yet
    SCALING = "Scaling"  # it serves, while the number of pods changes
    CUTOVER_IN_PROGRESS = "CutoverInProgress"  # the message has the phase and the unmet check
    RETIRING = "Retiring"  # the previous colour is being removed
    RESTORING = "Restoring"  # the database's data are being restored; the message has the phase
    MAINTENANCE_IN_PROGRESS = "MaintenanceInProgress"  # database or cache is being changed; the message has the phase
    ENDPOINTS_PENDING = "EndpointsPending"  # pods are ready, but not in the EndpointSlices of the live Service yet
    TERMINATING = "Terminating"  # a child of the same name is still being deleted
    RECONCILE_FAILED = "ReconcileFailed"  # an error of the operator, or of a server that it uses; it retries by itself
    # A cutover rolls back
    SUPERSEDED = "Superseded"  # the spec has changed to another revision
    SMOKE_FAILED = "SmokeFailed"
    WRONG_VERSION = "WrongVersion"  # a pod reports another version than the spec asks for
    PEERS_UNREACHABLE = "PeersUnreachable"  # old pods could not forward requests to the new ones
    NOT_READY = "NotReady"  # pods of the new colour are not ready, or no longer ready
    CONTAINER_RESTARTED = "ContainerRestarted"  # a container of the new colour ended during Monitoring
    TOO_MANY_ERRORS = "TooManyErrors"  # share of 5xx above spec.rollout.monitor.maxErrorPercent
    TOO_SLOW = "TooSlow"  # p99 above spec.rollout.monitor.maxP99Milliseconds
    DEADLINE_EXCEEDED = "DeadlineExceeded"  # the phase's deadline passed
    # A person has to act
    PAUSED = "Paused"
    REJECTED = "Rejected"  # the spec's revision was rolled back
    CANNOT_ROLL_BACK = "CannotRollBack"  # the old colour has no ready pod, or none that answers
    CONTRACT_FAILED = "ContractFailed"  # the contract migrations failed
    CHECK_FAILED = "CheckFailed"  # the new image of database or cache does not run
    DATA_MISSING = "DataMissing"  # the database has not the data that it had
    PODS_REMAIN = "PodsRemain"  # pods of the previous colour did not end in time
    UNKNOWN_ACTIVE = "UnknownActive"  # the record of the active release is lost
    OPERATOR_TOO_OLD = "OperatorTooOld"  # a later release wrote what this one does not know; it changes nothing
    INVALID_SPEC = "InvalidSpec"  # the stored object does not match this operator's schema
    CREDENTIALS_MISSING = "CredentialsMissing"  # the Secret, or a key of it
    CREDENTIALS_LOST = "CredentialsLost"  # a generated Secret is gone while a volume has its passwords
    NAME_TAKEN = "NameTaken"  # an object of another owner has the name of a child
    DATABASE_IN_USE = "DatabaseInUse"  # the database belongs to another TradingEngine
    DATABASE_UNREACHABLE = "DatabaseUnreachable"
    MIGRATION_FAILED = "MigrationFailed"
    # Backups
    BACKED_UP = "BackedUp"  # the newest backup is as recent as spec.backup.maxAge asks, with the log that it needs
    NOT_BACKED_UP = "NotBackedUp"  # spec asks for no backups
    BACKUP_PENDING = "BackupPending"  # the first backup has not ended yet
    BACKUP_UNPREPARED = "BackupUnprepared"  # the database runs without the server that backups read from
    BACKUP_FAILED = "BackupFailed"
    BACKUP_TOO_OLD = "BackupTooOld"  # the newest one is older than spec.backup.maxAge
    BACKUP_UNREPORTED = "BackupUnreported"  # its Job is over, and what it said is lost
    ENGINE_MISSING = "EngineMissing"  # spec.engine names none
    # Restores
    RESTORE_REFUSED = "RestoreRefused"  # the target cannot be restored; nothing was touched
    RESTORE_FAILED = "RestoreFailed"  # it began, and the data of before are back
    RESTORE_WITHDRAWN = "RestoreWithdrawn"  # its TradingEngineRestore was deleted
    RESTORE_BUSY = "RestoreBusy"  # another restore of the engine goes first
    QUOTA_EXCEEDED = "QuotaExceeded"
    PODS_REFUSED = "PodsRefused"  # the API server refuses the pods, but not because of a quota
    VOLUME_UNBOUND = "VolumeUnbound"
    VOLUME_NOT_MOUNTED = "VolumeNotMounted"  # a volume's Secret or ConfigMap is missing, or it cannot be attached
    NODE_LOST = "NodeLost"  # a pod does not end, because its node does not answer
    UNSCHEDULABLE = "Unschedulable"
    IMAGE_UNAVAILABLE = "ImageUnavailable"
    CONTAINER_CANNOT_START = "ContainerCannotStart"
    CRASH_LOOPING = "CrashLooping"
    OTHER_MANAGER = "OtherManager"  # the message names it, and the object that it keeps changing
    REQUEST_REFUSED = "RequestRefused"  # the API server refuses a child object
