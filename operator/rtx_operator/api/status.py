"""The status of a TradingEngine: what the operator says. Read it with `kubectl describe te`."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, WithJsonSchema

from rtx_operator.api.enums import Colour, ConditionStatus, ConditionType, Phase, PreviousState
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
    revision: str = Field(max_length=64, description="Hash of everything that shapes its pods.")
    epoch: int = Field(default=0, ge=0, description="The epoch at which the database lets it execute; 0 if unknown.")


Time = Annotated[datetime, WithJsonSchema({"type": "string", "format": "date-time"})]
Seconds = Annotated[
    dict[Phase, float],
    WithJsonSchema({"type": "object", "additionalProperties": {"type": "number"}, "maxProperties": 16}),
]

HISTORY_LIMIT = 10  # cutovers that status remembers


class Release(ApiModel):
    """What a colour runs, or is to run."""

    colour: Colour = Field(description="The colour.")
    version: str = Field(max_length=64, description="Its version.")
    revision: str = Field(max_length=64, description="Hash of everything that shapes its pods.")


class Cutover(ApiModel):
    """The cutover that is under way, or the last one."""

    id: str = Field(max_length=80, description="Names it, also in the database's fence.")
    phase: Phase = Field(description="Where it stands.")
    since: Time = Field(description="When this phase began.")
    deadline: Time | None = Field(default=None, description="When this phase must have ended.")
    from_: Release = Field(alias="from", description="What ran when it began.")
    to: Release = Field(description="What it goes to.")
    started_at: Time = Field(description="When it began.")
    fenced_at: Time | None = Field(default=None, description="When the database let the new colour execute.")
    switched_at: Time | None = Field(default=None, description="When the live Service named only the new colour.")
    restored_at: Time | None = Field(default=None, description="When it named only the old colour again.")
    reason: str = Field(default="", max_length=64, description="Why it goes back, in one word.")
    message: str = Field(default="", max_length=4096, description="What it waits for, or why it goes back.")
    seconds: Seconds = Field(default={}, description="How long each phase that is over took.")


class Previous(ApiModel):
    """The colour that was active before. While it is kept, going back to it is a switch."""

    colour: Colour = Field(description="The colour.")
    version: str = Field(max_length=64, description="Its version.")
    revision: str = Field(max_length=64, description="Hash of everything that shapes its pods.")
    retire_after: Time = Field(description="When it is taken away.")
    state: PreviousState = Field(default=PreviousState.KEPT, description="Kept, or Retiring.")


class Rejected(ApiModel):
    """What was rolled back. It is not tried again until the spec changes, or somebody says so."""

    revision: str = Field(max_length=64, description="Hash of everything that shapes its pods.")
    version: str = Field(max_length=64, description="Its version.")
    reason: str = Field(max_length=64, description="Why, in one word.")
    message: str = Field(max_length=4096, description="Why, in plain words.")
    retry: str = Field(default="", max_length=256, description="The retry annotation's value at that time.")


class HistoryEntry(ApiModel):
    """A cutover that is over."""

    id: str = Field(max_length=80, description="Names it.")
    from_version: str = Field(max_length=64, description="What ran before.")
    to_version: str = Field(max_length=64, description="What it went to.")
    result: Phase = Field(description="Succeeded, RolledBack or Failed.")
    started_at: Time = Field(description="When it began.")
    ended_at: Time = Field(description="When it was over.")
    fenced_at: Time | None = Field(default=None, description="When the database let the new colour execute.")
    switched_at: Time | None = Field(default=None, description="When the live Service named only the new colour.")
    restored_at: Time | None = Field(default=None, description="When it named only the old colour again.")
    reason: str = Field(default="", max_length=64, description="Why it went back, in one word.")
    message: str = Field(default="", max_length=4096, description="Why it went back.")
    seconds: Seconds = Field(default={}, description="How long each phase took.")


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
    cutover: Cutover | None = Field(default=None, description="The cutover under way, or the last one.")
    previous: Previous | None = Field(default=None, description="The colour that was active before, while it is kept.")
    rejected: Rejected | None = Field(default=None, description="What was rolled back, while the spec asks for it.")
    history: list[HistoryEntry] = Field(
        default=[], max_length=HISTORY_LIMIT, description="Cutovers that are over, newest first."
    )
    pods: str | None = Field(default=None, max_length=16, description="The same for the eye: ready/desired.")
