"""spec.database.parameters: the settings of PostgreSQL that are the user's choice.

A list of what is allowed: the others carry promises (`fsync`, `synchronous_commit`), are Patroni's, or follow from
resources and storage. Names are PostgreSQL's, amounts and durations are written as everywhere in Kubernetes.
"""

from datetime import timedelta
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from rtx_operator.api.quantities import amount
from rtx_operator.api.schema import BOUNDS, ApiModel, Bytes, Span, rule, rules

_KIBIBYTE = 1024
_RESTART = "An edit begins a maintenance: PostgreSQL reads it only when it starts."


def _within(minimum: str, maximum: str) -> Any:
    lowest, highest = (f"quantity(string(self)).compareTo(quantity('{bound}'))" for bound in (minimum, maximum))
    bounds = rule(
        f"!isQuantity(string(self)) || ({lowest} >= 0 && {highest} <= 0)", f"must be from {minimum} to {maximum}"
    )
    return rules(bounds, **{BOUNDS: [minimum, maximum]})


class Parameters(ApiModel):
    """Settings of PostgreSQL. A field that is left out keeps what the image or the operator sets."""

    model_config = ConfigDict(alias_generator=str)

    work_mem: Bytes | None = Field(
        default=None,
        description="Memory of one sort or hash table. A query may use several, and there may be 150 connections.",
        json_schema_extra=_within("64Ki", "1Gi"),
    )
    maintenance_work_mem: Bytes | None = Field(
        default=None,
        description="Memory of one VACUUM, or of one CREATE INDEX.",
        json_schema_extra=_within("1Mi", "2Gi"),
    )
    temp_file_limit: Bytes | None = Field(
        default=None,
        description="Disk space for the temporary files of one session. A query that needs more fails.",
        json_schema_extra=_within("1Mi", "1Ti"),
    )
    random_page_cost: Annotated[float, Field(ge=0.1, le=100)] | None = Field(
        default=None, description="What the planner takes a page that is read out of order to cost."
    )
    effective_io_concurrency: Annotated[int, Field(ge=0, le=1000)] | None = Field(
        default=None, description="How many reads the disk does well at once."
    )
    default_statistics_target: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        default=None, description="How closely ANALYZE looks at a column."
    )
    max_parallel_workers_per_gather: Annotated[int, Field(ge=0, le=64)] | None = Field(
        default=None, description="Processes that may help with one part of a query."
    )
    checkpoint_timeout: Annotated[timedelta, Span("30s", "24h")] | None = Field(
        default=None, description="Time between checkpoints. A longer one makes a restart after a crash longer."
    )
    checkpoint_completion_target: Annotated[float, Field(ge=0.1, le=1)] | None = Field(
        default=None, description="Over which part of that time a checkpoint is spread."
    )
    autovacuum_naptime: Annotated[timedelta, Span("1s", "24h")] | None = Field(
        default=None, description="Time between two looks for tables to vacuum."
    )
    autovacuum_vacuum_scale_factor: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None, description="Share of a table's rows that must have changed before it is vacuumed."
    )
    autovacuum_analyze_scale_factor: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None, description="Share of a table's rows that must have changed before it is analysed."
    )
    autovacuum_vacuum_cost_limit: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        default=None, description="How much autovacuum does before it pauses."
    )
    autovacuum_vacuum_cost_delay: Annotated[timedelta, Span("0s", "100ms")] | None = Field(
        default=None, description="For how long it pauses then."
    )
    log_min_duration_statement: Annotated[timedelta, Span("0s", "24h")] | None = Field(
        default=None, description="Statements that take longer are logged, without their parameters."
    )
    log_autovacuum_min_duration: Annotated[timedelta, Span("0s", "24h")] | None = Field(
        default=None, description="Runs of autovacuum that take longer are logged."
    )
    log_lock_waits: bool | None = Field(default=None, description="Whether long waits for locks are logged.")
    log_checkpoints: bool | None = Field(default=None, description="Whether checkpoints are logged.")
    track_io_timing: bool | None = Field(default=None, description="Whether the time of reads and writes is measured.")
    autovacuum_max_workers: Annotated[int, Field(ge=1, le=16)] | None = Field(
        default=None, description=f"Tables that may be vacuumed at once. {_RESTART}"
    )
    autovacuum_freeze_max_age: Annotated[int, Field(ge=100_000, le=2_000_000_000)] | None = Field(
        default=None, description=f"Transactions after which a table is vacuumed in any case. {_RESTART}"
    )
    wal_buffers: Bytes | None = Field(
        default=None,
        description=f"Memory for log that is not on the disk yet. {_RESTART}",
        json_schema_extra=_within("64Ki", "1Gi"),
    )

    @property
    def live(self) -> dict[str, str]:
        """What PostgreSQL takes over while it runs, in its notation."""
        return {name: text for name, text in self._written.items() if name not in _READ_AT_START}

    @property
    def at_start(self) -> dict[str, str]:
        """What it reads only when it starts, in its notation."""
        return {name: text for name, text in self._written.items() if name in _READ_AT_START}

    @property
    def _written(self) -> dict[str, str]:
        sizes = {name for name, field in type(self).model_fields.items() if field.annotation == Bytes | None}
        given = ((name, getattr(self, name)) for name in type(self).model_fields)
        return {name: _notation(value, is_size=name in sizes) for name, value in given if value is not None}


_READ_AT_START = frozenset({"autovacuum_max_workers", "autovacuum_freeze_max_age", "wal_buffers"})


def _notation(value: bool | float | timedelta | str, *, is_size: bool) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, timedelta):
        return f"{value // timedelta(milliseconds=1)}ms"
    return f"{int(amount(str(value)) // _KIBIBYTE)}kB" if is_size else str(value)
