"""spec.scaling: the number of engine pods."""

from typing import Annotated

from pydantic import ConfigDict, Field

from rtx_operator.api.schema import ApiModel, rule, rules

MAX_REPLICAS = 20  # 20 pods of two colours with two connections each stay under PostgreSQL's 100
Percent = Annotated[int, Field(ge=1, le=100)]
Replicas = Annotated[int, Field(ge=1, le=MAX_REPLICAS)]


class Scaling(ApiModel):
    """Number of engine pods, and when the autoscaler changes it. An edit takes effect at once and is no upgrade."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
                "minReplicas must not be above maxReplicas: lower minReplicas or raise maxReplicas",
                ".minReplicas",
            )
        )
    )

    min_replicas: Replicas | None = Field(
        default=None,
        description="Lowest number of pods. Unset: 3, in Development 1, in Staging 2, but never above maxReplicas.",
    )
    max_replicas: Replicas | None = Field(
        default=None,
        description="Highest number of pods; the same number as minReplicas switches the autoscaler off. Unset: 10, in "
        "Development 1, in Staging 2, in Production 20, but never below minReplicas.",
    )
    target_cpu_utilization_percent: Percent = Field(
        default=70,
        alias="targetCPUUtilizationPercent",
        description="Average CPU use, in percent of the request, that the autoscaler aims at; above it, it adds pods.",
    )
    target_memory_utilization_percent: Percent = Field(
        default=80,
        description="Average memory use, in percent of the request, that the autoscaler aims at; above it, it adds "
        "pods.",
    )
    target_orders_per_second_per_pod: int = Field(
        default=300,
        ge=1,
        le=100_000,
        description="Orders a second and pod that the autoscaler aims at; above it, it adds pods. Ignored where the "
        "cluster does not serve the metric rtx_orders_per_second.",
    )
