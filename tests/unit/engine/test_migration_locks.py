"""What a way back locks: named at the head of each half, and taken before any of them changes anything."""

import asyncio
import os
import subprocess
from collections import Counter
from dataclasses import replace
from functools import partial

import asyncpg
import pytest
import pytest_asyncio
from engine_migrations import hold_lock
from engine_postgres import postgres_programs
from rtx_engine.store.migrate import Migrator
from rtx_engine.store.migration_files import load, runs_in_transaction
from rtx_engine.store.migration_locks import LockMode, of_all, split
from rtx_engine.store.migration_plan import MigrationError
from rtx_engine.store.migration_session import LockRetries

DEADLINE_SECONDS = 90.0
VACUUMING = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'autovacuum worker' AND query LIKE '%public.orders%'"
ORDERS = """
INSERT INTO orders (id, account_id, client_order_id, symbol, side, order_type, quantity, status, reason, realised,
    sequence, epoch, colour, executed_at)
SELECT gen_random_uuid(), 1, n, 'EURUSD', 'buy', 'market', 1, 'rejected', 'MarketClosed', 0, n, 1, 'blue', now()
FROM generate_series(1, 20000) AS n
"""
READS_AND_WRITES = {"AccessShareLock", "RowShareLock", "RowExclusiveLock"}
READERS_WAIT = {"ExclusiveLock", "AccessExclusiveLock"}
# Of tables only: who reads a view, an index or a partition has locked its table as well.
TABLES = """
SELECT oid, relname FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
"""
HELD = "SELECT relation, mode FROM pg_locks WHERE locktype = 'relation' AND granted AND pid = pg_backend_pid()"


WAITS = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'rtx-migrate' AND wait_event_type = 'Lock'"


@pytest_asyncio.fixture
async def restored(database, pod):
    """A database as the runbook restores it, with an account: its tables were made in the order of their names."""
    await pod.open_account("ada")
    where = ["--host=127.0.0.1", f"--port={database.server.port}", "--username=postgres"]
    programs = postgres_programs()
    run = partial(subprocess.run, env=os.environ | {"PGPASSWORD": "superuser"}, check=True, capture_output=True)
    dump = run([programs / "pg_dump", *where, "--format=custom", database.name])
    name = f"{database.name}_restored"
    await database.execute(f"CREATE DATABASE {name} OWNER rtx_migrator TEMPLATE template0")
    run([programs / "pg_restore", *where, f"--dbname={name}", "--single-transaction"], input=dump.stdout)
    yield replace(database, name=name)
    await database.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def test_order_that_has_its_account_does_not_wait_for_a_way_back_that_waits_for_it(restored):
    # given an order that has locked its account, and a way back that waits for a lock
    order = await restored.connect("postgres", **{"rtx.colour": "blue", "rtx.epoch": "1"})
    await order.execute("BEGIN; SELECT FROM accounts FOR UPDATE")
    once = LockRetries(timeout_ms=900, attempts=1)  # less than the server takes to look for deadlocks
    async with Migrator.connected(restored.as_role("rtx_migrator"), lock=once) as migrator:
        down = asyncio.create_task(migrator.down(to=3))
        while not await restored.execute(WAITS):  # noqa: ASYNC110  # of another process
            await asyncio.sleep(0.01)

        # then the order goes on
        await order.execute("SET LOCAL lock_timeout = '300ms'")
        await order.execute(
            "INSERT INTO account_events (account_id, sequence, kind, payload, at) VALUES (1, 1, 'order', '{}', now())"
        )
        await order.close()
        await asyncio.wait([down])


async def locks_taken(connection: asyncpg.Connection, sql: str) -> dict[str, LockMode]:
    """What `sql` locks of the tables that were there before it, so that reads or writes wait. It is committed."""
    async with connection.transaction():
        tables = {row["oid"]: row["relname"] for row in await connection.fetch(TABLES)}
        await connection.execute(sql)
        held = [(tables.get(row["relation"]), row["mode"]) for row in await connection.fetch(HELD)]
    strong = [(table, mode) for table, mode in held if table is not None and mode not in READS_AND_WRITES]
    locks = {table: LockMode.SHARE_ROW_EXCLUSIVE for table, _ in strong}
    return locks | {table: LockMode.ACCESS_EXCLUSIVE for table, mode in strong if mode in READERS_WAIT}


async def test_each_reverse_half_names_the_locks_that_it_takes(fenced_database):
    # given a database of this build, with an account
    async with Migrator.connected(fenced_database.as_role("rtx_migrator")) as migrator:
        await migrator.up()
    connection = await fenced_database.connect("rtx_migrator")
    await connection.execute(
        "INSERT INTO accounts (currency, balance, leverage) VALUES ('USD', 100, 100);"
        "INSERT INTO users (username, password_hash) VALUES ('ada', 'hash');"
        "INSERT INTO user_accounts (account_id, user_id) SELECT accounts.id, users.id FROM accounts, users"
    )

    # when all of it is reversed without the locks that the halves name
    wrong = {}
    for migration in reversed(load()):
        named, rest = split(migration.reverse)
        if not runs_in_transaction(migration.reverse):
            await connection.execute(migration.reverse)
        elif (taken := await locks_taken(connection, rest)) != named:
            wrong[migration.label] = taken
    await connection.close()

    # then each half takes those very locks by itself
    assert wrong == {}


async def test_lock_that_is_not_free_makes_no_version_do_its_work_again(run_migrations, fenced_database):
    # given a version that writes rows and one that rewrites a table, and an older one whose table somebody reads
    edits = {
        "0003_rewrite.expand.sql": "CREATE TABLE rewritten (id int); CREATE SEQUENCE times_done",
        "0003_rewrite.expand.reverse.sql": """
            LOCK TABLE rewritten IN ACCESS EXCLUSIVE MODE;
            SELECT nextval('times_done');  -- which no rollback takes back
            ALTER TABLE rewritten ADD COLUMN old uuid DEFAULT gen_random_uuid()""",
        "0004_fill.expand.sql": "INSERT INTO rewritten VALUES (1)",
        "0004_fill.expand.reverse.sql": "SELECT nextval('times_done'); DELETE FROM rewritten",
    }
    await run_migrations("up", edits=edits)
    report = await fenced_database.connect("rtx_migrator")
    await hold_lock(report)

    # when all of them are taken back
    lock = LockRetries(timeout_ms=50, attempts=5, pause_seconds=0.05)
    with pytest.raises(MigrationError, match="got no lock in 5 attempts"):
        await run_migrations("down", edits=edits, lock=lock, to=1)
    await report.close()

    # then none of them has done anything, and each does once nobody reads any more
    assert await fenced_database.execute("SELECT is_called FROM times_done") == [(False,)]
    assert len(await run_migrations("down", edits=edits, to=1)) == 4
    assert await fenced_database.execute("SELECT last_value FROM times_done") == [(2,)]


async def test_version_that_only_writes_rows_is_reversed_before_tables_are_locked(run_migrations, fenced_database):
    # given an older version that alters a table, and a newer one that notes what is locked for it
    edits = {
        "0003_fill.expand.sql": "CREATE TABLE locked (name text)",
        "0003_fill.expand.reverse.sql": """
            INSERT INTO locked SELECT relation::regclass::text FROM pg_locks
            WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock' AND pid = pg_backend_pid()""",
    }
    await run_migrations("up", edits=edits)

    await run_migrations("down", edits=edits, to=1)

    assert await fenced_database.execute("SELECT name FROM locked") == []


async def test_table_that_a_newer_version_brings_back_is_locked_by_nobody(run_migrations, fenced_database):
    # given a table that a newer version has dropped, and an older one has altered
    edits = {
        "0003_drop.contract.sql": "DROP TABLE notes",
        "0003_drop.contract.reverse.sql": "CREATE TABLE notes (id int, new text)",
    }
    await run_migrations("up", edits=edits)

    back = await run_migrations("down", edits=edits, to=0)

    assert Counter(migration.version for migration in back) == {3: 1, 2: 2, 1: 1}
    assert await fenced_database.execute("SELECT to_regclass('notes')") == [(None,)]


def test_locks_are_named_at_the_head_of_a_file_only():
    sql = (
        "-- why\nLOCK TABLE a, b IN ACCESS EXCLUSIVE MODE;\n/* and */ LOCK TABLE c IN SHARE ROW EXCLUSIVE MODE;\n"
        "DROP TABLE a; LOCK TABLE d IN ACCESS EXCLUSIVE MODE;"
    )
    locks, rest = split(sql)
    assert locks == {
        "a": LockMode.ACCESS_EXCLUSIVE,
        "b": LockMode.ACCESS_EXCLUSIVE,
        "c": LockMode.SHARE_ROW_EXCLUSIVE,
    }
    assert rest.strip() == "DROP TABLE a; LOCK TABLE d IN ACCESS EXCLUSIVE MODE;"
    assert split("SELECT;") == ({}, "SELECT;")


@pytest.mark.parametrize("modes", [list(LockMode), list(reversed(LockMode))])
def test_table_that_two_files_name_gets_the_stronger_lock(modes):
    assert of_all(f"LOCK TABLE a IN {mode} MODE;" for mode in modes) == {"a": LockMode.ACCESS_EXCLUSIVE}


@pytest.mark.parametrize(("versions", "command"), [(None, "down"), (3, "up")])
async def test_migration_gets_a_table_that_autovacuum_cleans(fenced_database, versions, command):
    # given autovacuum that takes long for a table, as for a large one
    async with Migrator.connected(fenced_database.as_role("rtx_migrator")) as migrator:
        await migrator.up(to=versions)
    await fenced_database.execute(ORDERS, user="rtx_migrator")
    await fenced_database.execute(
        "ALTER TABLE orders SET (autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1,"
        " autovacuum_vacuum_insert_threshold = 1, autovacuum_vacuum_insert_scale_factor = 0)"
    )
    await fenced_database.execute("ALTER SYSTEM SET autovacuum_naptime = '1s'")
    await fenced_database.execute("SELECT pg_reload_conf()")
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not await fenced_database.execute(VACUUMING):  # noqa: ASYNC110  # as above
                await asyncio.sleep(0.1)
        # when versions that alter it are taken back, or added
        async with Migrator.connected(fenced_database.as_role("rtx_migrator")) as migrator:
            changed = await (migrator.up() if command == "up" else migrator.down(to=3))
    finally:
        await fenced_database.execute("ALTER SYSTEM RESET autovacuum_naptime")
        await fenced_database.execute("SELECT pg_reload_conf()")
    # then it gives way
    assert {migration.version for migration in changed} >= {4, 5}
