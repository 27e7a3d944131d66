"""spec.cache: Redis."""

from pydantic import Field

from rtx_operator.api.enums import CacheMode
from rtx_operator.api.schema import OPEN_ENUM, Bytes, rule, rules
from rtx_operator.api.spec.stateful import StatefulServer


class Cache(StatefulServer):
    """Redis, which carries account events from pod to pod. PostgreSQL has them all; without Redis they arrive later."""

    mode: CacheMode = Field(
        default=CacheMode.SINGLE,
        description="How Redis runs. Single: one pod with a volume. Sentinel: three pods, each with a Redis, a "
        "Sentinel and a volume; when the master is lost, the Sentinels make another one so within seconds. An edit "
        "begins a maintenance, which keeps the data; a return to Sentinel may bring back those of the last time.",
        json_schema_extra=rules(
            rule(
                "self == 'Single' || self == 'Sentinel'",
                "must be Single or Sentinel: the engine needs one channel and a few counters, which shards do not help",
            ),
            **{OPEN_ENUM: True},
        ),
    )
    storage: Bytes = Field(default="10Gi", description=f"{StatefulServer.model_fields['storage'].description}")
