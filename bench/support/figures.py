"""The figures of a benchmark: a row each, printed as a table or as one JSON object."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rtx_demo import preparation


@dataclass(frozen=True)
class Row:
    """One figure; documents quote it by its id."""

    id: str
    what: str
    value: float
    unit: str
    runs: int = 1


def print_rows(rows: Iterable[Row], *, as_json: bool, caption: str | None = None, **more: Any) -> None:
    """Print the machine and the rows. `more` are further members of the JSON object."""
    machine = preparation.machine()
    if as_json:
        typer.echo(json.dumps({"machine": machine, "rows": [asdict(row) for row in rows], **more}))
        return
    table = Table("id", "what", "value", "unit", "runs", title=str(machine), caption=caption)
    for row in rows:
        table.add_row(row.id, row.what, f"{row.value:,}", row.unit, str(row.runs))
    Console().print(table)
