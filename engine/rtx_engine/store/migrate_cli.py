"""`rtx-engine migrate`: run by the operator's migration Jobs and by people."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from rtx_engine.config import MigrationSettings, SettingsError
from rtx_engine.store.migrate import Migrator
from rtx_engine.store.migration_files import Half, Migration, MigrationFilesError
from rtx_engine.store.migration_plan import MigrationError

T = TypeVar("T")

ALL = "all"


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add up, down and status. Each sets `work`, a function of the parsed arguments, as its default."""
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    up = commands.add_parser(
        "up", help="apply the pending migrations, each in its own transaction if PostgreSQL allows it"
    )
    up.add_argument(
        "--half",
        choices=[*(half.value for half in Half), ALL],
        default=ALL,
        help="which half of each migration to apply (default: %(default)s)",
    )
    up.add_argument("--to", type=_version, metavar="VERSION", help="the last version to apply (default: the newest)")
    up.add_argument("--cutover", help="the cutover id to record with each migration, for `down --cutover`")
    up.set_defaults(work=_up)
    down = commands.add_parser("down", help="reverse the newest version, or more; the data that it added is lost")
    extent = down.add_mutually_exclusive_group()
    extent.add_argument("--to", type=_version, metavar="VERSION", help="reverse every version above this one")
    extent.add_argument("--cutover", help="reverse the migrations applied for this cutover")
    down.set_defaults(work=_down)
    status = commands.add_parser("status", help="show the state of each half of each version")
    status.add_argument("--json", action="store_true", help="print one JSON array")
    status.set_defaults(work=_status)


def _version(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a version: give a number, or 0 for none")
    return int(text)


def _up(arguments: argparse.Namespace) -> None:
    wanted = None if arguments.half == ALL else Half(arguments.half)
    _print_migrations("applied", _run(lambda migrator: migrator.up(wanted, arguments.to, arguments.cutover)))


def _down(arguments: argparse.Namespace) -> None:
    _print_migrations("reversed", _run(lambda migrator: migrator.down(arguments.to, arguments.cutover)))


def _status(arguments: argparse.Namespace) -> None:
    rows = _run(lambda migrator: migrator.status())
    if arguments.json:
        _print(msgspec.json.encode(rows).decode())
        return
    for row in rows:
        at = f"{row.applied_at:%Y-%m-%d %H:%M:%S} UTC" if row.applied_at else ""
        _print(f"{row.version:04} {row.half:<8} {row.state:<8} {row.name:<24} {at}".rstrip())


def _run(work: Callable[[Migrator], Awaitable[T]]) -> T:
    async def connected() -> T:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - this runs in a task
        # As the first process of a container it would otherwise ignore SIGTERM; a migration is undone when it is ended.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        settings = MigrationSettings.from_environment()
        async with Migrator.connected(settings.database, owner=settings.owner) as migrator:
            return await work(migrator)

    try:
        return asyncio.run(connected())
    except (SettingsError, MigrationError, MigrationFilesError) as error:
        sys.exit(f"error: {error}")
    except asyncio.CancelledError:
        sys.exit("error: ended by SIGTERM; what was not committed is undone")


def _print_migrations(action: str, migrations: list[Migration]) -> None:
    for migration in migrations:
        _print(f"{action}: {migration.label}")
    if not migrations:
        _print(f"no migrations {action}")


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
