"""Every word that the API and its objects use, each with what it means."""

from enum import StrEnum


class Colour(StrEnum):
    """The two sets of engine pods between which an upgrade moves."""

    BLUE = "blue"
    GREEN = "green"

    @property
    def other(self) -> "Colour":
        return Colour.GREEN if self is Colour.BLUE else Colour.BLUE


class Component(StrEnum):
    """What a child object belongs to: the value of `app.kubernetes.io/component`."""

    ENGINE = "engine"
    MIGRATION = "migration"
    DATABASE = "database"
    CACHE = "cache"


class Environment(StrEnum):
    """Picks default sizes."""

    DEVELOPMENT = "Development"  # one small replica
    STAGING = "Staging"  # two replicas
    PRODUCTION = "Production"  # three to twenty replicas


class ExecutionMode(StrEnum):
    """Who takes the other side of a client's order."""

    B_BOOK = "BBook"  # the house


class PriceFeed(StrEnum):
    """Where prices come from."""

    SIMULATED = "Simulated"  # computed from the symbol and the time


class LogLevel(StrEnum):
    """The least severe message that the engine writes."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class PullPolicy(StrEnum):
    """When a node asks the registry for an image."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class RolloutStrategy(StrEnum):
    """How a new version replaces the old one."""

    BLUE_GREEN = "BlueGreen"  # both colours at full size, one switch


class DatabaseType(StrEnum):
    """Who runs PostgreSQL."""

    MANAGED = "Managed"  # the operator, in the engine's namespace


class CacheMode(StrEnum):
    """How Redis runs."""

    SINGLE = "Single"  # one pod with a volume


class DeletionPolicy(StrEnum):
    """What deleting a TradingEngine leaves behind."""

    RETAIN = "Retain"  # data volumes and the credentials that open them
    DELETE = "Delete"  # nothing


class PeerPort(StrEnum):
    """The engine's ports that a network peer may be allowed to reach."""

    HTTP = "http"  # 7999
    METRICS = "metrics"  # 9090


class OperationName(StrEnum):
    """What takes its time and has phases in status; operations/ has a folder for each."""

    CUTOVER = "Cutover"
    RETIREMENT = "Retirement"


class CutoverPhase(StrEnum):
    """The phase of a cutover; operations/cutover/phases.py has everything about each."""

    PENDING = "Pending"  # nothing is made yet: something else comes first
    MIGRATING = "Migrating"  # the new version's expand migrations run
    PROVISIONING = "Provisioning"  # the idle colour comes up, as large as the active one
    TESTING = "Testing"  # smoke tests, and whether the old pods reach the new ones
    SWITCHING = "Switching"  # the fence moves, then the live Service
    MONITORING = "Monitoring"  # the old colour drains, the new one is watched
    PROMOTING = "Promoting"  # autoscaler and disruption budget follow
    SUCCEEDED = "Succeeded"
    ROLLING_BACK = "RollingBack"  # fence and Service go back, the new colour goes away
    ROLLED_BACK = "RolledBack"

    @property
    def is_terminal(self) -> bool:
        return self in {CutoverPhase.SUCCEEDED, CutoverPhase.ROLLED_BACK}


class RetirementPhase(StrEnum):
    """The phase of a retirement; operations/retirement/phases.py has everything about each."""

    EMPTYING = "Emptying"  # the previous colour's pods end
    CONTRACTING = "Contracting"  # the contract migrations run
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"  # given up: nothing waits for it, and Stalled names the cause

    @property
    def is_terminal(self) -> bool:
        return self in {RetirementPhase.SUCCEEDED, RetirementPhase.FAILED}


class ConditionType(StrEnum):
    """Conditions of a TradingEngine; the first three as kstatus defines them."""

    READY = "Ready"  # orders can be placed
    RECONCILING = "Reconciling"  # the operator is on its way to what the spec asks for
    STALLED = "Stalled"  # it cannot go on without somebody's help
    UP_TO_DATE = "UpToDate"  # what runs is what the spec asks for


class ConditionStatus(StrEnum):
    """A condition's status as Kubernetes writes it."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Reason(StrEnum):
    """Why a condition is as it is, in one word; its message says what to do."""

    # Ready and UpToDate hold
    SERVING = "Serving"  # the live Service has ready pods of the active colour
    AS_SPECIFIED = "AsSpecified"  # the pods that run are those the spec describes
    DONE = "Done"  # nothing is left to do
    # On the way: time is all it takes
    DATABASE_STARTING = "DatabaseStarting"
    CACHE_STARTING = "CacheStarting"
    MIGRATING = "Migrating"
    ENGINE_STARTING = "EngineStarting"
    FENCE_MOVING = "FenceMoving"  # the database does not name the active colour as its executor yet
    SCALING = "Scaling"  # it serves, while pods come or go
    CUTOVER_IN_PROGRESS = "CutoverInProgress"  # the message has the phase and what it waits for
    RETIRING = "Retiring"  # the previous colour is being removed
    ENDPOINTS_PENDING = "EndpointsPending"  # pods are ready, the live Service does not name them yet
    TERMINATING = "Terminating"  # a child of the same name is still being deleted
    RECONCILE_FAILED = "ReconcileFailed"  # an error on the operator's side; it tries again by itself
    # Why a cutover goes back
    SUPERSEDED = "Superseded"  # the spec asks for another version now
    SMOKE_FAILED = "SmokeFailed"
    PEERS_UNREACHABLE = "PeersUnreachable"  # old pods could not hand requests on to the new ones
    NOT_READY = "NotReady"  # the new colour's pods are not ready, or not ready any more
    CONTAINER_RESTARTED = "ContainerRestarted"  # a pod of the new colour crashed while it was watched
    TOO_MANY_ERRORS = "TooManyErrors"  # more than spec.rollout.monitor.maxErrorPercent
    TOO_SLOW = "TooSlow"  # slower than spec.rollout.monitor.maxP99Milliseconds
    DEADLINE_EXCEEDED = "DeadlineExceeded"  # the phase's deadline passed
    # It waits for a person
    PAUSED = "Paused"
    REJECTED = "Rejected"  # the spec asks for what was rolled back
    CANNOT_ROLL_BACK = "CannotRollBack"  # the old colour has no ready pod to go back to
    CONTRACT_FAILED = "ContractFailed"  # the contract migrations failed
    PODS_REMAIN = "PodsRemain"  # pods of the previous colour did not end in time
    INVALID_SPEC = "InvalidSpec"  # the object was stored before the schema knew better
    CREDENTIALS_MISSING = "CredentialsMissing"  # the Secret, or keys in it
    NAME_TAKEN = "NameTaken"  # an object that is not ours has a name that we need
    DATABASE_IN_USE = "DatabaseInUse"  # the database belongs to another TradingEngine
    DATABASE_UNREACHABLE = "DatabaseUnreachable"
    MIGRATION_FAILED = "MigrationFailed"
    QUOTA_EXCEEDED = "QuotaExceeded"
    PODS_REFUSED = "PodsRefused"  # the API server refuses the pods for another reason than a quota
    VOLUME_UNBOUND = "VolumeUnbound"
    UNSCHEDULABLE = "Unschedulable"
    IMAGE_UNAVAILABLE = "ImageUnavailable"
    CONTAINER_CANNOT_START = "ContainerCannotStart"
    CRASH_LOOPING = "CrashLooping"
    REQUEST_REFUSED = "RequestRefused"  # the API server refuses a child object
