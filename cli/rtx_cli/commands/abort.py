"""abort: asks for what the cutover under way came from; the operator rolls back."""

import argparse

from rtx_operator.api.enums import CutoverPhase

from rtx_cli.commands import reading
from rtx_cli.commands.following import follow
from rtx_cli.commands.upgrade import refuse_paused
from rtx_cli.decide import gitops, outcome, revisions
from rtx_cli.exits import CliError, ExitCode
from rtx_cli.kubectl import Kubectl
from rtx_cli.terminal import Terminal


def run(arguments: argparse.Namespace, kubectl: Kubectl, terminal: Terminal) -> ExitCode:
    engine, kubectl = reading.engine(kubectl, arguments.name)
    refuse_paused(engine, no_wait=arguments.no_wait)
    cutover = engine.cutover
    if cutover is None or cutover.is_over:
        raise CliError(f"{engine.name} has no cutover to abort; `rollback` goes back to the release before")
    if cutover.phase == CutoverPhase.PROMOTING:
        raise CliError(f"version {cutover.target} of {engine.name} has been judged: wait, then use `rollback`")
    recorded = revisions.recorded(reading.revision_records(kubectl, engine.name))
    goal = revisions.source(engine, cutover, recorded)
    patch = revisions.change_to(engine, goal)
    if patch:
        kubectl.patch(engine.name, patch)
    if warning := gitops.warning(engine):
        terminal.note(warning)
    terminal.line(f"{engine.name}: the cutover to {cutover.target} is taken back; spec asks for {goal.version} again")
    if arguments.no_wait:
        return ExitCode.OK
    return follow(kubectl, engine.name, outcome.of_abort(cutover), terminal, arguments.timeout)
