"""Migrations: applied completely or not at all, by one runner at a time, and reversible."""

import asyncio
import contextlib
from pathlib import Path

import asyncpg
import pytest
import structlog
from rtx_engine.store import concurrent_indexes
from rtx_engine.store.migrate import PRODUCTION, LockRetries, MigrationError, MigrationState, Migrator
from rtx_engine.store.migration_files import NO_TRANSACTION, Half, MigrationFilesError, load, required_version

TIMEOUT_SECONDS = 20.0
SCHEMA = """
SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
WHERE table_schema = 'public' ORDER BY 1, 2
"""
FILES = {
    "0001_notes.expand.sql": "CREATE TABLE notes (id int, old text)",
    "0001_notes.expand.reverse.sql": "DROP TABLE notes",
    "0002_rename.expand.sql": "ALTER TABLE notes ADD COLUMN new text",
    "0002_rename.expand.reverse.sql": "ALTER TABLE notes DROP COLUMN new",
    "0002_rename.contract.sql": "ALTER TABLE notes DROP COLUMN old",
    "0002_rename.contract.reverse.sql": "ALTER TABLE notes ADD COLUMN old text",
}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, sql in files.items():
        (folder / name).write_text(sql, encoding="utf-8")
    return folder


@pytest.fixture
def run(fenced_database, tmp_path):
    """`await run("up", …)` of the two versions above, with `edits` to their files."""

    async def run(
        command: str, *, edits: dict[str, str] | None = None, lock: LockRetries = PRODUCTION, **options: object
    ):
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        migrations = load(write(folder, FILES | (edits or {})))
        async with Migrator.connected(fenced_database.as_role("rtx_migrator"), migrations, lock) as migrator:
            return await getattr(migrator, command)(**options)

    return run


async def columns(database) -> set[str]:
    rows = await database.execute(SCHEMA)
    return {row["column_name"] for row in rows if row["table_name"] == "notes"}


async def test_up_down_up_restores_the_schema(fenced_database):
    async with Migrator.connected(fenced_database.as_role("rtx_migrator")) as migrator:
        await migrator.up()
        first = await fenced_database.execute(SCHEMA)
        await migrator.down(to=0)
        between = await fenced_database.execute(SCHEMA)
        await migrator.up()
    assert await fenced_database.execute(SCHEMA) == first
    assert {row["table_name"] for row in between} == {"schema_migrations"}
    assert {"accounts", "orders"} <= {row["table_name"] for row in first}
    assert required_version() == max(migration.version for migration in load())


async def test_halves_are_applied_separately_and_reversed_in_reverse_order(run, fenced_database):
    expanded = await run("up", half=Half.EXPAND)
    assert [migration.label for migration in expanded] == ["0001 notes (expand)", "0002 rename (expand)"]
    assert await columns(fenced_database) == {"id", "old", "new"}

    contracted = await run("up", half=Half.CONTRACT)
    assert [migration.label for migration in contracted] == ["0002 rename (contract)"]
    assert await columns(fenced_database) == {"id", "new"}
    assert await run("up") == []

    back = await run("down")
    assert [migration.label for migration in back] == ["0002 rename (contract)", "0002 rename (expand)"]
    assert await columns(fenced_database) == {"id", "old"}


async def test_up_stops_at_the_given_version(run, fenced_database):
    await run("up", to=1)
    states = [(row.version, row.half, row.state) for row in await run("status")]
    assert states == [
        (1, Half.EXPAND, MigrationState.APPLIED),
        (2, Half.EXPAND, MigrationState.PENDING),
        (2, Half.CONTRACT, MigrationState.PENDING),
    ]


async def test_failed_migration_is_rolled_back_and_earlier_ones_stay(run, fenced_database):
    broken = {"0002_rename.expand.sql": "ALTER TABLE notes ADD COLUMN new text; SELECT 1 / 0"}

    with pytest.raises(MigrationError, match=r"0002 rename \(expand\) failed and changed nothing: division by zero"):
        await run("up", edits=broken)

    assert await columns(fenced_database) == {"id", "old"}
    assert [row.state for row in await run("status")] == [
        MigrationState.APPLIED,
        MigrationState.PENDING,
        MigrationState.PENDING,
    ]
    await run("up")
    assert await columns(fenced_database) == {"id", "new"}


async def test_migration_that_commits_is_refused(run):
    with pytest.raises(MigrationError, match="ends its own transaction"):
        await run("up", edits={"0001_notes.expand.sql": "CREATE TABLE notes (id int, old text); COMMIT"})


async def test_edited_migration_is_refused(run):
    await run("up", to=1)
    edits = {"0001_notes.expand.sql": "CREATE TABLE notes (id bigint, old text)"}

    with pytest.raises(MigrationError, match=r"0001 notes \(expand\) was edited after it was applied"):
        await run("up", edits=edits)
    assert (await run("status", edits=edits))[0].state is MigrationState.CHANGED


async def test_two_concurrent_runners_apply_each_migration_once(run, fenced_database):
    slow = {"0001_notes.expand.sql": "SELECT pg_sleep(0.5); CREATE TABLE notes (id int, old text)"}

    done = await asyncio.gather(*(run("up", edits=slow) for _ in range(3)))

    assert sorted(len(migrations) for migrations in done) == [0, 0, 3]
    assert len(await fenced_database.execute("SELECT version FROM schema_migrations")) == 3


async def test_held_lock_is_waited_for_in_short_attempts(run, fenced_database):
    # given a session that reads a table for longer than one try waits
    await run("up", to=1)
    reader = await fenced_database.connect("rtx_migrator")
    reading = reader.transaction()
    await reading.start()
    await reader.execute("SELECT FROM notes")
    with structlog.testing.capture_logs() as told:
        migrating = asyncio.create_task(run("up", lock=LockRetries(timeout_ms=20, attempts=1000, pause_seconds=0.02)))
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while [line["event"] for line in told].count("migration waits for a lock") < 2:  # noqa: ASYNC110  # it only logs
                await asyncio.sleep(0.01)
    assert not migrating.done()

    await reading.rollback()
    assert len(await migrating) == 2

    # and given one that never ends
    await reading_again(reader)
    with pytest.raises(MigrationError, match="got no lock in 3 attempts"):
        await run("down", lock=LockRetries(timeout_ms=20, attempts=3, pause_seconds=0.02))
    await reader.close()


async def reading_again(connection) -> None:
    await connection.execute("BEGIN; SELECT FROM notes")


async def test_down_refuses_a_version_of_another_build(run, fenced_database):
    await run("up")
    async with Migrator.connected(fenced_database.as_role("rtx_migrator"), ()) as older:
        with pytest.raises(MigrationError, match="version 0002 was applied by another build"):
            await older.down()
        assert [row.state for row in await older.status()] == [MigrationState.UNKNOWN] * 3


async def test_down_reverses_only_the_migrations_of_the_cutover(run, fenced_database):
    await run("up", to=1, cutover="first")
    await run("up", half=Half.EXPAND, cutover="second")

    assert await run("down", cutover="third") == []
    back = await run("down", cutover="second")

    assert [migration.label for migration in back] == ["0002 rename (expand)"]
    assert await columns(fenced_database) == {"id", "old"}
    assert await run("down", cutover="second") == []


async def test_status_reads_a_table_without_the_cutover_column(run, fenced_database):
    await run("up", to=1)
    await fenced_database.execute("ALTER TABLE schema_migrations DROP COLUMN applied_for")

    assert (await run("status"))[0].state is MigrationState.APPLIED
    await run("up", cutover="second")

    rows = await fenced_database.execute("SELECT version, applied_for FROM schema_migrations ORDER BY 1, half")
    assert [tuple(row) for row in rows] == [(1, None), (2, "second"), (2, "second")]


async def test_unknown_expansion_is_accepted_and_unknown_contraction_refused(run, fenced_database):
    await run("up", half=Half.EXPAND)
    async with Migrator.connected(fenced_database.as_role("rtx_migrator"), ()) as older:
        assert await older.up() == []

    await run("up", half=Half.CONTRACT)

    async with Migrator.connected(fenced_database.as_role("rtx_migrator"), ()) as older:
        with pytest.raises(MigrationError, match="version 0002 was contracted by a newer build; this build cannot run"):
            await older.up()


INDEX = {
    "0003_index.expand.sql": f"{NO_TRANSACTION}CREATE INDEX CONCURRENTLY notes_by_id ON notes (id)",
    "0003_index.expand.reverse.sql": f"{NO_TRANSACTION}DROP INDEX CONCURRENTLY IF EXISTS notes_by_id",
}


async def valid(database, index: str) -> bool | None:
    """Whether that index may be used; None: there is none."""
    rows = await database.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)", index)
    return rows[0]["indisvalid"] if rows else None


async def test_concurrent_index_is_created_and_dropped(run, fenced_database):
    await run("up", half=Half.EXPAND, edits=INDEX)
    assert await valid(fenced_database, "notes_by_id") is True

    await run("down", edits=INDEX)
    assert await valid(fenced_database, "notes_by_id") is None


async def test_invalid_index_is_created_again(run, fenced_database):
    # given an index of that name that was begun and not finished
    await run("up", half=Half.EXPAND)
    await fenced_database.execute("INSERT INTO notes VALUES (1, 'a'), (1, 'b')")
    with pytest.raises(asyncpg.UniqueViolationError):
        await fenced_database.execute("CREATE UNIQUE INDEX CONCURRENTLY notes_by_id ON notes (id)")
    assert await valid(fenced_database, "notes_by_id") is False

    await run("up", half=Half.EXPAND, edits=INDEX)

    assert await valid(fenced_database, "notes_by_id") is True


async def test_failed_index_is_dropped(run, fenced_database):
    await run("up", half=Half.EXPAND)
    await fenced_database.execute("INSERT INTO notes VALUES (1, 'a'), (1, 'b')")
    unique = {
        **INDEX,
        "0003_index.expand.sql": f"{NO_TRANSACTION}CREATE UNIQUE INDEX CONCURRENTLY notes_by_id ON notes (id)",
    }

    with pytest.raises(MigrationError, match=r"0003 index \(expand\) failed and changed nothing: could not create"):
        await run("up", half=Half.EXPAND, edits=unique)

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
async def test_invalid_index_is_never_recorded(run, fenced_database, statement):
    """However its statement is written: the file is refused, or the second try gives a valid index."""
    await run("up", half=Half.EXPAND)
    await fenced_database.execute("INSERT INTO notes VALUES (1, 'a'), (1, 'b')")
    unique = {**INDEX, "0003_index.expand.sql": f"{NO_TRANSACTION}{statement}"}

    # given a first try that fails on duplicates, and a second one once they are gone
    with pytest.raises((MigrationError, MigrationFilesError), match=r"duplicate|write it as CREATE INDEX CONCURRENTLY"):
        await run("up", half=Half.EXPAND, edits=unique)
    await fenced_database.execute("DELETE FROM notes")
    with contextlib.suppress(MigrationFilesError):
        await run("up", half=Half.EXPAND, edits=unique)

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
async def test_other_index_of_that_name_is_not_taken_for_the_migrations(run, fenced_database, other):
    await run("up", half=Half.EXPAND)
    await fenced_database.execute("CREATE TABLE others (id int)", user="rtx_migrator")
    await fenced_database.execute(other, user="rtx_migrator")

    with pytest.raises(MigrationError, match=r"another index is called notes_by_id \(CREATE .*rename or drop it"):
        await run("up", half=Half.EXPAND, edits=INDEX)

    assert not await fenced_database.execute("SELECT FROM schema_migrations WHERE version = 3")


async def test_cause_is_told_when_the_invalid_index_cannot_be_dropped(run, fenced_database, monkeypatch):
    # given an index that fails on duplicates, and a reader for which its removal waits
    monkeypatch.setattr(concurrent_indexes, "CLEANUP_TIMEOUT_SECONDS", 0.5)
    await run("up", half=Half.EXPAND)
    await fenced_database.execute("INSERT INTO notes VALUES (1, 'a'), (1, 'b')")
    reader = await fenced_database.connect("rtx_migrator")
    await reading_again(reader)
    unique = INDEX["0003_index.expand.sql"].replace("CREATE", "CREATE UNIQUE")

    # when it fails, then both are told, in one line
    both = r"could not create unique index .*duplicated\.; it may have left index notes_by_id invalid"
    with pytest.raises(MigrationError, match=both):
        await run("up", half=Half.EXPAND, edits={**INDEX, "0003_index.expand.sql": unique})

    # and the next run drops it
    await reader.close()
    await run("up", half=Half.EXPAND, to=2, edits=INDEX)
    assert await valid(fenced_database, "notes_by_id") is None


async def test_comment_does_not_let_a_statement_wait_for_its_lock_without_limit(run, fenced_database):
    # given a statement with a comment on concurrent indexes, and a reader that keeps its lock
    await run("up", half=Half.EXPAND)
    reader = await fenced_database.connect("rtx_migrator")
    await reading_again(reader)
    statement = "-- no INDEX CONCURRENTLY is needed\nALTER TABLE notes ADD COLUMN IF NOT EXISTS more int"

    # when it is run, then it gives up, and no order queues behind it
    with pytest.raises(MigrationError, match="got no lock in 2 attempts"):
        await run(
            "up",
            half=Half.EXPAND,
            edits={**INDEX, "0003_index.expand.sql": f"{NO_TRANSACTION}{statement}"},
            lock=LockRetries(timeout_ms=20, attempts=2, pause_seconds=0.01),
        )
    await reader.close()


async def test_existing_valid_index_is_recorded(run, fenced_database):
    # given a runner that died between the two
    await run("up", half=Half.EXPAND, edits=INDEX)
    await fenced_database.execute("DELETE FROM schema_migrations WHERE version = 3")

    applied = await run("up", half=Half.EXPAND, edits=INDEX)

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


async def test_concurrent_index_waits_for_an_old_snapshot_and_is_built_once(run, fenced_database):
    # given a report with an old snapshot, and an index that is to be built
    await run("up", half=Half.EXPAND)
    report, transaction = await with_old_snapshot(fenced_database)
    short = LockRetries(timeout_ms=20, attempts=2, pause_seconds=0.01)
    with structlog.testing.capture_logs() as told:
        migrating = asyncio.create_task(run("up", half=Half.EXPAND, edits=INDEX, lock=short))
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


async def test_runner_that_is_ended_while_it_waits_leaves_no_invalid_index(run, fenced_database):
    # given an index that waits for an old snapshot
    await run("up", half=Half.EXPAND)
    report, _ = await with_old_snapshot(fenced_database)
    migrating = asyncio.create_task(run("up", half=Half.EXPAND, edits=INDEX))
    await building(fenced_database)

    # when its runner is ended
    migrating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await migrating

    # then no index is left
    assert await valid(fenced_database, "notes_by_id") is None
    await report.close()


@pytest.mark.parametrize("command", ["up", "down"])
async def test_index_that_a_killed_runner_left_invalid_is_dropped_by_the_next(run, fenced_database, command):
    # given an invalid index of a migration that is not applied
    await run("up", half=Half.EXPAND)
    await fenced_database.execute("CREATE INDEX notes_by_id ON notes (id)")
    await fenced_database.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'notes_by_id'::regclass")

    # when the next runner does something else
    await run(command, edits=INDEX, **({"to": 2} if command == "up" else {"cutover": "another"}))

    # then the index is gone
    assert await valid(fenced_database, "notes_by_id") is None


async def test_second_runner_does_not_keep_a_concurrent_index_waiting(run, fenced_database):
    # given an index that waits for an old snapshot, and a second runner that waits for the first
    await run("up", half=Half.EXPAND)
    report, transaction = await with_old_snapshot(fenced_database)
    first = asyncio.create_task(run("up", half=Half.EXPAND, edits=INDEX))
    await building(fenced_database)
    second = asyncio.create_task(run("up", half=Half.EXPAND, edits=INDEX))
    await asyncio.sleep(0.5)

    # when the snapshot is gone, then both end, without a deadlock
    await transaction.rollback()
    async with asyncio.timeout(TIMEOUT_SECONDS):
        assert sorted(map(len, await asyncio.gather(first, second))) == [0, 1]
    await report.close()


async def test_session_that_reads_the_record_of_migrations_holds_up_none(run, fenced_database):
    await run("up", to=1)
    reader = await fenced_database.connect("rtx_migrator")
    await reader.execute("BEGIN; SELECT FROM schema_migrations")

    async with asyncio.timeout(TIMEOUT_SECONDS):
        assert len(await run("up")) == 2

    await reader.close()


async def test_lock_that_is_never_free_is_named_by_its_session(run, fenced_database):
    await run("up", to=1)
    reader = await fenced_database.connect("rtx_migrator", application_name="psql")
    await reading_again(reader)

    with pytest.raises(MigrationError, match=r"last held by session \d+ \(psql, role rtx_migrator\)"):
        await run("up", lock=LockRetries(timeout_ms=300, attempts=2, pause_seconds=0.02))

    await reader.close()


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"1_notes.sql": ""}, "1_notes.sql is not named like 0001_accounts.expand.sql"),
        ({"0001_a.expand.sql": ""}, "0001_a.expand.reverse.sql is missing"),
        ({"0001_a.contract.reverse.sql": ""}, "0001_a.contract.sql is missing"),
        (
            {
                name: ""
                for half in ("0001_a", "0001_b")
                for name in (f"{half}.expand.sql", f"{half}.expand.reverse.sql")
            },
            "version 0001 has two names",
        ),
    ],
)
def test_wrong_migration_file_is_named_in_the_error(tmp_path, files, sentence):
    with pytest.raises(MigrationFilesError, match=sentence):
        load(write(tmp_path, files))
