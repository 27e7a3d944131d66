"""Restores beside the data that are there: into a folder of its own on the database's volume, which `swap` makes the
data later. What fails leaves nothing behind.
"""

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rtx_backup import check, targets
from rtx_backup.check import Found
from rtx_backup.info import Backup
from rtx_backup.pgbackrest import PgBackRest, PgBackRestError
from rtx_backup.recovery import Recovered, Recovery, RecoveryError
from rtx_backup.targets import Target, TargetKind, UnreachableError
from rtx_backup.volume import Volume

# Beside the database: the log that is replayed, and what a database writes at its start.
ROOM_BYTES, ROOM_FACTOR = 256 * 1024 * 1024, 1.1


@dataclass(frozen=True, slots=True)
class Destination:
    """The volume, the restore's part of it, and PostgreSQL's configuration."""

    volume: Volume
    configuration: Path


def run(target: Target, pgbackrest: PgBackRest, destination: Destination) -> int:
    """Restores; the exit code. Whatever comes of it, the message says so."""
    return check.told(pgbackrest.reports, lambda: _restore(target, pgbackrest, destination))


def _restore(target: Target, pgbackrest: PgBackRest, destination: Destination) -> str:
    data = destination.volume.restored
    found = check.find(target, pgbackrest, 0)
    try:
        destination.volume.clear_restored()
        _refuse_without_room(found.backup, destination.volume)
        data.mkdir(mode=0o700)
        words = (f"--pg1-path={data}", f"--set={found.backup.label}", "--type=none", "restore")
        pgbackrest.run(*words)
        recovered = _recovered(target, found, pgbackrest, destination)
    except (PgBackRestError, UnreachableError):
        destination.volume.clear_restored()
        raise
    os.sync()
    return _report(found.backup, recovered)


def _refuse_without_room(backup: Backup, volume: Volume) -> None:
    needed, free = int(backup.bytes * ROOM_FACTOR) + ROOM_BYTES, shutil.disk_usage(volume.folder).free
    if free < needed:
        raise UnreachableError(
            f"the database's volume has {free >> 20} MiB free, and a restore beside the data that are there needs "
            f"{needed >> 20}: confirm earlier restores, whose data are kept on it, or make the volume larger"
        )


def _recovered(target: Target, found: Found, pgbackrest: PgBackRest, destination: Destination) -> Recovered:
    options = " ".join((*pgbackrest.options, f"--pg1-path={destination.volume.restored}"))
    with tempfile.TemporaryDirectory() as scratch:
        recovery = Recovery(
            data=destination.volume.restored,
            scratch=Path(scratch),
            configuration=destination.configuration,
            restore_command=f'rtx-pgbackrest --stanza=main {options} archive-get %f "%p"',
            alive=pgbackrest.reports.heartbeat.touch,
        )
        try:
            recovered = recovery.to(target)
        except RecoveryError as error:
            raise UnreachableError(f"the log from backup {found.backup.label} on: {error}") from error
    if target.kind is TargetKind.NEWEST and targets.position(recovered.position or "0/0") < targets.begin_of(
        found.log.last
    ):
        raise UnreachableError(f"the log was replayed up to {recovered.position} only, before file {found.log.last}")
    return recovered


def _report(backup: Backup, recovered: Recovered) -> str:
    said = {"label": backup.label, "position": recovered.position, "last_commit": recovered.last_commit}
    return json.dumps({"restored": said})
