"""The stages of a run, and which of its failures a stage expects. Pure.

A version that is broken on purpose fails requests by itself until it is taken back: those that it answered are counted
apart. Whatever else fails in the same stage is nobody's excuse.
"""

from collections.abc import Sequence
from http import HTTPStatus

import msgspec

from .ledger import Failure, Ledger, Request


class Stage(msgspec.Struct, frozen=True):
    """A stretch of a run, in the run's seconds; requests belong to it by when they were due."""

    name: str
    began: float
    ended: float
    broken_version: str = ""  # that is rolled out in this stage and known to fail requests

    def holds(self, request: Request) -> bool:
        return self.began <= request.due < self.ended

    def explains(self, request: Request) -> bool:
        """Whether the failure is the broken version's own answer.

        Only its handlers answer 500. Its 503 comes from its forwarder or its store, 502 and 504 from whoever is in
        between: those are failures that an upgrade must not cause.
        """
        return (
            bool(self.broken_version)
            and request.failure is Failure.SERVER_ERROR
            and request.status == HTTPStatus.INTERNAL_SERVER_ERROR
            and request.version == self.broken_version
            and self.holds(request)
        )


class Count(msgspec.Struct, frozen=True):
    """A stage's requests. `failed` leaves out what the broken version failed by itself."""

    requests: int
    failed: int
    broken_version_failed: int


def explained(request: Request, stages: Sequence[Stage]) -> bool:
    return any(stage.explains(request) for stage in stages)


def counts(ledger: Ledger, stages: Sequence[Stage]) -> dict[str, Count]:
    """What came of the requests of each stage."""
    told = {}
    for stage in stages:
        held = [request for request in ledger.requests() if stage.holds(request)]
        failed = [request for request in held if request.failed]
        excused = sum(stage.explains(request) for request in failed)
        told[stage.name] = Count(len(held), len(failed) - excused, excused)
    return told


def first_explained(ledger: Ledger, stages: Sequence[Stage]) -> float | None:
    """When the first request that a broken version failed had its answer, in Unix seconds; None when it failed none."""
    ends = (request.ended for request in ledger.requests() if request.failure and explained(request, stages))
    first = min(ends, default=None)
    return None if first is None else ledger.run.started_at + first
