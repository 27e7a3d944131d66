"""wait: until an engine is as said."""

import argparse

from rtx_cli.commands import reading
from rtx_cli.commands.following import follow
from rtx_cli.decide import outcome
from rtx_cli.exits import ExitCode, Goal
from rtx_cli.kubectl import Kubectl
from rtx_cli.terminal import Terminal


def run(arguments: argparse.Namespace, kubectl: Kubectl, terminal: Terminal) -> ExitCode:
    engine, kubectl = reading.engine(kubectl, arguments.name)
    judge = outcome.of_goal(Goal(arguments.goal), through_stalled=arguments.through_stalled)
    return follow(kubectl, engine.name, judge, terminal, arguments.timeout)
