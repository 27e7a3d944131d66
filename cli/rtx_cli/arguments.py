"""The command line: the commands with their arguments, in one table that help and completion read, too."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NoReturn

from rtx_operator.api.enums import Colour, Component

from rtx_cli.exits import CliError, ExitCode, Goal

PROGRAM = "kubectl tradingengine"


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument, as argparse takes it. `values` are what Tab offers for it, besides its choices."""

    flags: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def takes_value(self) -> bool:
        return self.flags[0].startswith("-") and "action" not in self.options

    @property
    def choices(self) -> Sequence[str]:
        return tuple(self.options.get("choices") or ())


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `module` in rtx_cli.commands runs it; `rights` is the least of Kubernetes' roles that suffices."""

    name: str
    summary: str
    module: str
    rights: str
    arguments: tuple[Argument, ...] = ()


def _argument(*flags: str, **options: Any) -> Argument:
    return Argument(flags, MappingProxyType(options))


GLOBAL = (
    _argument("-n", "--namespace", metavar="NAMESPACE", help="namespace of the engine (default: the context's)"),
    _argument("--context", metavar="CONTEXT", help="context of the kubeconfig to use"),
    _argument("--kubeconfig", metavar="FILE", help="kubeconfig to use"),
    _argument("--as", dest="as_user", metavar="USER", help="act as this user, as far as your rights let you"),
    _argument("--as-group", dest="as_group", metavar="GROUP", help="act as a member of this group"),
    _argument(
        "--request-timeout",
        metavar="DURATION",
        help="time for one request to the API server, such as 10s; unset: 30s, and none for a watch",
    ),
)

_NAME = _argument("name", nargs="?", metavar="NAME", help="the engine; may be left out where a namespace has only one")
_OUTPUT = _argument(
    "-o", "--output", choices=("table", "wide", "json", "yaml"), default="table", help="format (default: table)"
)
_ALL = _argument("-A", "--all-namespaces", action="store_true", help="the engines of all namespaces")
_NO_WAIT = _argument("--no-wait", action="store_true", help="return once the API server has the change")
_TIMEOUT = _argument(
    "--timeout", metavar="DURATION", help="stop following after this, such as 30m; it goes on (default: no limit)"
)  # fmt: skip
_FOLLOWED = (_NO_WAIT, _TIMEOUT)
_COLOUR = _argument("--colour", choices=tuple(one.value for one in Colour), help="only the pods of this colour")

COMMANDS = (
    Command(
        "status", "show an engine as a tree, or all engines of a namespace as a table", "status", "view",
        (_NAME, _ALL, _argument("-w", "--watch", action="store_true", help="go on showing it, until Ctrl-C"), _OUTPUT),
    ),
    Command(
        "history", "show the cutovers that are over, and the revisions that `rollback --to` knows", "history", "view",
        (_NAME, _OUTPUT),
    ),
    Command(
        "diff", "show what a new spec or version would change: a cutover, a maintenance or neither", "diff", "edit",
        (
            _argument("words", nargs="*", metavar="[NAME] VERSION", help="the version to compare with, instead of -f"),
            _argument("-f", "--filename", metavar="FILE", help="a manifest to compare with; - is standard input"),
            _argument("--server-side", action="store_true", help="as `kubectl apply --server-side` would apply it"),
            _argument("--exit-code", action="store_true", help="exit with 7 if anything would change"),
            _OUTPUT,
        ),
    ),
    Command(
        "upgrade", "set spec.version, and follow the cutover until it is over", "upgrade", "edit",
        (_NAME, _argument("version", metavar="VERSION", help="the version, such as 1.4.0"), *_FOLLOWED),
    ),
    Command(
        "rollback", "give spec what shaped the pods of an earlier revision, and follow the cutover", "rollback", "edit",
        (
            _NAME,
            _argument("--to", metavar="REVISION", help="a revision of `history` (default: the release before)"),
            *_FOLLOWED,
        ),
    ),
    Command(
        "abort", "take back the change that began the cutover under way; the operator rolls back", "abort", "edit",
        (_NAME, *_FOLLOWED),
    ),
    Command(
        "retry", "try again what was rolled back or failed: a version, maintenance or retirement", "retry", "edit",
        (_NAME, *_FOLLOWED),
    ),
    Command("pause", "make the operator leave an engine alone; all its clocks stop", "pause", "edit", (_NAME,)),
    Command("resume", "end a pause", "pause", "edit", (_NAME,)),
    Command(
        "refresh", "replace all pods by those that the operator's release makes", "refresh", "edit",
        (_NAME,),
    ),
    Command(
        "wait", "wait until an engine is as said", "wait", "view",
        (
            _NAME,
            _argument(
                "--for", dest="goal", choices=tuple(one.value for one in Goal), default=Goal.AT_REST.value,
                help="ready: clients can place orders; up-to-date: what runs is what spec asks for; at-rest: both, and "
                "no operation is under way (default: at-rest)",
            ),
            _argument("--timeout", metavar="DURATION", default="5m", help="(default: 5m)"),
            _argument("--through-stalled", action="store_true", help="wait on while a person must act"),
        ),
    ),
    Command(
        "logs", "print the logs of an engine's pods, of both colours, each line with its pod", "logs", "view",
        (
            _NAME,
            _argument("-f", "--follow", action="store_true", help="go on, also with pods that start later"),
            _COLOUR,
            _argument(
                "--component", choices=(*(one.value for one in Component), "all"), default=Component.ENGINE.value,
                help="whose pods (default: engine)",
            ),
            _argument("--tail", type=int, default=100, metavar="LINES", help="lines of each (default: 100; -1: all)"),
            _argument("--since", metavar="DURATION", help="only lines that are younger, such as 10m"),
            _argument("--timestamps", action="store_true", help="put the time before each line"),
            _argument("-p", "--previous", action="store_true", help="of the containers before their last restart"),
        ),
    ),
    Command(
        "doctor", "find what is wrong with an engine, and say what to do", "doctor", "view",
        (_NAME, _ALL, _OUTPUT),
    ),
    Command(
        "migrations", "show the migrations of an engine's database, and the Jobs that ran them", "migrations", "edit",
        (_NAME, _OUTPUT),
    ),
    Command(
        "smoke-test", "run the smoke tests of spec.rollout.smoke on each pod of a colour", "smoke_test", "edit",
        (_NAME, _COLOUR, _OUTPUT),
    ),
    Command(
        "completion", "print a script for the Tab key", "completion", "none",
        (_argument("shell", choices=("bash", "zsh", "fish"), metavar="bash|zsh|fish", help="your shell"),),
    ),
    Command("version", "show the release of this plugin, and those of the operator's pods", "version", "view", ()),
)  # fmt: skip


class _Parser(argparse.ArgumentParser):
    """Raises CliError with one sentence, instead of printing the usage."""

    def error(self, message: str) -> NoReturn:
        raise CliError(f"{message}; `{self.prog} --help` has the arguments", ExitCode.USAGE)


def command(name: str) -> Command:
    """The command of that name. Raises CliError."""
    found = next((one for one in COMMANDS if one.name == name), None)
    if found is None:
        known = ", ".join(one.name for one in COMMANDS)
        raise CliError(f"there is no command {name!r}; there are {known}", ExitCode.USAGE)
    return found


def split(words: Sequence[str]) -> tuple[str, list[str]]:
    """The command's name and all other words: global flags may stand before it. Empty when there is none."""
    valued = {flag for one in GLOBAL for flag in one.flags}
    position = 0
    while position < len(words) and words[position].startswith("-"):
        position += 2 if words[position] in valued else 1
    if position >= len(words):
        return "", list(words)
    return words[position], [*words[:position], *words[position + 1 :]]


def parse(chosen: Command, words: Sequence[str]) -> argparse.Namespace:
    """The arguments of a command. Raises CliError; prints help and raises SystemExit for --help."""
    parser = _Parser(
        prog=f"{PROGRAM} {chosen.name}",
        description=f"{chosen.summary[0].upper()}{chosen.summary[1:]}.",
        epilog=f"Needs the role {chosen.rights} in the namespace." if chosen.rights != "none" else None,
        allow_abbrev=False,
    )
    for one in chosen.arguments:
        parser.add_argument(*one.flags, **one.options)
    shared = parser.add_argument_group("as kubectl has them")
    for one in GLOBAL:
        shared.add_argument(*one.flags, **one.options)
    return parser.parse_intermixed_args(words)


def usage() -> str:
    """The commands, one a line."""
    width = max(len(one.name) for one in COMMANDS)
    lines = [f"  {one.name:<{width}}  {one.summary}" for one in COMMANDS]
    return "\n".join(
        [
            f"usage: {PROGRAM} COMMAND [NAME] [options]",
            "",
            "See, upgrade and examine TradingEngines.",
            "",
            *lines,
            "",
            f"`{PROGRAM} COMMAND --help` has a command's arguments.",
        ]
    )
