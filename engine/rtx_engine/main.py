"""The command `rtx-engine`: serve and migrate."""

import asyncio
import gc
import sys
from typing import Annotated, NoReturn

import typer
import uvloop

from rtx_engine import logs
from rtx_engine.config import Settings, SettingsError
from rtx_engine.feed.source import SimulatedSource
from rtx_engine.server import StartError
from rtx_engine.server import serve as run_server
from rtx_engine.store import migrate_cli
from rtx_engine.version import VERSION

GC_THRESHOLD = 20_000  # objects made and not freed: a few hundred orders' worth

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(migrate_cli.app)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(VERSION)
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The RTX trading engine. Settings come from the environment: see docs/architecture.md."""


@app.command()
def serve() -> None:
    """Serve HTTP, WebSockets and metrics until SIGTERM."""
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        _fail(str(error))
    logs.configure(settings.log_level, colour=settings.colour)
    # A twelfth of the order path's CPU went into looking through what start-up had made.
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            # The seed is what all pods of an engine have in common, so that they quote alike.
            runner.run(run_server(settings, SimulatedSource(seed=settings.broker_name)))
    except StartError as error:
        _fail(str(error))


def _fail(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    sys.exit(1)


def run() -> None:
    """Entry point of the console script."""
    app()
