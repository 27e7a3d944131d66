"""The `lab` command and its verbs."""

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from rtx_lab import choice
from rtx_lab.errors import LabError
from rtx_lab.instance import DEFAULT, Instance
from rtx_lab.progress import Reporter
from rtx_lab.provider import Provider, ProviderName

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Runs a real Kubernetes on this machine.",
)
PASS_THROUGH = {"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": False}

Nodes = Annotated[int, typer.Option(help="Number of real nodes, 0 to 9.")]
FakeNodes = Annotated[int, typer.Option(help="Number of additional nodes simulated by kwok.")]
ProviderOption = Annotated[ProviderName | None, typer.Option(help="Default: kind where Docker runs, else native.")]
InstanceName = Annotated[str, typer.Option("--instance", envvar="RTX_LAB_INSTANCE", hidden=True)]
NodeName = Annotated[str, typer.Argument(help="Name of a node, see `lab status`.")]


@app.callback()
def choose(context: typer.Context, instance: InstanceName = DEFAULT) -> None:
    context.obj = Instance(instance)


@app.command()
def up(context: typer.Context, nodes: Nodes = 3, fake_nodes: FakeNodes = 0, provider: ProviderOption = None) -> None:
    """Start the cluster, or add fake nodes to a running one."""
    _provider(context, provider).up(nodes, fake_nodes, Reporter())


@app.command()
def down(context: typer.Context) -> None:
    """Stop the cluster and delete its data."""
    _provider(context).down()


@app.command()
def load(context: typer.Context, names: list[str]) -> None:
    """Load images, by name or as archives, onto every node."""
    _provider(context).load(names, Reporter())


@app.command()
def build(
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="Images to build; default: all.")] = None,
) -> None:
    """Build our images from the Dockerfiles in this folder; unchanged ones are skipped."""
    for reference in _provider(context).build(names or [], Path.cwd(), Reporter()):
        typer.echo(reference)


@app.command(context_settings=PASS_THROUGH, add_help_option=False)
def kubectl(context: typer.Context) -> None:
    """Run kubectl against the cluster."""
    _exec([*_provider(context).kubectl(), *context.args])


@app.command("in", context_settings=PASS_THROUGH)
def run_in(context: typer.Context, node: NodeName, command: Annotated[list[str], typer.Argument()]) -> None:
    """Run a command on a node as root; the native cluster also has the machine control-plane."""
    _exec(_provider(context).command_in(node, command))


@app.command()
def cut(context: typer.Context, node: NodeName) -> None:
    """Disconnect a node from the network."""
    _provider(context).plug(node, connected=False)


@app.command()
def heal(context: typer.Context, node: NodeName) -> None:
    """Reconnect a node to the network."""
    _provider(context).plug(node, connected=True)


@app.command()
def status(context: typer.Context) -> None:
    """Show nodes, cables and daemons."""
    table = Table("what", "name", "state")
    for row in _provider(context).status():
        table.add_row(*row)
    Console().print(table)


@app.command()
def kubeconfig(
    context: typer.Context, path: Annotated[bool, typer.Option("--path", help="Print its path instead.")] = False
) -> None:
    """Print the administrator's kubeconfig; its context is rtx-lab, or kind-rtx-lab."""
    file = _provider(context).kubeconfig()
    typer.echo(file if path else file.read_text(), nl=path)


def run() -> None:
    """The console script. Prints a LabError without a traceback; SIGTERM unwinds like Ctrl-C."""
    signal.signal(signal.SIGTERM, _exit_on_signal)
    try:
        app()
    except LabError as error:
        Console(stderr=True, highlight=False).print(f"lab: {error}", markup=False, soft_wrap=True)
        sys.exit(1)


def _provider(context: typer.Context, name: ProviderName | None = None) -> Provider:
    return choice.choose(context.obj, name)


def _exec(command: list[str]) -> NoReturn:
    sys.stdout.flush()
    os.execvp(command[0], command)  # noqa: S606 -- no shell: the program replaces this process


def _exit_on_signal(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    run()
