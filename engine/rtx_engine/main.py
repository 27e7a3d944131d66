"""The command `rtx-engine`: serve and migrate."""

import argparse
import asyncio
import gc
import sys

import uvloop

from rtx_engine import logs
from rtx_engine.config import Settings, SettingsError
from rtx_engine.feed.source import SimulatedSource
from rtx_engine.server import StartError, TaskEndedError
from rtx_engine.server import serve as run_server
from rtx_engine.store import migrate_cli
from rtx_engine.version import VERSION

GC_THRESHOLD = 20_000  # net new objects: those of a few hundred orders


def run() -> None:
    """The console script `rtx-engine`."""
    parser = argparse.ArgumentParser(
        prog="rtx-engine",
        description="The RTX trading engine. Settings come from the environment: see docs/architecture.md.",
    )
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    serving = commands.add_parser("serve", help="serve HTTP, WebSockets and metrics until SIGTERM")
    serving.set_defaults(work=_serve)
    migrate_cli.add_commands(commands.add_parser("migrate", help="apply or reverse database migrations"))
    arguments = parser.parse_args()
    arguments.work(arguments)


def _serve(_: argparse.Namespace) -> None:
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        sys.exit(str(error))
    logs.configure(settings.log_level, colour=settings.colour)
    # Keeps the garbage collector from scanning the objects made at start again and again.
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            # All pods of an engine have the same seed and therefore the same quotes.
            runner.run(run_server(settings, SimulatedSource(seed=settings.simulator_seed)))
    except (StartError, TaskEndedError) as error:
        sys.exit(str(error))
