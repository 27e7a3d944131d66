"""spec.broker and spec.config: what the engine runs, and the settings of its process."""

from pydantic import Field

from rtx_operator.api.enums import ExecutionMode, LogLevel, PriceFeed
from rtx_operator.api.schema import ApiModel, only


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
