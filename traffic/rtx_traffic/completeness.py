"""Whether the ledger tells all that was due, once, and the load generator did its work. Pure.

A promise is only kept by requests that were sent and recorded: what left no record may have failed.
"""

from collections import Counter
from collections.abc import Iterator

import msgspec

from .ledger import Crash, Ledger


class Records(msgspec.Struct, frozen=True):
    """How many requests of the schedule were due, how many of them have a record, and how many records are too many."""

    due: int
    recorded: int
    surplus: int

    @property
    def unrecorded(self) -> int:
        """How many requests have no record, or one too many."""
        return abs(self.due - self.recorded) + self.surplus

    def findings(self) -> Iterator[str]:
        """A sentence when some have."""
        if self.unrecorded:
            yield (
                f"{self.due} requests were due, {self.recorded} of them have a record, "
                f"and {self.surplus} records are too many."
            )


def records(ledger: Ledger) -> Records:
    """Of the requests of the schedule; handshakes of WebSockets apart, which have no time at which they are due."""
    times = Counter(request.number for request in ledger.scheduled())
    unnumbered = times.pop(None, 0)
    return Records(ledger.end.expected_requests, len(times), unnumbered + times.total() - len(times))


def crashed(ledger: Ledger) -> Iterator[str]:
    """A sentence for each task of the load generator that ended with an exception."""
    for record in ledger.records:
        if isinstance(record, Crash):
            yield f"The load generator's task {record.task!r} crashed at {record.at:.1f} s with {record.error}."


def idle(ledger: Ledger) -> Iterator[str]:
    """A sentence for each part of the load that sent nothing."""
    for part in ledger.idle_parts():
        yield f"Part {part} of the load sent no request, so it shows nothing."
