"""The command line: `rtx-backup run`, `rtx-backup alive` and `rtx-backup serve`."""

import argparse
import os
import sys
from pathlib import Path

from rtx_backup.run import Order, Reports, is_alive, make
from rtx_backup.serve import serve


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="rtx-backup", description="Backups of the database, with pgBackRest.")
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="make one backup, and delete what is older than it is kept")
    running.add_argument("--type", choices=["full", "incr"], required=True)
    running.add_argument("--log-retention-days", type=int, required=True, metavar="DAYS")
    running.add_argument("--message", type=Path, default=Path("/dev/termination-log"), metavar="FILE")
    alive = commands.add_parser("alive", help="exit with 0 if the backup said something of late")
    alive.add_argument("--within", type=float, required=True, metavar="SECONDS")
    for one in (running, alive):
        one.add_argument("--heartbeat", type=Path, default=Path("/tmp/heartbeat"), metavar="FILE")  # noqa: S108
    commands.add_parser("serve", help="run pgBackRest's server")
    given = parser.parse_args()
    if given.command == "alive":
        return 0 if is_alive(given.heartbeat, given.within) else 1
    if given.command == "serve":
        return serve(Path(os.environ.get("RTX_BACKUP_FOLDER", "/etc/rtx-backup")))
    order = Order(given.type, given.log_retention_days)
    return make(order, Reports(given.message, given.heartbeat))


if __name__ == "__main__":
    sys.exit(main())
