"""The locks that a migration names at the head of its file, to be had before anything is changed. Pure.

`LOCK TABLE a, b IN ACCESS EXCLUSIVE MODE;` for what the half alters or drops, `… IN SHARE ROW EXCLUSIVE MODE;` for what
it only puts triggers on. The runner takes those of all halves that share a transaction before the first one that names
any: a try that does not get one of them is short, and has rewritten no table. What only reads and writes rows is not
named, and done beside orders if it comes first.
"""

import re
from collections.abc import Iterable
from enum import StrEnum

from rtx_engine.store.migration_files import without_comments_before


class LockMode(StrEnum):
    """As PostgreSQL calls them, the weaker one first."""

    SHARE_ROW_EXCLUSIVE = "SHARE ROW EXCLUSIVE"  # writes wait
    ACCESS_EXCLUSIVE = "ACCESS EXCLUSIVE"  # reads wait, too


_NAME = "[a-z_][a-z0-9_]*"
_LOCK = re.compile(
    rf"LOCK\s+TABLE\s+(?P<tables>{_NAME}(\s*,\s*{_NAME})*)\s+IN\s+(?P<mode>{'|'.join(LockMode)})\s+MODE\s*;"
)


def split(sql: str) -> tuple[dict[str, LockMode], str]:
    """The locks that `sql` names at its head, by table, and the rest of it."""
    locks: dict[str, LockMode] = {}
    while match := _LOCK.match(rest := without_comments_before(sql)):
        _add(locks, {table.strip(): LockMode(match["mode"]) for table in match["tables"].split(",")})
        sql = rest[match.end() :]
    return locks, sql


def of_all(files: Iterable[str]) -> dict[str, LockMode]:
    """The locks that any of these files names at its head, by table."""
    locks: dict[str, LockMode] = {}
    for sql in files:
        _add(locks, split(sql)[0])
    return locks


def _add(locks: dict[str, LockMode], more: dict[str, LockMode]) -> None:
    for table, mode in more.items():
        if locks.get(table) is not LockMode.ACCESS_EXCLUSIVE:
            locks[table] = mode
