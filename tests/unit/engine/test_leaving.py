"""Which session a pod ends at the database when it has given up a connection that says nothing."""

import datetime as dt

import pytest
from engine_postgres import TestDatabase
from rtx_engine.store.leaving import LeftSessions, SessionId


@pytest.mark.parametrize(("earlier", "spared"), [(dt.timedelta(0), False), (dt.timedelta(hours=1), True)])
async def test_only_the_session_is_ended_that_began_with_the_connection(database: TestDatabase, earlier, spared):
    # given a session, and a connection that had one of its number: its own, or one of another server
    session, other = await database.connect("rtx_engine"), await database.connect("rtx_engine")
    left = LeftSessions()
    own = await left.identify(session)

    # when the session of that connection is ended
    left.note(SessionId(own.number, own.began - earlier))
    await left.end(other)

    assert not left
    numbers = await database.execute("SELECT pid FROM pg_stat_activity WHERE usename = 'rtx_engine'")
    assert ((own.number,) in numbers) == spared
    await other.close()
    await session.close()
