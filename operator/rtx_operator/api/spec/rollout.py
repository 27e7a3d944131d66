"""spec.rollout: how one version becomes the next."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from rtx_operator.api.enums import BackupBefore, RolloutStrategy
from rtx_operator.api.schema import ApiModel, ObjectName, Span, matches, only, rules
from rtx_operator.api.spec.resources import Resources


class SmokeTest(ApiModel):
    """One GET request to the new version before the switch. It passes with an answer 2xx within 3 s."""

    name: ObjectName = Field(description="Name of this test, unique in the list; messages use it.")
    path: str = Field(
        max_length=256,
        description="Path to GET from the new pods, without credentials.",
        json_schema_extra=rules(
            matches("^/[-A-Za-z0-9._~!$&()*+,;=:@%/?]*$", "must be a path such as /health, without a host")
        ),
    )


class Monitor(ApiModel):
    """Limits that the new version must keep after the switch; above one of them the operator rolls back."""

    duration: Annotated[timedelta, Span("1s", "1h")] = Field(
        default=timedelta(minutes=5), description="How long the operator watches the new version after the switch."
    )
    max_error_percent: float = Field(
        default=1,
        ge=0,
        le=100,
        description="Highest share of 5xx answers, in percent; above it the operator rolls back.",
    )
    max_p99_milliseconds: int = Field(
        default=500,
        ge=1,
        le=60_000,
        description="Highest p99 latency of answers, in milliseconds; above it the operator rolls back.",
    )
    minimum_requests: int = Field(
        default=200,
        ge=1,
        le=1_000_000,
        description="Fewest answers by which the version is judged; answers 4xx do not count. Its smoke tests count "
        "until the end of duration in any case. With fewer answers it is judged by them, no limit of latency applies, "
        "and 5xx roll back when there are more than chance explains at maxErrorPercent: 3 of 15 at 1 %.",
    )
    require_traffic: bool = Field(
        default=False,
        description="Whether the upgrade waits until minimumRequests are answered, however long it takes. Without it, "
        "a version that nobody uses is promoted by its smoke tests.",
    )


class BackupBeforeUpgrade(ApiModel):
    """The backup with which an upgrade begins."""

    mode: BackupBefore | None = Field(
        default=None,
        description="Whether an upgrade begins with an incremental backup. Required: an upgrade whose backup fails is "
        "rejected. Skipped: none is made. Unset: Skipped in environment Development, otherwise Required. Going back to "
        "a release that is kept waits for no backup, nor does an upgrade where spec.backup.type is None.",
    )
    timeout: Annotated[timedelta, Span("1m", "24h")] = Field(
        default=timedelta(minutes=30), description="How long that backup may take; then the upgrade is rejected."
    )


class Rollout(ApiModel):
    """How a new version replaces the running one. An edit alone starts no upgrade."""

    strategy: RolloutStrategy = Field(
        default=RolloutStrategy.BLUE_GREEN,
        description="BlueGreen: both versions run at full size, then all traffic switches at once.",
        json_schema_extra=only("BlueGreen", later="Rolling and Canary are"),
    )
    smoke: list[SmokeTest] = Field(
        default=[SmokeTest(name="health", path="/health"), SmokeTest(name="symbols", path="/api/symbols")],
        min_length=1,
        max_length=16,
        description="Requests that the new version must answer before the switch. One that fails for 10 s rolls the "
        "upgrade back.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    backup: BackupBeforeUpgrade = BackupBeforeUpgrade()
    migration_timeout: Annotated[timedelta, Span("1m", "24h")] = Field(
        default=timedelta(hours=1),
        description="How long a migration Job may run, its image's pull included; then it ends. During an upgrade the "
        "operator then rolls back.",
    )
    migration_resources: Resources = Field(
        default=Resources(),
        description="CPU and memory of the migration Jobs' container. An edit replaces a Job that runs by a new one.",
    )
    ready_timeout: Annotated[timedelta, Span("30s", "1h")] = Field(
        default=timedelta(minutes=10),
        description="How long the pods of the new version may take to become ready; then the operator rolls back. A "
        "known "
        "cause that a person must remove, such as a missing image, gets 45s of it.",
    )
    drain_timeout: Annotated[timedelta, Span("1s", "10m")] = Field(
        default=timedelta(seconds=30),
        description="Time over which the old pods close their WebSockets after the switch; clients reconnect to the "
        "new ones. The cutover waits no longer than this, and 15s, for them. An edit in the meantime changes how long "
        "it waits, not the pods' pace.",
    )
    monitor: Monitor = Monitor()
    keep_previous_for: Annotated[timedelta, Span("0s", "168h")] = Field(
        default=timedelta(hours=1),
        description="How long the old pods stay after the switch. Until then going back needs no new pods and no "
        "migration; "
        "after it they are removed and the contract migrations run.",
    )
