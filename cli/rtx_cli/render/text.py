"""What text looks like: styles, branches of a tree, tables, durations."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum


class Style(StrEnum):
    """What a piece of text means; a terminal shows it as a colour."""

    PLAIN = ""
    GOOD = "32"
    BAD = "1;31"
    MOVING = "33"
    FAINT = "2"
    STRONG = "1"


@dataclass(frozen=True, slots=True)
class Branches:
    """The characters of a tree."""

    fork: str
    last: str
    line: str
    blank: str


UNICODE = Branches("├── ", "└── ", "│   ", "    ")
ASCII = Branches("|-- ", "`-- ", "|   ", "    ")


@dataclass(frozen=True, slots=True)
class Look:
    """How text is shown. `width` is that of the screen in characters; 0: lines may be of any length."""

    colours: bool = False
    branches: Branches = UNICODE
    width: int = 0

    def paint(self, text: str, style: Style) -> str:
        return f"\x1b[{style.value}m{text}\x1b[0m" if self.colours and style and text else text


PLAIN = Look()


@dataclass(frozen=True, slots=True)
class Cell:
    """A piece of a line; the columns of siblings are aligned."""

    text: str
    style: Style = Style.PLAIN


@dataclass(frozen=True, slots=True)
class Node:
    """One line of a tree, and those below it."""

    cells: tuple[Cell, ...]
    children: "tuple[Node, ...]" = field(default=())


def node(*cells: str | Cell, children: Iterable[Node] = ()) -> Node:
    return Node(tuple(Cell(one) if isinstance(one, str) else one for one in cells), tuple(children))


def tree(root: Node, look: Look) -> list[str]:
    """The lines of a tree."""
    return [_line(root.cells, (), look, 0), *_below(root, "", look)]


def _below(parent: Node, indent: str, look: Look) -> Iterable[str]:
    widths = _widths([child.cells for child in parent.children])
    for number, child in enumerate(parent.children):
        is_last = number == len(parent.children) - 1
        branch = look.branches.last if is_last else look.branches.fork
        yield look.paint(indent + branch, Style.FAINT) + _line(child.cells, widths, look, len(indent) + len(branch))
        yield from _below(child, indent + (look.branches.blank if is_last else look.branches.line), look)


def _line(cells: Sequence[Cell], widths: Sequence[int], look: Look, used: int) -> str:
    parts: list[str] = []
    for number, cell in enumerate(cells):
        is_last = number == len(cells) - 1
        text = cell.text if is_last else f"{cell.text:<{widths[number] if number < len(widths) else 0}}"
        if look.width and used + len(text) > look.width:
            text = shortened(text, look.width - used)
        parts.append(look.paint(text, cell.style))
        used += len(text) + 2
        if look.width and used >= look.width:
            break
    return "  ".join(parts).rstrip()


def _widths(rows: Sequence[Sequence[Cell]]) -> list[int]:
    """Of each column; the last cell of a row counts for none, as nothing is aligned to it."""
    columns = max((len(row) for row in rows), default=0)
    return [max((len(row[at].text) for row in rows if at < len(row) - 1), default=0) for at in range(columns)]


def shortened(text: str, width: int) -> str:
    """The text in at most so many characters."""
    return text if len(text) <= width else f"{text[: max(0, width - 1)]}…"


def table(heads: Sequence[str], rows: Sequence[Sequence[str | Cell]], look: Look) -> list[str]:
    """A table as kubectl prints it: capital heads, three spaces between columns."""
    cells = [[Cell(one) if isinstance(one, str) else one for one in row] for row in rows]
    widths = [max(len(head), *(len(row[at].text) for row in cells), 0) for at, head in enumerate(heads)]
    lines = ["   ".join(f"{head:<{width}}" for head, width in zip(heads, widths, strict=True)).rstrip()]
    for row in cells:
        padded = (look.paint(f"{cell.text:<{width}}", cell.style) for cell, width in zip(row, widths, strict=True))
        lines.append("   ".join(padded).rstrip())
    return lines


def span(length: timedelta) -> str:
    """A duration as kubectl shows ages: 45s, 12m, 3h20m, 4d."""
    seconds = max(0, int(length.total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 120:
        return f"{minutes}m"
    if hours < 48:
        return f"{hours}h{minutes % 60}m" if minutes % 60 and hours < 10 else f"{hours}h"
    return f"{days}d"


def ago(moment: datetime | None, now: datetime) -> str:
    return span(now - moment) if moment else ""


def clock(moment: datetime | None) -> str:
    """An instant as everybody reads it in the same way: in UTC."""
    return f"{moment:%Y-%m-%d %H:%M:%SZ}" if moment else ""
