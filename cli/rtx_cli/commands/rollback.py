"""rollback: gives spec what shaped the pods of an earlier revision, and follows."""

import argparse

from rtx_cli.commands import reading
from rtx_cli.commands.following import follow
from rtx_cli.commands.upgrade import refuse_paused
from rtx_cli.decide import gitops, outcome, revisions
from rtx_cli.decide.engine import Engine
from rtx_cli.exits import CliError, ExitCode
from rtx_cli.kubectl import Kubectl
from rtx_cli.terminal import Terminal


def run(arguments: argparse.Namespace, kubectl: Kubectl, terminal: Terminal) -> ExitCode:
    engine, kubectl = reading.engine(kubectl, arguments.name)
    refuse_paused(engine, no_wait=arguments.no_wait)
    if engine.cutover and not engine.cutover.is_over and not arguments.to:
        raise CliError(
            f"the cutover of {engine.name} to {engine.cutover.target} is {engine.cutover.phase}: `abort` takes it back"
        )
    recorded = revisions.recorded(reading.revision_records(kubectl, engine.name))
    goal = revisions.chosen(engine, recorded, arguments.to)
    return change_to(arguments, kubectl, terminal, engine, goal)


def change_to(
    arguments: argparse.Namespace, kubectl: Kubectl, terminal: Terminal, engine: Engine, goal: revisions.Revision
) -> ExitCode:
    """Ask for the revision, and follow."""
    patch = revisions.change_to(engine, goal)
    changed = Engine.of(kubectl.patch(engine.name, patch)) if patch else engine
    if warning := gitops.warning(engine):
        terminal.note(warning)
    fields = ", ".join(f"spec.{field}" for field in patch.get("spec", {})) or "nothing"
    terminal.line(f"{engine.name}: goes back to version {goal.version}, revision {goal.revision}; changed {fields}")
    if arguments.no_wait:
        return ExitCode.OK
    change = outcome.Change(goal.version, changed.generation, outcome.passed_cutover(engine), goal.revision)
    return follow(kubectl, engine.name, outcome.of_change(change), terminal, arguments.timeout)
