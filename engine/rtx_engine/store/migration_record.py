"""The table that says which migrations are applied."""

from dataclasses import dataclass

import asyncpg  # type: ignore[import-untyped]  # ships no types

from rtx_engine.store.migration_files import Half, Migration
from rtx_engine.store.migration_plan import Applied, Key

_GRANT = "GRANT SELECT ON schema_migrations TO rtx_engine"  # pods need it
# PostgreSQL runs all of these in one transaction.
TABLE = f"""
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer NOT NULL,
    half text NOT NULL CHECK (half IN ('expand', 'contract')),
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    applied_for text,  -- the cutover, if it was one's
    PRIMARY KEY (version, half)
);
ALTER TABLE schema_migrations ADD COLUMN IF NOT EXISTS applied_for text;
{_GRANT}
"""
_IS_COMPLETE = (
    "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('public.schema_migrations')"
    " AND attname = 'applied_for')"
)
_IS_READABLE = "SELECT has_table_privilege('rtx_engine', 'public.schema_migrations', 'SELECT')"

_ADD = "INSERT INTO schema_migrations (version, half, name, checksum, applied_for) VALUES ($1, $2, $3, $4, $5)"
# Matches all columns, so that it deletes no record of another migration.
_REMOVE = "DELETE FROM schema_migrations WHERE (version, half, name, checksum) = ($1, $2, $3, $4)"


@dataclass(frozen=True, slots=True)
class Step:
    """A migration to apply or to reverse."""

    label: str
    sql: str
    record: tuple[object, ...]  # the statement, with its arguments, that makes the table say so


async def is_complete(connection: "asyncpg.Connection") -> bool:
    """Whether the table is there, with all columns."""
    return bool(await connection.fetchval(_IS_COMPLETE))


async def create(connection: "asyncpg.Connection") -> None:
    """Create the table, or add what it lacks. Needs the table's lock."""
    await connection.execute(TABLE)


async def make_readable(connection: "asyncpg.Connection") -> None:
    """An earlier release's runner that was killed, or a restore without rights, may have left it without the grant."""
    if not await connection.fetchval(_IS_READABLE):
        await connection.execute(_GRANT)


async def read(connection: "asyncpg.Connection") -> dict[Key, Applied]:
    """The migrations that are applied; none without the table."""
    if await connection.fetchval("SELECT to_regclass('public.schema_migrations') IS NULL"):
        return {}
    # As JSON, because the column may not exist yet: `up` adds it.
    rows = await connection.fetch(
        "SELECT version, half, name, checksum, applied_at, to_jsonb(m) ->> 'applied_for' AS applied_for"
        " FROM schema_migrations m"
    )
    return {
        (row["version"], Half(row["half"])): Applied(
            row["name"], row["checksum"], row["applied_at"], row["applied_for"]
        )
        for row in rows
    }


def applying(migration: Migration, cutover: str | None) -> Step:
    """Applies it, for `cutover`."""
    return Step(migration.label, migration.sql, (_ADD, *_identity(migration), cutover))


def reversing(migration: Migration) -> Step:
    return Step(migration.label, migration.reverse, (_REMOVE, *_identity(migration)))


def _identity(migration: Migration) -> tuple[object, ...]:
    return migration.version, str(migration.half), migration.name, migration.checksum
