"""Migrations: whole or not at all, one runner at a time, and back again."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rtx_engine.store import migrate
from rtx_engine.store.migrate import MigrationError, Migrator, State
from rtx_engine.store.migration_files import Half, MigrationFilesError, load, required_version

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

    async def run(command: str, *arguments: object, edits: dict[str, str] | None = None, **options: object):
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        migrations = load(write(folder, FILES | (edits or {})))
        async with Migrator.connected(fenced_database.as_role("rtx_migrator"), migrations) as migrator:
            return await getattr(migrator, command)(*arguments, **options)

    return run


async def columns(database) -> set[str]:
    rows = await database.execute(SCHEMA)
    return {row["column_name"] for row in rows if row["table_name"] == "notes"}


async def test_up_down_up_of_our_own_migrations_ends_where_it_began(fenced_database):
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


async def test_the_halves_are_applied_apart_and_taken_back_in_reverse(run, fenced_database):
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


async def test_up_stops_where_it_is_told(run, fenced_database):
    await run("up", to=1)
    states = [(row.version, row.half, row.state) for row in await run("status")]
    assert states == [
        (1, Half.EXPAND, State.APPLIED),
        (2, Half.EXPAND, State.PENDING),
        (2, Half.CONTRACT, State.PENDING),
    ]


async def test_a_migration_that_fails_leaves_nothing_behind_and_what_came_before_stands(run, fenced_database):
    broken = {"0002_rename.expand.sql": "ALTER TABLE notes ADD COLUMN new text; SELECT 1 / 0"}

    with pytest.raises(
        MigrationError, match=r"0002 rename \(expand\) failed and left nothing behind: division by zero"
    ):
        await run("up", edits=broken)

    assert await columns(fenced_database) == {"id", "old"}
    assert [row.state for row in await run("status")] == [State.APPLIED, State.PENDING, State.PENDING]
    await run("up")
    assert await columns(fenced_database) == {"id", "new"}


async def test_a_migration_must_not_end_its_own_transaction(run):
    with pytest.raises(MigrationError, match="ends its own transaction"):
        await run("up", edits={"0001_notes.expand.sql": "CREATE TABLE notes (id int, old text); COMMIT"})


async def test_an_applied_file_must_not_be_edited(run):
    await run("up", to=1)
    edits = {"0001_notes.expand.sql": "CREATE TABLE notes (id bigint, old text)"}

    with pytest.raises(MigrationError, match=r"0001 notes \(expand\) was edited after it had been applied"):
        await run("up", edits=edits)
    assert (await run("status", edits=edits))[0].state is State.CHANGED


async def test_two_runners_at_once_apply_each_migration_once(run, fenced_database):
    slow = {"0001_notes.expand.sql": "SELECT pg_sleep(0.5); CREATE TABLE notes (id int, old text)"}

    done = await asyncio.gather(*(run("up", edits=slow) for _ in range(3)))

    assert sorted(len(migrations) for migrations in done) == [0, 0, 3]
    assert len(await fenced_database.execute("SELECT version FROM schema_migrations")) == 3


async def test_a_lock_that_is_held_is_waited_for_in_short_tries(run, fenced_database, monkeypatch):
    # given a session that reads a table for longer than one try waits
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT", "100ms")
    monkeypatch.setattr(migrate, "LOCK_PAUSE", 0.1)
    await run("up", to=1)
    reader = await fenced_database.connect("rtx_migrator")
    reading = reader.transaction()
    await reading.start()
    await reader.execute("SELECT FROM notes")
    migrating = asyncio.create_task(run("up"))
    await asyncio.sleep(0.3)
    assert not migrating.done()

    await reading.rollback()
    assert len(await migrating) == 2

    # and given one that never ends
    await reading_again(reader)
    with pytest.raises(MigrationError, match="got no lock in 10 tries"):
        await run("down")
    await reader.close()


async def reading_again(connection) -> None:
    await connection.execute("BEGIN; SELECT FROM notes")


async def test_a_version_of_another_build_is_left_to_it(run, fenced_database):
    await run("up")
    async with Migrator.connected(fenced_database.as_role("rtx_migrator"), ()) as older:
        with pytest.raises(MigrationError, match="version 0002 was applied by another build"):
            await older.down()
        assert [row.state for row in await older.status()] == [State.UNKNOWN] * 3


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
def test_files_that_are_no_migrations_are_named(tmp_path, files, sentence):
    with pytest.raises(MigrationFilesError, match=sentence):
        load(write(tmp_path, files))


def command(fenced_database, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    database = fenced_database.as_role("rtx_migrator")
    variables = {
        "PATH": os.environ["PATH"],
        "DB_HOST": database.host,
        "DB_PORT": str(database.port),
        "DB_NAME": database.name,
        "DB_USER": database.user,
        "DB_PASSWORD": database.password,
    }
    program = [sys.executable, "-c", "from rtx_engine.store.migrate_cli import app; app()"]
    return subprocess.run(
        [*program, *words], env=variables | environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_command_line_says_what_it_did(fenced_database):
    up = command(fenced_database, "up", "--half", "expand")
    status = command(fenced_database, "status", "--json")
    again = command(fenced_database, "up")
    down = command(fenced_database, "down", "--to", "0")

    assert (up.returncode, up.stdout.splitlines()[-1]) == (0, "applied: 0001 trading (expand)")
    assert [row["state"] for row in json.loads(status.stdout)] == ["applied"]
    assert (again.returncode, again.stdout.splitlines()[-1]) == (0, "nothing to be applied")
    assert (down.returncode, down.stdout.splitlines()[-1]) == (0, "taken back: 0001 trading (expand)")


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"DB_HOST": ""}, "DB_HOST is not set; give it a value in the environment."),
        ({"DB_PORT": "many"}, "DB_PORT is 'many'; it must be a port number from 1 to 65535."),
        ({"DB_PASSWORD": "wrong"}, "did not let rtx_migrator in: password authentication failed"),
        ({"DB_NAME": "nowhere"}, 'did not let rtx_migrator in: database "nowhere" does not exist'),
    ],
)
def test_the_command_line_fails_in_one_sentence(fenced_database, environment, sentence):
    failed = command(fenced_database, "up", **environment)
    assert failed.returncode == 1
    assert sentence in failed.stderr
    assert len(failed.stderr.splitlines()) == 1
