"""The console scripts: from the words of the command line to an exit code."""

import os
import sys
from collections.abc import Sequence

from rtx_cli import arguments
from rtx_cli.exits import CliError, ExitCode


def main() -> None:
    """kubectl-tradingengine."""
    sys.exit(run(sys.argv[1:]))


def complete() -> None:
    """kubectl_complete-tradingengine, which kubectl runs for the Tab key."""
    sys.exit(run(["__complete", "--for-kubectl", *sys.argv[1:]]))


def run(words: Sequence[str]) -> int:
    """Run one command; errors are one sentence on standard error."""
    try:
        return _run(words)
    except CliError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:  # `… | head` has read enough
        return ExitCode.OK
    finally:
        _flush()


def _flush() -> None:
    """Write what is left; if nobody reads it any more, drop it, or Python complains as it ends."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(words: Sequence[str]) -> int:
    name, rest = arguments.split(words)
    if name == "__complete":
        from rtx_cli.commands.completion import offer  # noqa: PLC0415 - only what runs is imported

        return offer(rest)
    if not name or name == "help":
        wants_help = not words or name == "help" or {"-h", "--help"} & set(words)
        if wants_help:
            sys.stdout.write(f"{arguments.usage()}\n")
            return ExitCode.OK
        raise CliError(f"a command is missing; `{arguments.PROGRAM} --help` has all of them", ExitCode.USAGE)
    command = arguments.command(name)
    parsed = arguments.parse(command, rest)
    parsed.command = name

    from importlib import import_module  # noqa: PLC0415 - likewise

    from rtx_cli.kubectl import Kubectl  # noqa: PLC0415 - likewise
    from rtx_cli.terminal import Terminal  # noqa: PLC0415 - likewise

    module = import_module(f"rtx_cli.commands.{command.module}")
    code: int = module.run(parsed, Kubectl.of(parsed), Terminal.of_process())
    return code
