"""spec.rollout: how one version becomes the next."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from rtx_operator.api.enums import RolloutStrategy
from rtx_operator.api.schema import ApiModel, ObjectName, Span, matches, only, rules


class SmokeTest(ApiModel):
    """One request to the new version before it takes the traffic. It passes when the answer is 2xx within 3 s."""

    name: ObjectName = Field(description="A name for this test.")
    path: str = Field(
        max_length=256,
        description="What to GET from the new pods, without credentials.",
        json_schema_extra=rules(
            matches("^/[-A-Za-z0-9._~!$&()*+,;=:@%/?]*$", "must be a path such as /health, without a host")
        ),
    )


class Monitor(ApiModel):
    """How the new version is watched once it executes. What is above a limit takes the traffic back."""

    duration: Annotated[timedelta, Span("1s", "1h")] = Field(
        default=timedelta(minutes=5), description="How long it is watched, from 1s to 1h."
    )
    max_error_percent: float = Field(
        default=1, ge=0, le=100, description="Answers 5xx of a hundred that are put up with."
    )
    max_p99_milliseconds: int = Field(
        default=500, ge=1, le=60_000, description="The time that 99 of a hundred answers may take at most."
    )
    minimum_requests: int = Field(
        default=200, ge=1, le=1_000_000, description="Fewer answers than this say nothing about the limits."
    )


class Rollout(ApiModel):
    """How a new version replaces the one that runs."""

    strategy: RolloutStrategy = Field(
        default=RolloutStrategy.BLUE_GREEN,
        description="BlueGreen: both colours at full size, then one switch.",
        json_schema_extra=only("BlueGreen", later="Rolling and Canary are"),
    )
    smoke: list[SmokeTest] = Field(
        default=[SmokeTest(name="health", path="/health"), SmokeTest(name="symbols", path="/api/symbols")],
        min_length=1,
        max_length=16,
        description="What the new version must answer before it takes the traffic.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    ready_timeout: Annotated[timedelta, Span("30s", "1h")] = Field(
        default=timedelta(minutes=10),
        description="How long the pods of the new version may take to become ready, from 30s to 1h. "
        "A cause that only a person can mend, such as a missing image, is given 45s of it.",
    )
    drain_timeout: Annotated[timedelta, Span("1s", "10m")] = Field(
        default=timedelta(seconds=30),
        description="Over how long the WebSockets of the version before are closed, from 1s to 10m; clients reconnect.",
    )
    monitor: Monitor = Monitor()
    keep_previous_for: Annotated[timedelta, Span("0s", "168h")] = Field(
        default=timedelta(hours=1),
        description="How long the version before stays warm, from 0s to 168h: until then, going back is one switch.",
    )
