"""spec.database: PostgreSQL."""

from pydantic import Field

from rtx_operator.api.enums import DatabaseType, Durability
from rtx_operator.api.schema import Bytes, only, rule, rules
from rtx_operator.api.spec.stateful import StatefulServer


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
