"""Migrations with CREATE INDEX CONCURRENTLY: none is recorded without its valid index, whoever ends meanwhile."""

import asyncio
import contextlib

import asyncpg
import pytest
import structlog
from engine_migrations import TIMEOUT_SECONDS, hold_lock
from rtx_engine.store import concurrent_indexes
from rtx_engine.store.migration_files import NO_TRANSACTION, Half, MigrationFilesError
from rtx_engine.store.migration_plan import MigrationError
from rtx_engine.store.migration_session import LockRetries

INDEX = {
    "0003_index.expand.sql": f"{NO_TRANSACTION}CREATE INDEX CONCURRENTLY notes_by_id ON notes (id)",
    "0003_index.expand.reverse.sql": f"{NO_TRANSACTION}DROP INDEX CONCURRENTLY IF EXISTS notes_by_id",
}


async def valid(database, index: str) -> bool | None:
    """Whether that index may be used; None: there is none."""
    rows = await database.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)", index)
    return rows[0]["indisvalid"] if rows else None


async def test_concurrent_index_is_created_and_dropped(run_migrations, fenced_database):
    await run_migrations("up", half=Half.EXPAND, edits=INDEX)
    assert await valid(fenced_database, "notes_by_id") is True

    await run_migrations("down", edits=INDEX)
    assert await valid(fenced_database, "notes_by_id") is None


async def test_invalid_index_is_created_again(run_migrations, fenced_database):
    # given an index of that name that was begun and not finished
    await run_migrations("up", half=Half.EXPAND)
    await fenced_database.execute("INSERT INTO notes VALUES (1, 'a'), (1, 'b')")
    with pytest.raises(asyncpg.UniqueViolationError):
        await fenced_database.execute("CREATE UNIQUE INDEX CONCURRENTLY notes_by_id ON notes (id)")
    assert await valid(fenced_database, "notes_by_id") is False

    await run_migrations("up", half=Half.EXPAND, edits=INDEX)

    assert await valid(fenced_database, "notes_by_id") is True


async def test_failed_index_is_dropped(run_migrations, fenced_database):
    await run_migrations("up", half=Half.EXPAND)
    await fenced_database.execute("INSERT INTO notes VALUES (1, 'a'), (1, 'b')")
    unique = {
        **INDEX,
        "0003_index.expand.sql": f"{NO_TRANSACTION}CREATE UNIQUE INDEX CONCURRENTLY notes_by_id ON notes (id)",
    }

    with pytest.raises(MigrationError, match=r"0003 index \(expand\) failed and changed nothing: could not create"):
        await run_migrations("up", half=Half.EXPAND, edits=unique)

    assert await valid(fenced_database, "notes_by_id") is None


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE UNIQUE INDEX CONCURRENTLY notes_by_id ON notes (id)",
        "create unique index concurrently notes_by_id on notes (id)",
        "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS notes_by_id ON notes (id)",
        "-- for reports\nCREATE UNIQUE INDEX CONCURRENTLY /* as it is large */ notes_by_id ON notes (id)",
        "CREATE UNIQUE INDEX CONCURRENTLY Notes_by_ID ON Notes (id)",
        "CREATE UNIQUE INDEX CONCURRENTLY notes_by_id ON public.notes (id)",
        'CREATE UNIQUE INDEX CONCURRENTLY "notes_by_id" ON notes (id)',
        "CREATE UNIQUE INDEX CONCURRENTLY ON notes (id)",
        "CREATE UNIQUE INDEX CONCURRENTLY notes_by_id ON ONLY notes (id)",
        "REINDEX INDEX CONCURRENTLY notes_by_id",
    ],
)
async def test_invalid_index_is_never_recorded(run_migrations, fenced_database, statement):
    """However its statement is written: the file is refused, or the second try gives a valid index."""
    await run_migrations("up", half=Half.EXPAND)
    await fenced_database.execute("INSERT INTO notes VALUES (1, 'a'), (1, 'b')")
    unique = {**INDEX, "0003_index.expand.sql": f"{NO_TRANSACTION}{statement}"}

    # given a first try that fails on duplicates, and a second one once they are gone
    with pytest.raises((MigrationError, MigrationFilesError), match=r"duplicate|write it as CREATE INDEX CONCURRENTLY"):
        await run_migrations("up", half=Half.EXPAND, edits=unique)
    await fenced_database.execute("DELETE FROM notes")
    with contextlib.suppress(MigrationFilesError):
        await run_migrations("up", half=Half.EXPAND, edits=unique)

    # then the migration is recorded only with its index
    recorded = await fenced_database.execute("SELECT FROM schema_migrations WHERE version = 3")
    assert await valid(fenced_database, "notes_by_id") is (True if recorded else None)


OTHERS = [
    "CREATE INDEX notes_by_id ON others (id)",
    "CREATE INDEX notes_by_id ON notes (old)",
    "CREATE UNIQUE INDEX notes_by_id ON notes (id)",
    "CREATE INDEX notes_by_id ON notes (id) WHERE id > 7",
]


@pytest.mark.parametrize("other", OTHERS)
async def test_other_index_of_that_name_is_not_taken_for_the_migrations(run_migrations, fenced_database, other):
    await run_migrations("up", half=Half.EXPAND)
    await fenced_database.execute("CREATE TABLE others (id int)", user="rtx_migrator")
    await fenced_database.execute(other, user="rtx_migrator")

    with pytest.raises(MigrationError, match=r"another index is called notes_by_id \(CREATE .*rename or drop it"):
        await run_migrations("up", half=Half.EXPAND, edits=INDEX)

    assert not await fenced_database.execute("SELECT FROM schema_migrations WHERE version = 3")


async def test_cause_is_told_when_the_invalid_index_cannot_be_dropped(run_migrations, fenced_database, monkeypatch):
    # given an index that fails on duplicates, and a reader for which its removal waits
    monkeypatch.setattr(concurrent_indexes, "CLEANUP_TIMEOUT_SECONDS", 0.5)
    await run_migrations("up", half=Half.EXPAND)
    await fenced_database.execute("INSERT INTO notes VALUES (1, 'a'), (1, 'b')")
    reader = await fenced_database.connect("rtx_migrator")
    await hold_lock(reader)
    unique = INDEX["0003_index.expand.sql"].replace("CREATE", "CREATE UNIQUE")

    # when it fails, then both are told, in one line
    both = r"could not create unique index .*duplicated\.; it may have left index notes_by_id invalid"
    with pytest.raises(MigrationError, match=both):
        await run_migrations("up", half=Half.EXPAND, edits={**INDEX, "0003_index.expand.sql": unique})

    # and the next run drops it
    await reader.close()
    await run_migrations("up", half=Half.EXPAND, to=2, edits=INDEX)
    assert await valid(fenced_database, "notes_by_id") is None


async def test_comment_does_not_let_a_statement_wait_for_its_lock_without_limit(run_migrations, fenced_database):
    # given a statement with a comment on concurrent indexes, and a reader that keeps its lock
    await run_migrations("up", half=Half.EXPAND)
    reader = await fenced_database.connect("rtx_migrator")
    await hold_lock(reader)
    statement = "-- no INDEX CONCURRENTLY is needed\nALTER TABLE notes ADD COLUMN IF NOT EXISTS more int"

    # when it is run, then it gives up, and no order queues behind it
    with pytest.raises(MigrationError, match="got no lock in 2 attempts"):
        await run_migrations(
            "up",
            half=Half.EXPAND,
            edits={**INDEX, "0003_index.expand.sql": f"{NO_TRANSACTION}{statement}"},
            lock=LockRetries(timeout_ms=20, attempts=2, pause_seconds=0.01),
        )
    await reader.close()


async def test_existing_valid_index_is_recorded(run_migrations, fenced_database):
    # given a runner that died between the two
    await run_migrations("up", half=Half.EXPAND, edits=INDEX)
    await fenced_database.execute("DELETE FROM schema_migrations WHERE version = 3")

    applied = await run_migrations("up", half=Half.EXPAND, edits=INDEX)

    assert [migration.label for migration in applied] == ["0003 index (expand)"]


async def with_old_snapshot(database) -> tuple[asyncpg.Connection, object]:
    """A session whose transaction has a snapshot of now, and touches none of the engine's tables."""
    report = await database.connect("rtx_engine", application_name="report", idle_in_transaction_session_timeout="0")
    transaction = report.transaction(isolation="repeatable_read")
    await transaction.start()
    await report.fetch("SELECT 1")
    return report, transaction


async def building(database) -> None:
    """Return once the index is there and waits for another session to end."""
    waits = "SELECT FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting for%'"
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not await database.execute(waits):  # noqa: ASYNC110  # PostgreSQL sends no event
            await asyncio.sleep(0.02)


async def test_concurrent_index_waits_for_an_old_snapshot_and_is_built_once(run_migrations, fenced_database):
    # given a report with an old snapshot, and an index that is to be built
    await run_migrations("up", half=Half.EXPAND)
    report, transaction = await with_old_snapshot(fenced_database)
    short = LockRetries(timeout_ms=20, attempts=2, pause_seconds=0.01)
    with structlog.testing.capture_logs() as told:
        migrating = asyncio.create_task(run_migrations("up", half=Half.EXPAND, edits=INDEX, lock=short))
        await building(fenced_database)
        [built] = await fenced_database.execute("SELECT 'notes_by_id'::regclass::oid AS oid")

        # when it has waited for far longer than an attempt to get a lock
        await asyncio.sleep(0.5)
        assert not migrating.done()
        await transaction.rollback()
        await migrating

    # then the index is the one that was begun, and the log names the session
    assert await valid(fenced_database, "notes_by_id") is True
    assert await fenced_database.execute("SELECT 'notes_by_id'::regclass::oid AS oid") == [built]
    waits = [line["sessions"] for line in told if line["event"] == "migration waits for another session"]
    assert any("(report, role rtx_engine)" in sessions for sessions in waits)
    await report.close()


async def test_runner_that_is_ended_while_it_waits_leaves_no_invalid_index(run_migrations, fenced_database):
    # given an index that waits for an old snapshot
    await run_migrations("up", half=Half.EXPAND)
    report, _ = await with_old_snapshot(fenced_database)
    migrating = asyncio.create_task(run_migrations("up", half=Half.EXPAND, edits=INDEX))
    await building(fenced_database)

    # when its runner is ended
    migrating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await migrating

    # then no index is left
    assert await valid(fenced_database, "notes_by_id") is None
    await report.close()


@pytest.mark.parametrize("command", ["up", "down"])
async def test_index_that_a_killed_runner_left_invalid_is_dropped_by_the_next(run_migrations, fenced_database, command):
    # given an invalid index of a migration that is not applied
    await run_migrations("up", half=Half.EXPAND)
    await fenced_database.execute("CREATE INDEX notes_by_id ON notes (id)")
    await fenced_database.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'notes_by_id'::regclass")

    # when the next runner does something else
    await run_migrations(command, edits=INDEX, **({"to": 2} if command == "up" else {"cutover": "another"}))

    # then the index is gone
    assert await valid(fenced_database, "notes_by_id") is None


async def test_second_runner_does_not_keep_a_concurrent_index_waiting(run_migrations, fenced_database):
    # given an index that waits for an old snapshot, and a second runner that waits for the first
    await run_migrations("up", half=Half.EXPAND)
    report, transaction = await with_old_snapshot(fenced_database)
    first = asyncio.create_task(run_migrations("up", half=Half.EXPAND, edits=INDEX))
    await building(fenced_database)
    second = asyncio.create_task(run_migrations("up", half=Half.EXPAND, edits=INDEX))
    await asyncio.sleep(0.5)

    # when the snapshot is gone, then both end, without a deadlock
    await transaction.rollback()
    async with asyncio.timeout(TIMEOUT_SECONDS):
        assert sorted(map(len, await asyncio.gather(first, second))) == [0, 1]
    await report.close()


async def test_every_statement_of_a_runner_has_a_lock_budget_but_those_behind_which_nobody_queues(
    run_migrations, monkeypatch
):
    # given a runner that tells of each statement what budget it has
    budgets: dict[str, str] = {}
    execute, prepare = asyncpg.Connection.execute, asyncpg.Connection.fetchval

    async def noted(self, query, *arguments, **options):
        if self.get_server_pid() in watched:
            budgets[" ".join(query.split())] = await prepare(self, "SHOW lock_timeout")
        return await execute(self, query, *arguments, **options)

    watched: set[int] = set()
    connect = asyncpg.connect

    async def connected(*arguments, **options):
        connection = await connect(*arguments, **options)
        watched.add(connection.get_server_pid())
        return connection

    monkeypatch.setattr(asyncpg, "connect", connected)
    monkeypatch.setattr(asyncpg.Connection, "execute", noted)
    # when it migrates, with an index that is built concurrently and one that was left invalid
    await run_migrations("up", to=1)
    await run_migrations("up", edits=INDEX)
    await run_migrations("down", edits=INDEX, to=1)
    # then only concurrent statements may wait for as long as it takes
    waiting = {query for query, budget in budgets.items() if budget == "0"}
    assert {query for query in waiting if "CONCURRENTLY" not in query} <= {"RESET lock_timeout"}
    assert any("CONCURRENTLY" in query for query in waiting)
