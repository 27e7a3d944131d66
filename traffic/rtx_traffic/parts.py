"""One load from several pods: their common input and the share of each. Pure.

Several, because a Service with client affinity sends all requests of one address to one engine pod.
"""

import msgspec

from .accounts import Account
from .ledger import Run


class Start(msgspec.Struct, frozen=True):
    """The common input of all parts. Every part uses every account, so orders and events cross pods."""

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
    """The numbers of this part out of `total`."""
    return range(part, total, parts)
