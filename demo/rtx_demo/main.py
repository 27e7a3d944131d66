"""rtx-demo: the command behind `make demo`."""

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
    """Upgrade, roll back and return under load on a local cluster; print what was measured."""


@app.command()
def run(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="leave the cluster running and print how to reach it")] = False,
    rate: Annotated[
        float, typer.Option(min=Settings.new_per_second, help="requests per second, those on new connections included")
    ] = Settings.rate,
) -> None:
    """Run an upgrade, a broken upgrade and a return to the old version under load; print a table.

    Exits with 1 when a promise was broken: a request failed or has no record, an order, event or account is wrong, or
    a cutover ended in an unexpected phase. Exits with 2 when the demo could not run.
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
    """The console script. SIGTERM unwinds like Ctrl-C, so that a cluster started here is stopped."""
    signal.signal(signal.SIGTERM, _exit_on_signal)
    app()


def _exit_on_signal(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)
