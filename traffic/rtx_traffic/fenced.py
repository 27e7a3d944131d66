"""Fills that the fence should have prevented, told by the order in which transactions were committed. Pure.

A fill is right when the fence named its colour at its epoch, and no later epoch had been committed before it.
"""

from collections.abc import Iterator
from itertools import pairwise

from .rows import Database, FillRow


def violations(database: Database) -> Iterator[str]:
    """A sentence for each fill, of all there are, that broke the fence, or that cannot be shown to have kept it."""
    executors = {row.epoch: row.executors for row in database.history}
    colours = {row.order_id: row.colour for row in database.orders}
    ends = _ends(database)
    for fill in database.fills:
        if said := _wrong(fill, colours.get(fill.order_id), executors, ends):
            yield f"A fill of order {fill.order_id} {said}."


def _wrong(
    fill: FillRow, colour: str | None, executors: dict[int, tuple[str, ...]], ends: dict[int, int | None]
) -> str:
    """What is wrong with the fill; empty when nothing is."""
    if fill.epoch not in executors:
        return f"bears epoch {fill.epoch}, which the fence never had"
    if colour not in executors[fill.epoch]:
        return f"is of colour {colour}, and epoch {fill.epoch} named {', '.join(executors[fill.epoch]) or 'nobody'}"
    if fill.epoch not in ends:
        return ""
    end = ends[fill.epoch]
    if fill.committed_us is None or end is None:
        return f"of epoch {fill.epoch} has no commit time to compare, or the next epoch has none"
    late = fill.committed_us - end
    return f"of epoch {fill.epoch} was committed {late} µs after the next epoch" if late > 0 else ""


def _ends(database: Database) -> dict[int, int | None]:
    """When each epoch but the last was over: the commit of the one after it. The fence's lock keeps them in order."""
    epochs = sorted(database.history, key=lambda row: row.epoch)
    return {before.epoch: after.committed_us for before, after in pairwise(epochs)}


def overlap_s(database: Database) -> float:
    """Seconds from the first fill of the colour that came last to the last fill of another; 0 when none overlap.

    Of a run with one change of colour. What a fence is there to prevent, and what there is without one.
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
