"""The migrations of this build: SQL files in two halves, each with its reverse.

`NNNN_name.expand.sql` adds what the new version needs, in a way that the old version still works. It runs before the
switch and must not depend on a contract half. `NNNN_name.contract.sql` removes what only the old version needed. It
runs after the old version is gone. Each has a `.reverse.sql` file, which begins with the locks that it needs
(migration_locks.py). A version may lack either half.

A file that begins with NO_TRANSACTION has one statement that cannot run in a transaction: `CREATE INDEX CONCURRENTLY
name ON table`, which the runner cleans up after a failure, or a statement that can be repeated safely.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

NO_TRANSACTION = "-- rtx: without a transaction\n"
_COMMENT = r"--[^\n]*(\n|\Z)|/\*.*?\*/"
_COMMENTS = re.compile(_COMMENT, re.DOTALL)
_COMMENTS_BEFORE = re.compile(rf"(\s|{_COMMENT})*", re.DOTALL)
_INDEX = re.compile(
    r"CREATE\s+(UNIQUE\s+)?INDEX\s+(?P<concurrently>CONCURRENTLY\s+)(IF\s+NOT\s+EXISTS\s+)?"
    r"(?P<name>[a-z_][a-z0-9_]*)\s+ON\s+(?!ONLY\b)(?P<table>[a-z_][a-z0-9_]*)\b(?!\s*\.)",
    re.IGNORECASE,
)
_DROP = re.compile(r"DROP\s+INDEX\s+CONCURRENTLY\s", re.IGNORECASE)
_MENTIONS = re.compile(r"\bINDEX\b.*\bCONCURRENTLY\b", re.IGNORECASE | re.DOTALL)
_NAME = re.compile(r"(?P<version>\d{4})_(?P<name>[a-z0-9_]+)\.(?P<half>expand|contract)(?P<reverse>\.reverse)?\.sql")


class Half(StrEnum):
    EXPAND = "expand"
    CONTRACT = "contract"


class MigrationFilesError(ValueError):
    """A migration file is missing or misnamed; the message names the file and the problem."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One half of one version."""

    version: int
    half: Half
    name: str
    sql: str
    reverse: str

    @property
    def checksum(self) -> str:
        return sha256(self.sql.encode()).hexdigest()

    @property
    def label(self) -> str:
        return f"{self.version:04} {self.name} ({self.half})"


def load(folder: Traversable | None = None) -> tuple[Migration, ...]:
    """All migrations of `folder` (default: those of this build), by version, expand before contract.

    Raises MigrationFilesError.
    """
    found: dict[tuple[int, bool, str], dict[bool, str]] = {}
    for file in (folder or files("rtx_engine.store") / "migrations").iterdir():
        if not file.name.endswith(".sql"):
            continue
        match = _NAME.fullmatch(file.name)
        if match is None:
            raise MigrationFilesError(f"{file.name} is not named like 0001_accounts.expand.sql")
        key = (int(match["version"]), match["half"] == Half.CONTRACT, match["name"])
        found.setdefault(key, {})[match["reverse"] is not None] = file.read_text(encoding="utf-8")
    migrations = tuple(_migration(key, texts) for key, texts in sorted(found.items()))
    names: dict[int, str] = {}
    for migration in migrations:
        if names.setdefault(migration.version, migration.name) != migration.name:
            raise MigrationFilesError(
                f"version {migration.version:04} has two names; give one of them the next version number"
            )
    return migrations


def runs_in_transaction(sql: str) -> bool:
    """Whether `sql` runs in a transaction."""
    return not sql.startswith(NO_TRANSACTION)


def runs_concurrently(sql: str) -> bool:
    """Whether `sql` builds or drops an index beside all reads and writes: nothing queues behind it while it waits."""
    is_drop = not runs_in_transaction(sql) and _DROP.match(without_comments_before(sql)) is not None
    return is_drop or ConcurrentIndex.of(sql) is not None


@dataclass(frozen=True, slots=True)
class ConcurrentIndex:
    """An index that a file creates concurrently. PostgreSQL leaves it invalid when that fails or is ended."""

    name: str
    table: str
    in_transaction: str  # the statement that creates the same index in a transaction

    @classmethod
    def of(cls, sql: str) -> "ConcurrentIndex | None":
        """The index that `sql` creates; None if it creates none concurrently.

        Raises MigrationFilesError for a statement that does not name it plainly: nobody could find what a failure left.
        """
        statement = without_comments_before(sql)
        if runs_in_transaction(sql) or _DROP.match(statement) or not _MENTIONS.search(_COMMENTS.sub(" ", sql)):
            return None
        match = _INDEX.match(statement)
        if match is None:
            raise MigrationFilesError(
                f"write it as CREATE INDEX CONCURRENTLY name ON table, without schema and quotes: {statement[:80]}"
            )
        in_transaction = statement[: match.start("concurrently")] + statement[match.end("concurrently") :]
        return cls(match["name"].lower(), match["table"].lower(), in_transaction)


def without_comments_before(sql: str) -> str:
    """`sql` without the comments before its first statement."""
    before = _COMMENTS_BEFORE.match(sql)
    return sql[before.end() :] if before else sql


def required_version() -> int:
    """The version whose expand half the database must have before this build serves."""
    return max(migration.version for migration in load() if migration.half is Half.EXPAND)


def _migration(key: tuple[int, bool, str], texts: dict[bool, str]) -> Migration:
    version, contracts, name = key
    half = Half.CONTRACT if contracts else Half.EXPAND
    if set(texts) != {False, True}:
        missing = f"{version:04}_{name}.{half}{'.reverse' if False in texts else ''}.sql"
        raise MigrationFilesError(f"{missing} is missing; each half needs its file and its reverse")
    migration = Migration(version, half, name, texts[False], texts[True])
    for sql in (migration.sql, migration.reverse):
        try:
            ConcurrentIndex.of(sql)
        except MigrationFilesError as error:
            raise MigrationFilesError(f"{migration.label}: {error}") from None
    return migration
