"""Finds fills that the fence should have prevented, by the commit times of transactions. Pure.

A fill is valid when the fence named its colour at its epoch, and no later epoch was committed before it.
"""

from collections.abc import Iterator
from itertools import pairwise

from .rows import Database, FillRow


def violations(database: Database) -> Iterator[str]:
    """A sentence for each fill that violates the fence, or whose validity cannot be proved."""
    executors = {row.epoch: row.executors for row in database.history}
    colours = {row.order_id: row.colour for row in database.orders}
    ends = _ends(database)
    for fill in database.fills:
        if violation := _violation(fill, colours.get(fill.order_id), executors, ends):
            yield f"A fill of order {fill.order_id} {violation}."


def _violation(
    fill: FillRow, colour: str | None, executors: dict[int, tuple[str, ...]], ends: dict[int, int | None]
) -> str:
    """The fill's violation; empty when it is valid."""
    if fill.epoch not in executors:
        return f"has epoch {fill.epoch}, which the fence never had"
    if colour not in executors[fill.epoch]:
        return f"is of colour {colour}, and epoch {fill.epoch} named {', '.join(executors[fill.epoch]) or 'no colour'}"
    if fill.epoch not in ends:
        return ""
    end = ends[fill.epoch]
    if fill.committed_us is None or end is None:
        return f"of epoch {fill.epoch} cannot be checked: it or the next epoch has no commit time"
    late = fill.committed_us - end
    return f"of epoch {fill.epoch} was committed {late} µs after the next epoch" if late > 0 else ""


def _ends(database: Database) -> dict[int, int | None]:
    """The end of each epoch but the last: the commit time of the next one. The fence's lock keeps their order."""
    epochs = sorted(database.history, key=lambda row: row.epoch)
    return {before.epoch: after.committed_us for before, after in pairwise(epochs)}


def overlap_s(database: Database) -> float:
    """Seconds from the newest colour's first fill to another colour's last fill; 0 without an overlap.

    For a run with one change of colour. A fence prevents this overlap.
    """
    colours = {row.order_id: row.colour for row in database.orders}
    times: dict[str, list[int]] = {}
    for fill in database.fills:
        if fill.committed_us is not None:
            times.setdefault(colours[fill.order_id], []).append(fill.committed_us)
    if len(times) < 2:
        return 0.0
    newest = max(times, key=lambda colour: min(times[colour]))
    last_of_others = max(max(held) for colour, held in times.items() if colour != newest)
    return max(0, last_of_others - min(times[newest])) / 1e6
