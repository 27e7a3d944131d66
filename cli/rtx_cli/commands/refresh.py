"""refresh: a new value of the refresh annotation."""

import argparse
import time

from rtx_operator.api.names import REFRESH

from rtx_cli.commands import reading
from rtx_cli.exits import ExitCode
from rtx_cli.kubectl import Kubectl
from rtx_cli.terminal import Terminal


def run(arguments: argparse.Namespace, kubectl: Kubectl, terminal: Terminal) -> ExitCode:
    engine, kubectl = reading.engine(kubectl, arguments.name)
    kubectl.patch(engine.name, {"metadata": {"annotations": {REFRESH: str(int(time.time()))}}})
    terminal.line(
        f"{engine.name}: the engine's pods are replaced by a cutover, database and cache by a maintenance each"
    )
    terminal.line(f"`kubectl tradingengine status {engine.name} -n {engine.namespace} --watch` shows it")
    return ExitCode.OK
