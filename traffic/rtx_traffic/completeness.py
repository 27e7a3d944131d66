"""Checks that the ledger has one record per due request, and that the load generator worked. Pure.

A request without a record may have failed, so it breaks the run.
"""

from collections import Counter
from collections.abc import Iterator

import msgspec

from .ledger import Crash, Ledger


class Records(msgspec.Struct, frozen=True):
    """Numbers of due requests of the schedule, of those with a record, and of surplus records."""

    due: int
    recorded: int
    surplus: int

    @property
    def unrecorded(self) -> int:
        """The number of requests without a record, plus surplus records."""
        return abs(self.due - self.recorded) + self.surplus

    def findings(self) -> Iterator[str]:
        """A sentence when the number is not 0."""
        if self.unrecorded:
            yield (
                f"{self.due} requests were due, {self.recorded} of them have a record, "
                f"and there are {self.surplus} surplus records."
            )


def records(ledger: Ledger) -> Records:
    """The records of scheduled requests, without WebSocket handshakes and renewals of tokens, which are not."""
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
        yield f"Part {part} of the load sent no request, so it proves nothing."
