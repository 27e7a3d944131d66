"""That a connection opens whatever else fails, and that none does once the session is closed."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from cables import Cable
from engine_pods import Pod
from engine_postgres import TestDatabase
from rtx_engine.store import UnavailableError
from rtx_engine.store.session import Session
from structlog.testing import capture_logs
from test_store_standby import until_sessions_are_at_most

TIMEOUT_SECONDS = 20.0
MANY = 5  # sessions: a wait of half a second for each is more than a statement of the engine's role may take


@pytest_asyncio.fixture
async def session(database: TestDatabase, cable: Cable) -> AsyncIterator[Session]:
    """A session behind the cable."""
    session = Session(replace(database.engine, port=cable.port), "blue")
    yield session
    await session.close()


@pytest.fixture
def hanging() -> Iterator[list[int]]:
    """Backends that were stopped, as where their storage does not answer. They go on at the end."""
    backends: list[int] = []
    yield backends
    for backend in backends:
        with suppress(ProcessLookupError):
            os.kill(backend, signal.SIGCONT)


async def answer(session: Session) -> int:
    """Of the first use that succeeds."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while True:
            with suppress(UnavailableError):
                async with session.use(wait_seconds=TIMEOUT_SECONDS) as connection:
                    return int(await connection.fetchval("SELECT 42"))


async def leave(session: Session, cable: Cable) -> None:
    """Lose a connection, so that nobody sees its session end."""
    with suppress(UnavailableError):
        async with session.use(wait_seconds=TIMEOUT_SECONDS) as connection:
            cable.reset()
            await connection.execute("SELECT")


def warnings_in(logs: Iterable[Mapping[str, Any]]) -> list[str]:
    return [entry["reason"] for entry in logs if "leaves behind" in entry["event"]]


async def test_connection_opens_however_many_sessions_do_not_end(session, hanging):
    # given uses that were given up since their backends hang
    with capture_logs() as logs:
        for _ in range(MANY):
            with suppress(UnavailableError):
                async with session.use(timeout_seconds=0.3, wait_seconds=TIMEOUT_SECONDS) as connection:
                    hanging.append(connection.get_server_pid())
                    os.kill(hanging[-1], signal.SIGSTOP)
                    await connection.execute("SELECT")

        # when it is used again
        assert await answer(session) == 42

    # then that they go on is told once
    assert warnings_in(logs) == ["they have not ended yet"]


@pytest.mark.parametrize(
    "hardening",
    [
        "REVOKE EXECUTE ON FUNCTION pg_terminate_backend(integer, bigint) FROM PUBLIC",
        "REVOKE SELECT ON pg_stat_activity FROM PUBLIC",
    ],
)
async def test_connection_opens_where_the_server_lets_no_session_be_ended(session, cable, database, hardening):
    # given a hardened server, and sessions that nobody saw end
    await database.execute(hardening)
    with capture_logs() as logs:
        for _ in range(2):
            await leave(session, cable)

        # when it is used again
        assert await answer(session) == 42

    # then that is told once
    [reason] = warnings_in(logs)
    assert "permission denied" in reason


async def test_pod_whose_server_notifies_nobody_reads_the_fence(start_pod, database, monkeypatch):
    # given a server whose queue of notifications is damaged
    async def refuse(*_: object) -> None:
        raise asyncpg.UndefinedFileError("could not access status of transaction 1")

    monkeypatch.setattr(asyncpg.Connection, "add_listener", refuse)
    pod: Pod = await start_pod()

    # when the fence moves, then the pod knows
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await pod.store.fence.wait_until_known()
        epoch = await database.move_fence("green")
        while pod.store.fence.state is None or pod.store.fence.state.epoch < epoch:
            await pod.store.fence.wait_for_change(TIMEOUT_SECONDS)


async def test_closed_session_opens_no_connection(session, database):
    assert await answer(session) == 42
    await session.close()

    with pytest.raises(UnavailableError, match="stopping"):
        async with session.use():
            pytest.fail("it was used after it was closed")

    await until_sessions_are_at_most(database, 0)


async def test_connection_that_is_being_opened_is_given_up_when_its_session_is_closed(session, cable, database):
    # given a use for which a connection is being opened
    cable.hold()
    use = asyncio.create_task(answer_once(session))
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not cable.connections:  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.01)

    # when the session is closed before the server answers
    await session.close()
    cable.release()

    # then the use is refused, and no connection stays
    with pytest.raises(UnavailableError, match="stopping"):
        await use
    await until_sessions_are_at_most(database, 0)


async def answer_once(session: Session) -> int:
    async with session.use() as connection:
        return int(await connection.fetchval("SELECT 42"))
