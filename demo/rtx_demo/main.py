"""rtx-demo: what `make demo` runs."""

import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rtx_lab.choice import choose
from rtx_lab.errors import LabError
from rtx_lab.instance import Instance

from .demo import Demo
from .errors import DemoError
from .preparation import repository
from .traffic import Settings
from .view import View

app = typer.Typer(add_completion=False, help=__doc__)


@app.callback()
def root() -> None:
    """A cluster, an engine, traffic, and the table of what happened."""


@app.command()
def run(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="leave the cluster up, and say how to reach it")] = False,
    rate: Annotated[
        float, typer.Option(min=Settings.new_per_second, help="requests a second, new connections included")
    ] = Settings.rate,
) -> None:
    """An upgrade, a broken upgrade and a way back, under load, and the table of what happened.

    Exits with 1 when a request failed or left no record, an order, event or account is not what it must be, or a
    cutover ended otherwise than it must, and with 2 when the demo could not run.
    """
    view = View()
    settings = Settings(rate=rate, duration=0)
    try:
        result = Demo(repository(), choose(Instance()), view, settings, keep=keep).run()
    except (DemoError, LabError) as error:
        view.print_line(f"\n{error}")
        raise typer.Exit(2) from error
    raise typer.Exit(0 if result.kept else 1)


def main() -> None:
    """The console script. SIGTERM unwinds like Ctrl-C, so that a cluster brought up is taken down."""
    signal.signal(signal.SIGTERM, _exit_on_signal)
    app()


def _exit_on_signal(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)
