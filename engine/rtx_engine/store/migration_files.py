"""The migrations of this build: SQL files in two halves, each with its reverse.

`NNNN_name.expand.sql` adds what the new version needs and the old one does not mind; it runs before a switch and never
relies on a contract half. `NNNN_name.contract.sql` takes away what only the old version needed; it runs after the old
version is gone. Each has a `.reverse.sql` beside it. A version may lack either half.

A file that begins with NO_TRANSACTION holds one statement that PostgreSQL refuses in a transaction: `CREATE INDEX
CONCURRENTLY name`, after which the runner cleans up by that name, or one that does no harm when it is run again.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

NO_TRANSACTION = "-- rtx: without a transaction\n"
_INDEX = re.compile(r"CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?P<name>[a-z_][a-z0-9_]*)\s+ON\s")
_NAME = re.compile(r"(?P<version>\d{4})_(?P<name>[a-z0-9_]+)\.(?P<half>expand|contract)(?P<reverse>\.reverse)?\.sql")


class Half(StrEnum):
    EXPAND = "expand"
    CONTRACT = "contract"


class MigrationFilesError(ValueError):
    """The files are no set of migrations; the message says which file and why."""


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
    """All migrations of `folder` (default: this build's own), in the order they are applied: by version, expand first.

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
            raise MigrationFilesError(f"version {migration.version:04} has two names; give one of them the next number")
    return migrations


def runs_in_transaction(sql: str) -> bool:
    """Whether the runner may put `sql` into a transaction."""
    return not sql.startswith(NO_TRANSACTION)


def index_made_by(sql: str) -> str | None:
    """The name of the index that `sql` makes concurrently, if it does."""
    match = _INDEX.search(sql)
    return match["name"] if match else None


def required_version() -> int:
    """The expand half that a database must have for this build to serve."""
    return max(migration.version for migration in load() if migration.half is Half.EXPAND)


def _migration(key: tuple[int, bool, str], texts: dict[bool, str]) -> Migration:
    version, contracts, name = key
    half = Half.CONTRACT if contracts else Half.EXPAND
    if set(texts) != {False, True}:
        missing = f"{version:04}_{name}.{half}{'.reverse' if False in texts else ''}.sql"
        raise MigrationFilesError(f"{missing} is missing; each half needs itself and its reverse")
    return Migration(version, half, name, texts[False], texts[True])
