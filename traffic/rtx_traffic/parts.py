"""One load from several pods: what they agree on before the first byte, and which share each of them has. Pure.

Why several: a Service with client affinity sends all that one address asks for to one engine pod.
"""

import msgspec

from .accounts import Account
from .ledger import Run


class Start(msgspec.Struct, frozen=True):
    """What all parts of a run are told. Every part uses every account, so its orders and its events cross pods."""

    run: str
    accounts: tuple[Account, ...]
    symbols: tuple[str, ...]
    at: float = 0.0  # Unix seconds: second 0 of all clocks, and when the first request is due


def share(whole: Run, part: int, parts: int) -> Run:
    """The load of part `part` of `parts`; the shares add up to the whole."""
    return msgspec.structs.replace(
        whole,
        rate=whole.rate / parts,
        keep_alive=len(part_numbers(whole.keep_alive, part, parts)),
        new_per_second=whole.new_per_second / parts,
        sockets=len(part_numbers(whole.sockets, part, parts)),
        part=part,
        parts=parts,
    )


def part_numbers(total: int, part: int, parts: int) -> range:
    """Which of `total` numbered things are this part's."""
    return range(part, total, parts)
