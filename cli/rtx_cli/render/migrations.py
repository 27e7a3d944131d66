"""Tables of migrations and of their Jobs."""

from collections.abc import Mapping, Sequence
from typing import Any

from rtx_cli.decide.engine import instant
from rtx_cli.decide.migrations import MigrationJob
from rtx_cli.render.text import Cell, Look, Style, clock, table

_STYLES = {"applied": Style.GOOD, "Complete": Style.GOOD, "Failed": Style.BAD, "Running": Style.MOVING}


def migrations_table(rows: Sequence[Mapping[str, Any]], look: Look) -> list[str]:
    """As `rtx-engine migrate status --json` tells them."""
    cells: list[list[str | Cell]] = [
        [
            f"{row['version']:04}",
            row["name"],
            row["half"],
            Cell(row["state"], _STYLES.get(row["state"], Style.MOVING)),
            clock(instant(row.get("applied_at"))),
        ]
        for row in rows
    ]
    return table(["MIGRATION", "NAME", "HALF", "STATE", "APPLIED"], cells, look)


def jobs_table(jobs: Sequence[MigrationJob], look: Look) -> list[str]:
    if not jobs:
        return ["no migration Job is left"]
    cells: list[list[str | Cell]] = [
        [
            job.name,
            job.version,
            job.command,
            Cell(job.state, _STYLES.get(job.state, Style.PLAIN)),
            clock(job.started),
            f"{job.seconds:.0f} s" if job.seconds is not None else "",
            job.message,
        ]
        for job in jobs
    ]
    return table(["JOB", "VERSION", "COMMAND", "STATE", "STARTED", "TOOK", "MESSAGE"], cells, look)
