"""spec.database: PostgreSQL."""

from pydantic import Field

from rtx_operator.api.enums import DatabaseType
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
        description="Number of PostgreSQL servers.",
        json_schema_extra=rules(rule("self == 1", "must be 1: standbys are not in this release")),
    )
    storage: Bytes = Field(default="50Gi", description=f"{StatefulServer.model_fields['storage'].description}")
