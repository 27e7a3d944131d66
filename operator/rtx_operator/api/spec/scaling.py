"""spec.scaling: the number of engine pods."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from rtx_operator.api.schema import ApiModel, rule, rules

MAX_REPLICAS = 20  # with two connections to the database each; trading_engine.py has the rule for more
Percent = Annotated[int, Field(ge=1, le=100)]
Replicas = Annotated[int, Field(ge=1, le=MAX_REPLICAS)]


class ScalingPolicy(ApiModel):
    """A limit on the change of the number of pods within a period."""

    type: Literal["Pods", "Percent"] = Field(description="Unit of value: pods, or percent of the present number.")
    value: int = Field(ge=1, le=1000, description="Highest change within the period.")
    period_seconds: int = Field(ge=1, le=1800, description="Length of the period, in seconds.")


_Window = Annotated[
    int,
    Field(
        ge=0,
        le=3600,
        description="Seconds of past recommendations from which the autoscaler takes the most cautious one.",
    ),
]
_SelectPolicy = Annotated[
    Literal["Max", "Min", "Disabled"],
    Field(description="Which policy counts: the one with the highest change, with the lowest, or none: never change."),
]
_Policies = Annotated[
    list[ScalingPolicy],
    Field(
        min_length=1,
        max_length=10,
        description="Limits on the change.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    ),
]


class ScaleUp(ApiModel):
    """How fast the autoscaler adds pods."""

    stabilization_window_seconds: _Window = 60
    select_policy: _SelectPolicy = "Max"
    policies: _Policies = Field(default=[ScalingPolicy(type="Percent", value=100, period_seconds=30)])


class ScaleDown(ApiModel):
    """How fast the autoscaler removes pods."""

    stabilization_window_seconds: _Window = 300
    select_policy: _SelectPolicy = "Max"
    policies: _Policies = Field(default=[ScalingPolicy(type="Percent", value=50, period_seconds=60)])


class ScalingBehavior(ApiModel):
    """How fast the autoscaler changes the number of pods, as in a HorizontalPodAutoscaler."""

    scale_up: ScaleUp = ScaleUp()
    scale_down: ScaleDown = ScaleDown()


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
    behavior: ScalingBehavior = ScalingBehavior()
