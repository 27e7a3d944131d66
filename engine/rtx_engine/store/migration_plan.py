"""Which migrations are to be applied or reversed, given those that are, and what forbids it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from rtx_engine.store.migration_files import Half, Migration

Key = tuple[int, Half]  # the version, and which half of it


class MigrationError(Exception):
    """A migration failed; what the same run committed before stays. The one line of its message says what is left."""

    def __init__(self, message: str) -> None:
        super().__init__(
            " ".join(message.split())
        )  # PostgreSQL's details have lines of their own; status shows the last


class MigrationState(StrEnum):
    APPLIED = "applied"
    PENDING = "pending"
    CHANGED = "changed"  # applied, then the file was edited
    UNKNOWN = "unknown"  # applied by another build; this one lacks its file


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    version: int
    half: Half
    name: str
    state: MigrationState
    applied_at: datetime | None


@dataclass(frozen=True, slots=True)
class Applied:
    """What the database has recorded of a migration. `applied_for`: the cutover, if it was one's."""

    name: str
    checksum: str
    applied_at: datetime
    applied_for: str | None


def to_apply(
    migrations: Sequence[Migration], applied: Mapping[Key, Applied], half: Half | None, to: int | None
) -> list[Migration]:
    """The pending ones of one half or of both, up to version `to`, in order. Raises MigrationError."""
    _check_unchanged(migrations, applied)
    _check_not_contracted(migrations, applied)
    pending = [one for one in migrations if _key(one) not in applied]
    wanted = [one for one in pending if half in (None, one.half) and (to is None or one.version <= to)]
    _check_expanded(wanted, left=[one for one in pending if one not in wanted])
    return wanted


def to_reverse(
    migrations: Sequence[Migration], applied: Mapping[Key, Applied], to: int | None, cutover: str | None
) -> list[Migration]:
    """Those applied for `cutover`, or above version `to` (default: the newest), newest first. Raises MigrationError."""
    if not applied:
        return []
    if cutover is not None:
        unwanted = [key for key, found in applied.items() if found.applied_for == cutover]
    else:
        keep = max(version for version, _ in applied) - 1 if to is None else to
        unwanted = [key for key in applied if key[0] > keep]
    known = {_key(migration): migration for migration in migrations}
    backwards = sorted(unwanted, key=_order, reverse=True)
    for version, _ in (key for key in backwards if key not in known):
        raise MigrationError(f"version {version:04} was applied by another build; reverse it with that build's image")
    _check_unchanged([known[key] for key in backwards], applied)
    _check_not_below_contract(backwards, left=[key for key in applied if key not in unwanted])
    return [known[key] for key in backwards]


def statuses(migrations: Sequence[Migration], applied: Mapping[Key, Applied]) -> list[MigrationStatus]:
    """The state of each half of each version, in order."""
    known = {_key(migration): migration for migration in migrations}
    rows = []
    for key in sorted({*applied, *known}, key=_order):
        found, file = applied.get(key), known.get(key)
        if found is None and file is not None:
            rows.append(MigrationStatus(*key, file.name, MigrationState.PENDING, None))
        elif found is not None:
            rows.append(MigrationStatus(*key, found.name, _state(found, file), found.applied_at))
    return rows


def _state(found: Applied, file: Migration | None) -> MigrationState:
    if file is None:
        return MigrationState.UNKNOWN
    return MigrationState.APPLIED if file.checksum == found.checksum else MigrationState.CHANGED


def _key(migration: Migration) -> Key:
    return migration.version, migration.half


def _order(key: Key) -> tuple[int, bool]:
    return key[0], key[1] is Half.CONTRACT


def _check_unchanged(migrations: Sequence[Migration], applied: Mapping[Key, Applied]) -> None:
    for migration in migrations:
        found = applied.get(_key(migration))
        if found is not None and found.checksum != migration.checksum:
            message = f"{migration.label} was edited after it was applied; put the change into a new version"
            raise MigrationError(message)


def _check_not_contracted(migrations: Sequence[Migration], applied: Mapping[Key, Applied]) -> None:
    """Raise if another build contracted the database: this build may need what that removed."""
    known = {_key(migration) for migration in migrations}
    for version, half in sorted(applied):
        if half is Half.CONTRACT and (version, half) not in known:
            raise MigrationError(
                f"version {version:04} was contracted by a newer build; this build cannot run on it: run that "
                "build or a newer one, or reverse the contract half with its image"
            )


def _check_expanded(wanted: Sequence[Migration], left: Sequence[Migration]) -> None:
    """Raise if `wanted` takes away what an expand half in `left`, which is not applied, has yet to copy.

    A Job that contracts may find a database that was restored from before the upgrade.
    """
    for contract in (one for one in wanted if one.half is Half.CONTRACT):
        for expand in (one for one in left if one.half is Half.EXPAND and one.version <= contract.version):
            raise MigrationError(
                f"{contract.label} was not applied, nor was anything else: it follows {expand.label}, which the "
                "database lacks; apply the expand halves first"
            )


def _check_not_below_contract(unwanted: Sequence[Key], left: Sequence[Key]) -> None:
    """Raise if an expand half would be reversed whose contract half stays: no column would have the values then."""
    for version, half in unwanted:
        if half is Half.EXPAND and (version, Half.CONTRACT) in left:
            raise MigrationError(
                f"version {version:04} is contracted, for another cutover or by hand; nothing was reversed: reverse "
                f"with --to {version - 1}"
            )
