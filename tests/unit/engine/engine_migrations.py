"""Two versions of migrations for tests, and what runs them."""

import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
from engine_postgres import TestDatabase
from rtx_engine.store.migrate import PRODUCTION, LockRetries, Migrator
from rtx_engine.store.migration_files import load

TIMEOUT_SECONDS = 20.0
LOCKED = "LOCK TABLE notes IN ACCESS EXCLUSIVE MODE;"
FILES = {
    "0001_notes.expand.sql": "CREATE TABLE notes (id int, old text)",
    "0001_notes.expand.reverse.sql": f"{LOCKED} DROP TABLE notes",
    "0002_rename.expand.sql": "ALTER TABLE notes ADD COLUMN new text",
    "0002_rename.expand.reverse.sql": f"{LOCKED} ALTER TABLE notes DROP COLUMN new",
    "0002_rename.contract.sql": "ALTER TABLE notes DROP COLUMN old",
    "0002_rename.contract.reverse.sql": f"{LOCKED} ALTER TABLE notes ADD COLUMN old text",
}

RunMigrations = Callable[..., Awaitable[Any]]


def write(folder: Path, files: dict[str, str]) -> Path:
    """The folder with these files, by name."""
    folder.mkdir(exist_ok=True)
    for name, sql in files.items():
        (folder / name).write_text(sql, encoding="utf-8")
    return folder


def runner(database: TestDatabase, parent: Path) -> RunMigrations:
    """`await run("up", …)` of the two versions above, with `edits` to their files."""
    numbers = itertools.count()

    async def run(
        command: str, *, edits: dict[str, str] | None = None, lock: LockRetries = PRODUCTION, **options: object
    ) -> Any:
        migrations = load(write(parent / f"{next(numbers)}", FILES | (edits or {})))
        async with Migrator.connected(database.as_role("rtx_migrator"), migrations, lock) as migrator:
            return await getattr(migrator, command)(**options)

    return run


async def hold_lock(connection: asyncpg.Connection) -> None:
    """Begin a transaction that reads the table notes, which no migration can alter meanwhile."""
    await connection.execute("BEGIN; SELECT FROM notes")
