"""spec.database: PostgreSQL."""

from pydantic import Field

from rtx_operator.api.enums import DatabaseType, Durability
from rtx_operator.api.schema import Bytes, Schema, only, rule, rules
from rtx_operator.api.spec.parameters import Parameters
from rtx_operator.api.spec.stateful import StatefulServer

_LIVE = frozenset({"instances", "durability"})  # an edit replaces no pod


class Database(StatefulServer):
    """PostgreSQL, which stores orders, positions and balances."""

    type: DatabaseType = Field(
        default=DatabaseType.MANAGED,
        description="Who runs PostgreSQL. Managed: the operator, in the TradingEngine's namespace.",
        json_schema_extra=only("Managed", later="External is"),
    )
    instances: int = Field(
        default=1,
        description="Number of PostgreSQL servers, each with a volume of its own. 1: no standby. 3: a primary and two "
        "standbys, one of which takes over when the primary fails.",
        json_schema_extra=rules(
            rule("self == 1 || self == 3", "must be 1 or 3: of two servers, neither could take over safely")
        ),
    )
    durability: Durability = Field(
        default=Durability.QUORUM,
        description="When a commit is acknowledged. Quorum: once it is on the disks of two servers; a failover loses "
        "nothing, and without a standby nothing is written. Asynchronous: once it is on the primary's disk; a failover "
        "may lose the last commits. With one instance both mean the disk of that server.",
    )
    storage: Bytes = Field(default="50Gi", description=f"{StatefulServer.model_fields['storage'].description}")
    parameters: Parameters = Field(
        default=Parameters(),
        description="Settings of PostgreSQL, under its names. Most take effect within seconds; three begin a "
        "maintenance. Others than these are not yours to set: they carry promises, or follow from resources and "
        "storage, as shared_buffers does.",
    )

    def asked_of_pods(self) -> Schema:
        """What of it a pod is made from, without defaults, so that another release of the operator finds the same."""
        asked = super().asked_of_pods()
        at_start = self.parameters.at_start
        kept = {field: value for field, value in asked.items() if field not in _LIVE | {"parameters"}}
        return {**kept, **({"parameters": at_start} if at_start else {})}
