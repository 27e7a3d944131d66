"""spec.cache: Redis."""

from pydantic import Field

from rtx_operator.api.enums import CacheMode
from rtx_operator.api.schema import Bytes, only
from rtx_operator.api.spec.stateful import StatefulServer


class Cache(StatefulServer):
    """Redis, which carries account events from pod to pod. PostgreSQL has them all; without Redis they arrive later."""

    mode: CacheMode = Field(
        default=CacheMode.SINGLE,
        description="How Redis runs. Single: one pod with a volume.",
        json_schema_extra=only("Single", later="Sentinel and Cluster are"),
    )
    storage: Bytes = Field(default="10Gi", description=f"{StatefulServer.model_fields['storage'].description}")
