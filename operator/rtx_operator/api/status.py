"""The status of a TradingEngine: what the operator says. Read it with `kubectl describe te`."""

from pydantic import Field

from rtx_operator.api.enums import Colour, ConditionStatus, ConditionType
from rtx_operator.api.schema import ApiModel


class Condition(ApiModel):
    """One condition, as `metav1.Condition` defines it."""

    type: ConditionType = Field(description="Ready, Reconciling, Stalled or UpToDate.")
    status: ConditionStatus = Field(description="True, False or Unknown.")
    reason: str = Field(min_length=1, max_length=1024, description="Why, in one word.")
    message: str = Field(max_length=32768, description="Why, in plain words, and what to do.")
    last_transition_time: str = Field(
        description="When the status last changed.", json_schema_extra={"format": "date-time"}
    )
    observed_generation: int = Field(ge=0, description="The generation of the spec that this speaks of.")


class Active(ApiModel):
    """What takes the traffic."""

    colour: Colour = Field(description="The colour that the live Service selects.")
    version: str = Field(max_length=64, description="Its version.")
    digest: str | None = Field(default=None, max_length=71, description="The digest its image resolved to.")
    config_hash: str = Field(max_length=64, description="Names its ConfigMap.")
    pod_hash: str = Field(max_length=64, description="Stands for everything that shapes its pods.")
    epoch: int = Field(default=0, ge=0, description="The epoch at which the database lets it execute; 0 if unknown.")


class ReplicaCount(ApiModel):
    """Pods of the active colour."""

    desired: int = Field(ge=0, description="How many there should be now.")
    ready: int = Field(ge=0, description="How many are ready.")


class TradingEngineStatus(ApiModel):
    """What the operator last saw and did."""

    observed_generation: int = Field(default=0, ge=0, description="The generation of the spec that was last acted on.")
    conditions: list[Condition] = Field(
        default=[],
        max_length=16,
        description="How the engine is, and what to do.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    active: Active | None = Field(default=None, description="What takes the traffic.")
    replicas: ReplicaCount | None = Field(default=None, description="Pods of the active colour.")
    pods: str | None = Field(default=None, max_length=16, description="The same for the eye: ready/desired.")
