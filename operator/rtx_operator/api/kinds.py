"""The kinds of the API. A new one is a row here: its CRD, what is watched of it and its reconciles follow from that."""

from dataclasses import dataclass

from rtx_operator.api.names import KIND, PLURAL
from rtx_operator.api.schema import ApiModel, Schema
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


def _column(name: str, path: str, description: str, kind: str = "string", *, wide: bool = False) -> Schema:
    column = {"name": name, "type": kind, "jsonPath": path, "description": description}
    return {**column, "priority": 1} if wide else column


TRADING_ENGINE = Kind(
    name=KIND,
    plural=PLURAL,
    short_name="te",
    description="A whole trading engine: engine pods, PostgreSQL, Redis, network policies, autoscaling.",
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

KINDS = (TRADING_ENGINE,)
