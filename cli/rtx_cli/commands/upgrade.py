"""upgrade: sets spec.version, and follows."""

import argparse

from rtx_cli.commands import reading
from rtx_cli.commands.following import follow
from rtx_cli.decide import gitops, outcome
from rtx_cli.decide.engine import Engine
from rtx_cli.exits import CliError, ExitCode
from rtx_cli.kubectl import Kubectl
from rtx_cli.terminal import Terminal


def run(arguments: argparse.Namespace, kubectl: Kubectl, terminal: Terminal) -> ExitCode:
    engine, kubectl = reading.engine(kubectl, arguments.name)
    refuse_paused(engine, no_wait=arguments.no_wait)
    before = engine.active.version if engine.active else "nothing"
    changed = Engine.of(kubectl.patch(engine.name, {"spec": {"version": arguments.version}}))
    if warning := gitops.warning(engine):
        terminal.note(warning)
    if changed.generation == engine.generation:
        terminal.line(f"{engine.name}: spec.version is {arguments.version} already")
    else:
        terminal.line(f"{engine.name}: spec.version is {arguments.version} now; {before} runs")
    if arguments.no_wait:
        return ExitCode.OK
    change = outcome.Change(arguments.version, changed.generation, outcome.passed_cutover(engine))
    return follow(kubectl, engine.name, outcome.of_change(change), terminal, arguments.timeout)


def refuse_paused(engine: Engine, *, no_wait: bool) -> None:
    """A change that is followed would never be carried out. Raises CliError."""
    if engine.paused and not no_wait:
        raise CliError(
            f"{engine.name} is paused, so nothing was changed: `resume` it, or change it for later with --no-wait",
            ExitCode.STALLED,
        )
