"""Tables of an engine's cutovers and revisions."""

from collections.abc import Sequence

from rtx_operator.api.enums import CutoverPhase

from rtx_cli.decide.engine import Engine, PastCutover
from rtx_cli.decide.revisions import Revision
from rtx_cli.render.text import Cell, Look, Style, clock, shortened, table

_MESSAGE_WIDTH = 60


def cutovers_table(engine: Engine, look: Look, *, wide: bool = False) -> list[str]:
    """The cutovers that are over, newest first; `wide` has whole messages and ids."""
    if not engine.history:
        return ["no cutover is over yet"]
    heads = ["ENDED", "FROM", "TO", "RESULT", "TOOK", "SWITCH", "JUDGED BY", "WHY", *(["ID"] if wide else [])]
    return table(heads, [_row(one, wide=wide) for one in engine.history], look)


def _row(past: PastCutover, *, wide: bool) -> list[str | Cell]:
    succeeded = past.result == CutoverPhase.SUCCEEDED
    took = f"{(past.ended - past.started).total_seconds():.1f} s" if past.started and past.ended else ""
    switch = f"{past.switch_seconds:.3f} s" if past.switch_seconds is not None else ""
    judged = f"{past.judged} ({past.requests})" if past.judged and past.requests is not None else past.judged
    why = f"{past.reason}: {past.message}" if past.reason else past.message
    return [
        clock(past.ended),
        past.source,
        past.target,
        Cell(past.result, Style.GOOD if succeeded else Style.BAD),
        took,
        switch,
        judged,
        why if wide else shortened(why, _MESSAGE_WIDTH),
        *([past.id] if wide else []),
    ]


def revisions_table(engine: Engine, revisions: Sequence[Revision], look: Look) -> list[str]:
    """The revisions to which `rollback --to` can go."""
    rows = [[one.revision, one.version, one.colour, one.state(engine), clock(one.made)] for one in revisions]
    return table(["REVISION", "VERSION", "COLOUR", "STATE", "MADE"], rows, look)
