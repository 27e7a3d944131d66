"""The kinds of the API. A new one is a row here: its CRD, what is watched of it and its reconciles follow from that."""

from dataclasses import dataclass

from rtx_operator.api.backup import TradingEngineBackupSpec, TradingEngineBackupStatus
from rtx_operator.api.names import (
    KIND,
    MAX_BACKUP_NAME_LENGTH,
    MAX_NAME_LENGTH,
    MAX_RESTORE_NAME_LENGTH,
    PLURAL,
)
from rtx_operator.api.restore import TradingEngineRestoreSpec, TradingEngineRestoreStatus
from rtx_operator.api.schema import ApiModel, Schema, rule
from rtx_operator.api.spec import TradingEngineSpec
from rtx_operator.api.status import TradingEngineStatus

_READY = '.status.conditions[?(@.type=="Ready")]'
_RECONCILING = '.status.conditions[?(@.type=="Reconciling")]'


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of the API group, with its models and what `kubectl get` shows of it."""

    name: str
    plural: str
    short_name: str
    description: str
    spec: type[ApiModel]
    status: type[ApiModel]
    columns: tuple[Schema, ...]  # additionalPrinterColumns
    name_rule: dict[str, str]  # a CEL rule for metadata.name


def _column(name: str, path: str, description: str, kind: str = "string", *, wide: bool = False) -> Schema:
    column = {"name": name, "type": kind, "jsonPath": path, "description": description}
    return {**column, "priority": 1} if wide else column


TRADING_ENGINE = Kind(
    name=KIND,
    plural=PLURAL,
    short_name="te",
    description="A whole trading engine: engine pods, PostgreSQL, Redis, network policies, autoscaling.",
    # A short name keeps every child's name within the 63 characters of a label.
    name_rule=rule(
        f"self.metadata.name.matches('^[a-z]([-a-z0-9]{{0,{MAX_NAME_LENGTH - 2}}}[a-z0-9])?$')",
        f"metadata.name must have at most {MAX_NAME_LENGTH} characters, start with a letter and hold only lower case "
        "letters, digits and dashes: Services and volumes are named after it",
        ".metadata.name",
    ),
    spec=TradingEngineSpec,
    status=TradingEngineStatus,
    columns=(
        _column("Version", ".status.active.version", "Version that the live Service selects."),
        _column("Colour", ".status.active.colour", "Colour that the live Service selects."),
        _column("Pods", ".status.pods", "Ready and desired pods of that colour."),
        _column("Ready", f"{_READY}.status", "Whether clients can place orders."),
        _column("Reason", f"{_READY}.reason", "Reason of Ready, in one word."),
        _column("Cutover", ".status.cutover.phase", "Phase of the cutover under way, or result of the last one."),
        _column("Age", ".metadata.creationTimestamp", "Time since its creation.", "date"),
        _column(
            "To", ".status.cutover.to.version", "Version that this cutover goes to, or the last one went to.", wide=True
        ),
        _column(
            "Database", ".status.databaseCluster.inSync", "Database servers in sync, of those there are.", wide=True
        ),
        _column("Message", f"{_READY}.message", "Why Ready is as it is, and what to do.", wide=True),
        _column("Waiting", f"{_RECONCILING}.message", "What the operator waits for, as in a cutover.", wide=True),
    ),
)

TRADING_ENGINE_BACKUP = Kind(
    name="TradingEngineBackup",
    plural="tradingenginebackups",
    short_name="teb",
    description="A backup of the database of a TradingEngine. Deleting it deletes no backup.",
    name_rule=rule(
        f"size(self.metadata.name) <= {MAX_BACKUP_NAME_LENGTH}",
        f"metadata.name must have at most {MAX_BACKUP_NAME_LENGTH} characters: its Job has it as a label",
        ".metadata.name",
    ),
    spec=TradingEngineBackupSpec,
    status=TradingEngineBackupStatus,
    columns=(
        _column("Engine", ".spec.engine", "The TradingEngine."),
        _column("Type", ".spec.type", "What it contains."),
        _column("Phase", ".status.phase", "Pending, Running, Succeeded or Failed."),
        _column("Seconds", ".status.seconds", "How long the backup took.", "number"),
        _column("Stored", ".status.made.storedBytes", "Bytes that it added to the repository.", "integer"),
        _column("Verified", ".status.made.walVerified", "Whether the log that it needs is there.", "boolean"),
        _column("Age", ".metadata.creationTimestamp", "Time since its creation.", "date"),
        _column("Database", ".status.made.bytes", "Bytes of the database.", "integer", wide=True),
        _column("Label", ".status.made.label", "Its name in the repository.", wide=True),
        _column("Message", ".status.message", "What it waits for, or why it failed.", wide=True),
    ),
)

TRADING_ENGINE_RESTORE = Kind(
    name="TradingEngineRestore",
    plural="tradingenginerestores",
    short_name="ter",
    description="Brings the database of a TradingEngine back to what it was. The engine takes no orders meanwhile.",
    name_rule=rule(
        f"size(self.metadata.name) <= {MAX_RESTORE_NAME_LENGTH}",
        f"metadata.name must have at most {MAX_RESTORE_NAME_LENGTH} characters: its Jobs have it as a label",
        ".metadata.name",
    ),
    spec=TradingEngineRestoreSpec,
    status=TradingEngineRestoreStatus,
    columns=(
        _column("Engine", ".spec.engine", "The TradingEngine."),
        _column("Phase", ".status.phase", "Its phase, or how it ended."),
        _column("Backup", ".status.label", "The backup that it begins with, by its name in the repository."),
        _column("Commit", ".status.restored.lastCommit", "The last commit that was restored."),
        _column("Keeps", ".status.keepsEarlierData", "Whether the data of before are kept.", "boolean"),
        _column("Age", ".metadata.creationTimestamp", "Time since its creation.", "date"),
        _column("Message", ".status.message", "What it waits for, or why it failed.", wide=True),
    ),
)

KINDS = (TRADING_ENGINE, TRADING_ENGINE_BACKUP, TRADING_ENGINE_RESTORE)
