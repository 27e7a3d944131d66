"""completion: the scripts for shells, and what they ask for."""

import argparse
import sys
from collections.abc import Sequence

from rtx_cli import arguments as command_line
from rtx_cli.decide.completion import SCRIPTS, candidates
from rtx_cli.exits import CliError, ExitCode
from rtx_cli.kubectl import ENGINES, Kubectl
from rtx_cli.terminal import Terminal

_NO_FILES = ":4"  # kubectl's word for: offer no names of files besides


def run(arguments: argparse.Namespace, kubectl: Kubectl, terminal: Terminal) -> ExitCode:  # noqa: ARG001 - as all commands
    terminal.line(SCRIPTS[arguments.shell].rstrip())
    return ExitCode.OK


def offer(words: Sequence[str]) -> ExitCode:
    """Print what may stand in place of the last word; for kubectl with its own last line."""
    for_kubectl = words[:1] == ["--for-kubectl"]
    typed = list(words[1:] if for_kubectl else words)
    offered = candidates(typed, lambda: _engines(typed))
    sys.stdout.write("".join(f"{one}\n" for one in [*offered, *([_NO_FILES] if for_kubectl else [])]))
    return ExitCode.OK


def _engines(words: Sequence[str]) -> list[str]:
    """The engines of the namespace that was typed; none while the cluster cannot be asked: Tab says no errors."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    for one in command_line.GLOBAL:
        parser.add_argument(*one.flags, **one.options)
    try:
        known, _ = parser.parse_known_args(list(words[:-1]))
        names = Kubectl.of(known).run("get", ENGINES, "-o", "jsonpath={.items[*].metadata.name}")
    except (argparse.ArgumentError, CliError):
        return []
    return names.split()
