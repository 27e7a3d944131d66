"""Watches that end, or fail, at once are begun again after growing pauses, and told of once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import structlog
from rtx_operator.cluster.client import ApiError, Client, Object
from rtx_operator.cluster.resources import SERVICE
from rtx_operator.cluster.watch import HEALTHY_SECONDS, RESUMES, RETRIES, Watches
from rtx_operator.cluster.watched import VersionsWentBackError, WatchedObjects
from virtual_time import clock, run

HOUR = 3600.0


def expired() -> ApiError:
    return ApiError(410, "Expired", "too old resource version")


def forbidden() -> ApiError:
    return ApiError(403, "Forbidden", "no right to watch")


@dataclass
class ApiServer:
    """Lists nothing, as of the next of `versions`. Each watch lasts `seconds`, then ends with the error, if any."""

    seconds: float = 0.0
    fails: Callable[[], ApiError] | None = None
    versions: list[int] = field(default_factory=lambda: [10])
    lists: list[float] = field(default_factory=list)
    watches: list[float] = field(default_factory=list)

    async def pages(self, *_: Any, **__: Any) -> AsyncIterator[tuple[list[Object], str]]:
        self.lists.append(clock())
        yield [], str(self.versions.pop(0) if len(self.versions) > 1 else self.versions[0])

    async def watch(self, *_: Any, **__: Any) -> AsyncIterator[tuple[str, Object]]:
        self.watches.append(clock())
        await asyncio.sleep(self.seconds)
        if self.fails:
            raise self.fails()
        for event in ():
            yield event


def watched_for(seconds: float, server: ApiServer) -> list[str]:
    """Watch for so long in virtual time; returns what was logged."""

    async def watch() -> None:
        watching = asyncio.create_task(Watches(cast("Client", server), WatchedObjects()).run([SERVICE]))
        await asyncio.sleep(seconds)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    with structlog.testing.capture_logs() as logs:
        run(watch())
    return [str(entry["event"]) for entry in logs]


@pytest.mark.parametrize("fails", [expired, forbidden])
def test_watch_that_always_fails_at_once_is_begun_ever_later_and_told_of_once(fails: Callable[[], ApiError]) -> None:
    server = ApiServer(fails=fails)

    told = watched_for(HOUR, server)

    assert len([begun for begun in server.lists if begun < 3.0]) < 6
    assert len(server.lists) < 2 * HOUR / RETRIES.limit + 10
    assert told == ["watch failed; the operator lists again"]


def test_watch_that_always_ends_at_once_is_resumed_ever_later_without_a_list_and_told_of_once() -> None:
    server = ApiServer()

    told = watched_for(HOUR / 2, server)

    assert len([begun for begun in server.watches if begun < 3.0]) < 6
    assert len(server.watches) < HOUR / RESUMES.limit + 10
    assert len(server.lists) == 1
    assert told == ["watches end at once; look at what is between operator and API server"]


def test_watch_that_worked_for_a_while_is_listed_again_at_once_after_each_failure() -> None:
    server = ApiServer(seconds=HEALTHY_SECONDS, fails=expired)

    watched_for(HOUR, server)

    assert len(server.lists) >= HOUR / (HEALTHY_SECONDS + RETRIES.first)


def test_watch_that_ends_in_its_time_is_resumed_at_once() -> None:
    server = ApiServer(seconds=HEALTHY_SECONDS)

    told = watched_for(HOUR / 2, server)

    assert len(server.watches) >= HOUR / 2 / HEALTHY_SECONDS
    assert told == []


def test_list_that_is_older_than_what_was_told_ends_the_watches() -> None:
    # Given an API server whose etcd is restored from a backup while a watch is away
    server = ApiServer(fails=expired, versions=[1000, 500])

    # When the kind is listed again, then nothing that is known counts any more
    with pytest.raises(VersionsWentBackError):
        run(Watches(cast("Client", server), WatchedObjects()).run([SERVICE]))
