"""retry: a new value of the retry annotation, and follows."""

import argparse
import time

from rtx_operator.api.names import RETRY

from rtx_cli.commands import reading
from rtx_cli.commands.following import follow
from rtx_cli.commands.upgrade import refuse_paused
from rtx_cli.decide import outcome, retrying
from rtx_cli.exits import ExitCode
from rtx_cli.kubectl import Kubectl
from rtx_cli.terminal import Terminal


def run(arguments: argparse.Namespace, kubectl: Kubectl, terminal: Terminal) -> ExitCode:
    engine, kubectl = reading.engine(kubectl, arguments.name)
    refuse_paused(engine, no_wait=arguments.no_wait)
    failed = retrying.failed(engine)
    kubectl.patch(engine.name, {"metadata": {"annotations": {RETRY: str(int(time.time()))}}})
    terminal.line(f"{engine.name}: the operator tries again: {failed.what}")
    if arguments.no_wait:
        return ExitCode.OK
    return follow(kubectl, engine.name, outcome.of_retry(engine, failed.kind), terminal, arguments.timeout)
