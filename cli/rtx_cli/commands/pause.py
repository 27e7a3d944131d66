"""pause and resume: spec.paused."""

import argparse

from rtx_operator.api.enums import CutoverPhase

from rtx_cli.commands import reading
from rtx_cli.exits import ExitCode
from rtx_cli.kubectl import Kubectl
from rtx_cli.terminal import Terminal

_SWITCHES = {CutoverPhase.SWITCHING, CutoverPhase.MONITORING, CutoverPhase.ROLLING_BACK}


def run(arguments: argparse.Namespace, kubectl: Kubectl, terminal: Terminal) -> ExitCode:
    engine, kubectl = reading.engine(kubectl, arguments.name)
    wanted = arguments.command == "pause"
    if engine.paused == wanted:
        terminal.line(f"{engine.name} is {'paused' if wanted else 'not paused'} already")
        return ExitCode.OK
    kubectl.patch(engine.name, {"spec": {"paused": wanted}})
    if not wanted:
        terminal.line(f"{engine.name} is resumed: the operator goes on where it stood")
        return ExitCode.OK
    terminal.line(f"{engine.name} is paused: it serves on, and the operator changes and repairs nothing of it")
    cutover = engine.cutover
    if cutover and not cutover.is_over and cutover.phase in _SWITCHES:
        terminal.note(
            f"warning: the cutover {cutover.title} is {cutover.phase}, so traffic may be split: both colours must stay "
            "up until `resume`"
        )
    return ExitCode.OK
