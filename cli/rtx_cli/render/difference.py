"""The text of a difference."""

import json
from typing import Any

from rtx_cli.decide.difference import Difference, Effect, FieldChange
from rtx_cli.render.text import Cell, Look, Style, shortened, table

_VALUE_WIDTH = 48
_STYLES = {Effect.CUTOVER: Style.STRONG, Effect.MAINTENANCE: Style.MOVING, Effect.IN_PLACE: Style.PLAIN}


def difference_lines(found: Difference, look: Look, *, wide: bool = False) -> list[str]:
    """The fields that change as a table, and below it what that begins; `wide` shows whole values."""
    rows = [_row(change, wide=wide) for change in found.changes]
    fields = [*table(["FIELD", "NOW", "THEN", "DOES"], rows, look), ""] if rows else []
    return [*fields, *found.verdict]


def _row(change: FieldChange, *, wide: bool) -> list[str | Cell]:
    before, after = (_value(one, wide=wide) for one in (change.before, change.after))
    return [change.path, before, after, Cell(change.effect, _STYLES[change.effect])]


def _value(value: Any, *, wide: bool) -> str:
    if value is None:
        return "unset"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if wide else shortened(text, _VALUE_WIDTH)
