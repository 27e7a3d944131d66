"""The stages of a run, and the failures that a stage expects. Pure.

A version that is broken on purpose fails requests until it is rolled back: its own 500s are counted separately. Any
other failure in the same stage counts as failed.
"""

from collections.abc import Sequence
from http import HTTPStatus

import msgspec

from .ledger import Failure, Ledger, Request


class Stage(msgspec.Struct, frozen=True):
    """A time range of a run in the run's seconds; a request belongs to it by its due time."""

    name: str
    began: float
    ended: float
    broken_version: str = ""  # the version of this stage that fails requests on purpose

    def holds(self, request: Request) -> bool:
        return self.began <= request.due < self.ended

    def explains(self, request: Request) -> bool:
        """Whether the failure is the broken version's own 500.

        Only its handlers send 500. Its 503s come from its forwarder or store, 502 and 504 from proxies: an upgrade must
        not cause those.
        """
        return (
            bool(self.broken_version)
            and request.failure is Failure.SERVER_ERROR
            and request.status == HTTPStatus.INTERNAL_SERVER_ERROR
            and request.version == self.broken_version
            and self.holds(request)
        )


class Count(msgspec.Struct, frozen=True):
    """A stage's requests. `failed` excludes the broken version's own 500s."""

    requests: int
    failed: int
    broken_version_failed: int


def explained(request: Request, stages: Sequence[Stage]) -> bool:
    return any(stage.explains(request) for stage in stages)


def counts(ledger: Ledger, stages: Sequence[Stage]) -> dict[str, Count]:
    """The request counts of each stage, by name."""
    counted = {}
    for stage in stages:
        requests = [request for request in ledger.requests() if stage.holds(request)]
        failed = [request for request in requests if request.failed]
        excused = sum(stage.explains(request) for request in failed)
        counted[stage.name] = Count(len(requests), len(failed) - excused, excused)
    return counted


def first_explained(ledger: Ledger, stages: Sequence[Stage]) -> float | None:
    """Time of the broken version's first own 500 in Unix seconds; None without any."""
    ends = (request.ended for request in ledger.requests() if request.failure and explained(request, stages))
    first = min(ends, default=None)
    return None if first is None else ledger.run.started_at + first
