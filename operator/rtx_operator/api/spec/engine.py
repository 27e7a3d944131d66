"""spec.broker and spec.config: what the engine runs, and the settings of its process."""

from pydantic import Field

from rtx_operator.api.enums import ExecutionMode, LogLevel, PriceFeed
from rtx_operator.api.schema import ApiModel, only

MIN_CONNECTIONS, MAX_CONNECTIONS = 2, 4  # to the database, of one engine pod


class Broker(ApiModel):
    """The brokerage that the engine runs. An edit makes an upgrade."""

    name: str = Field(
        default="RTX Trading", min_length=1, max_length=100, description="Name of the broker, as clients see it."
    )
    execution_mode: ExecutionMode = Field(
        default=ExecutionMode.B_BOOK,
        description="Who takes the other side of an order. BBook: the house.",
        json_schema_extra=only("BBook", later="ABook is"),
    )
    price_feed: PriceFeed = Field(
        default=PriceFeed.SIMULATED,
        description="Where prices come from. Simulated: computed from symbol and time.",
        json_schema_extra=only("Simulated", later="OANDA is"),
    )


class EngineConfig(ApiModel):
    """Settings of the engine's process. An edit makes an upgrade."""

    log_level: LogLevel = Field(default=LogLevel.INFO, description="Lowest severity that the engine logs.")
    database_connections: int = Field(
        default=MIN_CONNECTIONS,
        ge=MIN_CONNECTIONS,
        le=MAX_CONNECTIONS,
        description="Connections of each engine pod to the database: one reads, the others write orders. More than 2 "
        "are for disks whose commits take long, and for pods with a processor of their own: each makes an order cost "
        "more CPU. At most 14 pods may have 3, and 11 pods 4.",
    )
