"""Migrations: applied completely or not at all, by one runner at a time, and reversible."""

import asyncio

import pytest
import structlog
from engine_migrations import TIMEOUT_SECONDS, hold_lock, write
from engine_pods import Pod
from rtx_engine.store.migrate import Migrator
from rtx_engine.store.migration_files import Half, MigrationFilesError, load, required_version
from rtx_engine.store.migration_plan import MigrationError, MigrationState
from rtx_engine.store.migration_record import TABLE
from rtx_engine.store.migration_session import LockRetries

UNGRANTED = f"{TABLE}; REVOKE SELECT ON schema_migrations FROM rtx_engine"  # noqa: S608  # made of constants
SCHEMA = """
SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
WHERE table_schema = 'public' ORDER BY 1, 2
"""


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


async def test_halves_are_applied_separately_and_reversed_in_reverse_order(run_migrations, fenced_database):
    expanded = await run_migrations("up", half=Half.EXPAND)
    assert [migration.label for migration in expanded] == ["0001 notes (expand)", "0002 rename (expand)"]
    assert await columns(fenced_database) == {"id", "old", "new"}

    contracted = await run_migrations("up", half=Half.CONTRACT)
    assert [migration.label for migration in contracted] == ["0002 rename (contract)"]
    assert await columns(fenced_database) == {"id", "new"}
    assert await run_migrations("up") == []

    back = await run_migrations("down")
    assert [migration.label for migration in back] == ["0002 rename (contract)", "0002 rename (expand)"]
    assert await columns(fenced_database) == {"id", "old"}


async def test_up_stops_at_the_given_version(run_migrations, fenced_database):
    await run_migrations("up", to=1)
    states = [(row.version, row.half, row.state) for row in await run_migrations("status")]
    assert states == [
        (1, Half.EXPAND, MigrationState.APPLIED),
        (2, Half.EXPAND, MigrationState.PENDING),
        (2, Half.CONTRACT, MigrationState.PENDING),
    ]


async def test_failed_migration_is_rolled_back_and_earlier_ones_stay(run_migrations, fenced_database):
    broken = {"0002_rename.expand.sql": "ALTER TABLE notes ADD COLUMN new text; SELECT 1 / 0"}

    with pytest.raises(MigrationError, match=r"0002 rename \(expand\) failed and changed nothing: division by zero"):
        await run_migrations("up", edits=broken)

    assert await columns(fenced_database) == {"id", "old"}
    assert [row.state for row in await run_migrations("status")] == [
        MigrationState.APPLIED,
        MigrationState.PENDING,
        MigrationState.PENDING,
    ]
    await run_migrations("up")
    assert await columns(fenced_database) == {"id", "new"}


async def test_failed_contract_migration_bars_no_later_release_which_may_mend_it(run_migrations, fenced_database):
    # given a release whose contract half fails on what somebody has added to the database
    await run_migrations("up", half=Half.EXPAND)
    await fenced_database.execute("CREATE VIEW in_the_way AS SELECT old FROM notes", user="rtx_migrator")
    with pytest.raises(MigrationError, match=r"0002 rename \(contract\) failed and changed nothing: .*depend"):
        await run_migrations("up", half=Half.CONTRACT, cutover="1.1.0-retired")

    # when the next release expands what that one left, and contracts
    mended = {
        "0003_mend.expand.sql": "DROP VIEW in_the_way",
        "0003_mend.expand.reverse.sql": "CREATE VIEW in_the_way AS SELECT old FROM notes",
    }
    expanded = await run_migrations("up", edits=mended, half=Half.EXPAND)
    contracted = await run_migrations("up", edits=mended, half=Half.CONTRACT)

    # then both are done
    assert [migration.label for migration in expanded] == ["0003 mend (expand)"]
    assert [migration.label for migration in contracted] == ["0002 rename (contract)"]
    assert await columns(fenced_database) == {"id", "new"}


async def test_migration_that_commits_is_refused(run_migrations):
    with pytest.raises(MigrationError, match="ends its own transaction"):
        await run_migrations("up", edits={"0001_notes.expand.sql": "CREATE TABLE notes (id int, old text); COMMIT"})


async def test_edited_migration_is_refused(run_migrations):
    await run_migrations("up", to=1)
    edits = {"0001_notes.expand.sql": "CREATE TABLE notes (id bigint, old text)"}

    with pytest.raises(MigrationError, match=r"0001 notes \(expand\) was edited after it was applied"):
        await run_migrations("up", edits=edits)
    assert (await run_migrations("status", edits=edits))[0].state is MigrationState.CHANGED


async def test_two_concurrent_runners_apply_each_migration_once(run_migrations, fenced_database):
    slow = {"0001_notes.expand.sql": "SELECT pg_sleep(0.5); CREATE TABLE notes (id int, old text)"}

    done = await asyncio.gather(*(run_migrations("up", edits=slow) for _ in range(3)))

    assert sorted(len(migrations) for migrations in done) == [0, 0, 3]
    assert len(await fenced_database.execute("SELECT version FROM schema_migrations")) == 3


async def test_held_lock_is_waited_for_in_short_attempts(run_migrations, fenced_database):
    # given a session that reads a table for longer than one try waits
    await run_migrations("up", to=1)
    reader = await fenced_database.connect("rtx_migrator")
    reading = reader.transaction()
    await reading.start()
    await reader.execute("SELECT FROM notes")
    with structlog.testing.capture_logs() as told:
        migrating = asyncio.create_task(
            run_migrations("up", lock=LockRetries(timeout_ms=20, attempts=1000, pause_seconds=0.02))
        )
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while [line["event"] for line in told].count("migration waits for a lock") < 2:  # noqa: ASYNC110  # it only logs
                await asyncio.sleep(0.01)
    assert not migrating.done()

    await reading.rollback()
    assert len(await migrating) == 2

    # and given one that never ends
    await hold_lock(reader)
    with pytest.raises(MigrationError, match="got no lock in 3 attempts"):
        await run_migrations("down", lock=LockRetries(timeout_ms=20, attempts=3, pause_seconds=0.02))
    await reader.close()


async def test_down_refuses_a_version_of_another_build(run_migrations, fenced_database):
    await run_migrations("up")
    async with Migrator.connected(fenced_database.as_role("rtx_migrator"), ()) as older:
        with pytest.raises(MigrationError, match="version 0002 was applied by another build"):
            await older.down()
        assert [row.state for row in await older.status()] == [MigrationState.UNKNOWN] * 3


async def test_down_reverses_only_the_migrations_of_the_cutover(run_migrations, fenced_database):
    await run_migrations("up", to=1, cutover="first")
    await run_migrations("up", half=Half.EXPAND, cutover="second")

    assert await run_migrations("down", cutover="third") == []
    back = await run_migrations("down", cutover="second")

    assert [migration.label for migration in back] == ["0002 rename (expand)"]
    assert await columns(fenced_database) == {"id", "old"}
    assert await run_migrations("down", cutover="second") == []


async def test_down_that_is_refused_halfway_reverses_nothing(run_migrations, fenced_database):
    # given a version whose data nobody may throw out, and a newer one
    kept = {
        "0001_notes.expand.reverse.sql": "DO $$ BEGIN RAISE EXCEPTION 'there are notes'; END $$; DROP TABLE notes",
    }
    await run_migrations("up", edits=kept, half=Half.EXPAND)

    with pytest.raises(MigrationError, match=r"0001 notes \(expand\) failed and changed nothing: there are notes"):
        await run_migrations("down", edits=kept, to=0)

    assert await columns(fenced_database) == {"id", "old", "new"}
    states = [row.state for row in await run_migrations("status", edits=kept)]
    assert states == [MigrationState.APPLIED, MigrationState.APPLIED, MigrationState.PENDING]


async def test_down_reverses_what_runs_in_no_transaction_by_itself(run_migrations, fenced_database):
    # given an index that is dropped concurrently, between two versions
    index = {
        "0002_rename.expand.sql": "-- rtx: without a transaction\nCREATE INDEX CONCURRENTLY notes_id ON notes (id)",
        "0002_rename.expand.reverse.sql": "-- rtx: without a transaction\nDROP INDEX CONCURRENTLY notes_id",
        "0002_rename.contract.sql": "ALTER TABLE notes ADD COLUMN new text",
        "0002_rename.contract.reverse.sql": "ALTER TABLE notes DROP COLUMN new",
    }
    await run_migrations("up", edits=index)

    back = await run_migrations("down", edits=index, to=0)

    assert [migration.version for migration in back] == [2, 2, 1]
    assert await columns(fenced_database) == set()


async def test_deferred_checks_of_a_reversed_version_bar_no_earlier_one(run_migrations, fenced_database):
    # given a reverse half that writes rows which a trigger is to look at, before an earlier one alters their table
    writes = {
        "0002_rename.expand.sql": """
            CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
            CREATE CONSTRAINT TRIGGER looks AFTER UPDATE ON notes DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW EXECUTE FUNCTION look();""",
        "0002_rename.expand.reverse.sql": "UPDATE notes SET id = 2",
        "0001_notes.expand.reverse.sql": "DROP TABLE notes; DROP FUNCTION look()",
    }
    await run_migrations("up", edits=writes, half=Half.EXPAND)
    await fenced_database.execute("INSERT INTO notes VALUES (1, 'old')", user="rtx_migrator")

    await run_migrations("down", edits=writes, to=0)

    assert await columns(fenced_database) == set()


async def test_down_refuses_a_version_that_was_edited_since(run_migrations, fenced_database):
    # given a version whose file is another one now: its reverse may be one of other statements
    await run_migrations("up", half=Half.EXPAND)
    edits = {"0002_rename.expand.sql": "ALTER TABLE notes ADD COLUMN new varchar"}

    with pytest.raises(MigrationError, match=r"0002 rename \(expand\) was edited after it was applied"):
        await run_migrations("down", edits=edits)

    assert await columns(fenced_database) == {"id", "old", "new"}


async def test_status_reads_a_table_without_the_cutover_column(run_migrations, fenced_database):
    await run_migrations("up", to=1)
    await fenced_database.execute("ALTER TABLE schema_migrations DROP COLUMN applied_for")

    assert (await run_migrations("status"))[0].state is MigrationState.APPLIED
    await run_migrations("up", cutover="second")

    rows = await fenced_database.execute("SELECT version, applied_for FROM schema_migrations ORDER BY 1, half")
    assert [tuple(row) for row in rows] == [(1, None), (2, "second"), (2, "second")]


async def test_unknown_expansion_is_accepted_and_unknown_contraction_refused(run_migrations, fenced_database):
    await run_migrations("up", half=Half.EXPAND)
    async with Migrator.connected(fenced_database.as_role("rtx_migrator"), ()) as older:
        assert await older.up() == []

    await run_migrations("up", half=Half.CONTRACT)

    async with Migrator.connected(fenced_database.as_role("rtx_migrator"), ()) as older:
        with pytest.raises(MigrationError, match="version 0002 was contracted by a newer build; this build cannot run"):
            await older.up()


async def test_session_that_reads_the_record_of_migrations_holds_up_none(run_migrations, fenced_database):
    await run_migrations("up", to=1)
    reader = await fenced_database.connect("rtx_migrator")
    await reader.execute("BEGIN; SELECT FROM schema_migrations")

    async with asyncio.timeout(TIMEOUT_SECONDS):
        assert len(await run_migrations("up")) == 2

    await reader.close()


async def test_lock_that_is_never_free_is_named_by_its_session(run_migrations, fenced_database):
    await run_migrations("up", to=1)
    reader = await fenced_database.connect("rtx_migrator", application_name="psql")
    await hold_lock(reader)

    with pytest.raises(MigrationError, match=r"last held by session \d+ \(psql, role rtx_migrator\)"):
        await run_migrations("up", lock=LockRetries(timeout_ms=300, attempts=2, pause_seconds=0.02))

    await reader.close()


async def test_record_of_migrations_that_lacks_a_column_is_altered_within_the_lock_budget(
    run_migrations, fenced_database
):
    # given a record of an earlier release, which a dump reads for as long as it takes
    await run_migrations("up", to=1)
    await fenced_database.execute("ALTER TABLE schema_migrations DROP COLUMN applied_for")
    dump = await fenced_database.connect("rtx_migrator", application_name="pg_dump")
    await dump.execute("BEGIN; LOCK TABLE schema_migrations IN ACCESS SHARE MODE")

    # then the runner gives up, and says for whom it waited
    with pytest.raises(MigrationError, match=r"record of migrations got no lock in 2 attempts .*\(pg_dump, role"):
        await run_migrations("up", lock=LockRetries(timeout_ms=300, attempts=2, pause_seconds=0.02))
    # and once the dump has ended it goes on
    migrating = asyncio.create_task(
        run_migrations("up", lock=LockRetries(timeout_ms=20, attempts=1000, pause_seconds=0.02))
    )
    await dump.close()
    assert len(await migrating) == 2


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


async def test_contract_half_is_refused_where_its_expand_half_is_not_applied(run_migrations, fenced_database):
    # Given a database that was restored from before the upgrade, with data
    copies = {"0002_rename.expand.sql": "ALTER TABLE notes ADD COLUMN new text; UPDATE notes SET new = old"}
    await run_migrations("up", to=1)
    await fenced_database.execute("INSERT INTO notes VALUES (1, '100.00')")

    # When the contract Job of a retirement that was under way runs on it
    with pytest.raises(MigrationError, match=r"0002 rename \(contract\) was not applied, .* apply the expand halves"):
        await run_migrations("up", half=Half.CONTRACT, edits=copies)

    # Then nothing is lost: the expand half finds what it copies, and after it the contract half runs
    await run_migrations("up", half=Half.EXPAND, edits=copies)
    [contracted] = await run_migrations("up", half=Half.CONTRACT, edits=copies)
    assert contracted.label == "0002 rename (contract)"
    assert [row["new"] for row in await fenced_database.execute("SELECT new FROM notes")] == ["100.00"]


async def test_contract_half_waits_for_every_earlier_expand_half(run_migrations):
    # Given a version that has only a contract half, and takes away what an earlier one, not applied, copies
    only = {"0003_old.contract.sql": "ALTER TABLE notes DROP old", "0003_old.contract.reverse.sql": "SELECT 1"}
    await run_migrations("up", to=1, edits=only)

    with pytest.raises(MigrationError, match=r"follows 0002 rename \(expand\)"):
        await run_migrations("up", half=Half.CONTRACT, edits=only)


async def test_expand_half_is_not_reversed_while_its_contract_half_stays(run_migrations, fenced_database):
    # Given a version whose halves were applied for different cutovers: only its new column has the values
    await run_migrations("up", half=Half.EXPAND, cutover="first")
    await run_migrations("up", half=Half.CONTRACT)

    with pytest.raises(MigrationError, match="version 0002 is contracted"):
        await run_migrations("down", cutover="first")

    assert await columns(fenced_database) == {"id", "new"}


@pytest.mark.parametrize(
    "left", [UNGRANTED, f"{UNGRANTED}; ALTER TABLE schema_migrations DROP applied_for"], ids=["table", "older table"]
)
async def test_grant_that_a_killed_runner_left_out_is_made_up_for(fenced_database, left):
    # Given the table of an earlier release's runner that was killed before its grant, or one restored without rights
    killed = await fenced_database.connect("rtx_migrator")
    await killed.execute(left)
    await killed.close()

    # When the next runner migrates
    async with Migrator.connected(fenced_database.as_role("rtx_migrator")) as migrator:
        await migrator.up()

    # Then pods can read what they need
    fence = Pod(fenced_database.engine).store.fence
    session = await fenced_database.connect("rtx_engine")
    try:
        assert await fence.refresh(session)
    finally:
        await session.close()
