"""The command line: `rtx-backup run`, `alive`, `serve`, and the steps of a restore: `check`, `restore`, `swap`,
`set-aside`, `undo`, `forget`.
"""

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from rtx_backup import check, restore, targets
from rtx_backup.pgbackrest import PgBackRest, Reports
from rtx_backup.restore import Destination
from rtx_backup.run import Order, is_alive, make
from rtx_backup.serve import serve
from rtx_backup.targets import Target, TargetKind
from rtx_backup.volume import Volume

FOLDER = Path(os.environ.get("RTX_BACKUP_FOLDER", "/etc/rtx-backup"))
# What becomes of a volume: a step of a restore for each.
STEPS = {
    "swap": Volume.swap,
    "set-aside": Volume.set_aside,
    "undo": Volume.undo,
    "forget": Volume.forget,
}


def main() -> int:
    """The exit code."""
    given = _parser().parse_args()
    match given.command:
        case "alive":
            return 0 if is_alive(given.heartbeat, given.within) else 1
        case "serve":
            return serve(FOLDER)
        case "run":
            return make(Order(given.type, given.log_retention_days), Reports(given.message, given.heartbeat), FOLDER)
        case "check":
            return check.run(_target(given), _pgbackrest(given), given.wait)
        case "restore":
            destination = Destination(Volume(given.volume, given.id), given.configuration)
            return restore.run(_target(given), _pgbackrest(given), destination)
        case step:
            STEPS[step](Volume(given.volume, given.id))
            return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rtx-backup", description="Backups of the database, with pgBackRest.")
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="make one backup, and delete what is older than it is kept")
    running.add_argument("--type", choices=["full", "incr"], required=True)
    running.add_argument("--log-retention-days", type=int, required=True, metavar="DAYS")
    alive = commands.add_parser("alive", help="exit with 0 if the work said something of late")
    alive.add_argument("--within", type=float, required=True, metavar="SECONDS")
    commands.add_parser("serve", help="run pgBackRest's server")
    checking = commands.add_parser("check", help="check that a target can be restored, by the repository alone")
    checking.add_argument("--wait", type=float, default=0.0, metavar="SECONDS", help="for log that is on its way")
    restoring = commands.add_parser("restore", help="restore beside the data that are there")
    restoring.add_argument("--configuration", type=Path, default=Path("/etc/rtx-postgres/postgresql.conf"))
    for one in (running, checking, restoring):
        one.add_argument("--message", type=Path, default=Path("/dev/termination-log"), metavar="FILE")
    for one in (running, alive, checking, restoring):
        one.add_argument("--heartbeat", type=Path, default=Path("/tmp/heartbeat"), metavar="FILE")  # noqa: S108
    for one in (checking, restoring):
        one.add_argument("--repository", metavar="FOLDER", required=True, help="the backups' folder in the repository")
        target = one.add_mutually_exclusive_group(required=True)
        target.add_argument("--label", help="the end of this backup")
        target.add_argument("--time", type=datetime.fromisoformat, help="all that was committed until then")
        target.add_argument("--lsn", help="all up to this position of the log")
        target.add_argument("--newest", action="store_true", help="all that there is")
    steps = [commands.add_parser(step, help=(act.__doc__ or "").splitlines()[0]) for step, act in STEPS.items()]
    for one in (restoring, *steps):
        one.add_argument("--id", required=True, help="names the restore")
        one.add_argument("--volume", type=Path, default=Path("/pgdata"), metavar="FOLDER")
    return parser


def _target(given: argparse.Namespace) -> Target:
    if given.label:
        return Target(TargetKind.BACKUP, label=given.label)
    if given.time:
        moment = given.time if given.time.tzinfo else given.time.replace(tzinfo=UTC)
        return Target(TargetKind.TIME, time=moment)
    if given.lsn:
        targets.position(given.lsn)
        return Target(TargetKind.LSN, lsn=given.lsn)
    return Target(TargetKind.NEWEST)


def _pgbackrest(given: argparse.Namespace) -> PgBackRest:
    return PgBackRest(Reports(given.message, given.heartbeat), (f"--repo1-path={given.repository}",))


if __name__ == "__main__":
    sys.exit(main())
