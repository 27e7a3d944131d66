"""Which session a pod ends at the database when it has given up a connection that says nothing."""

import asyncio

import pytest
from engine_postgres import TestDatabase
from rtx_engine.store.leaving import leave

TIMEOUT_SECONDS = 20.0
SESSION = "SELECT FROM pg_stat_activity WHERE pid = $1"


class SilentConnection:
    """A connection of the session `number`, whose server says nothing to a request to cancel."""

    def __init__(self, number: int) -> None:
        self._number = number

    def is_closed(self) -> bool:
        return False

    def get_server_pid(self) -> int:
        return self._number

    async def execute(self, _: str) -> None:
        raise TimeoutError

    def terminate(self) -> None:
        pass


@pytest.mark.parametrize(("seconds", "ended"), [(0.0, True), (60.0, False)], ids=["as old", "younger"])
async def test_session_is_ended_if_it_is_as_old_as_the_connection_was(database: TestDatabase, seconds, ended):
    # given a session, and a connection with its number that was opened so many seconds before it
    opened = asyncio.get_running_loop().time() - seconds
    session = await database.connect("rtx_engine", application_name="blue")
    number = session.get_server_pid()

    await leave(SilentConnection(number), opened, lambda: database.connect("rtx_engine", application_name="blue"))

    if ended:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while await database.execute(SESSION, number):  # noqa: ASYNC110  # nothing tells of it
                await asyncio.sleep(0.05)
    else:
        assert len(await session.fetch("SELECT")) == 1
    await session.close()
