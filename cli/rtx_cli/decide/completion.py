"""What the Tab key offers, from the table of commands; and the scripts that ask for it."""

from collections.abc import Callable, Sequence

from rtx_cli.arguments import COMMANDS, GLOBAL, Argument, Command, split

Names = Callable[[], Sequence[str]]
"""The names of engines; asked only where one may stand."""


def candidates(words: Sequence[str], engines: Names) -> list[str]:
    """What may stand in place of the last of `words`, which is what has been typed of it so far."""
    *before, typed = words or [""]
    name, rest = split(before)
    if not name:
        offered = [one.name for one in COMMANDS] if not _waits(GLOBAL, before) else []
        return _starting(offered, typed)
    command = next((one for one in COMMANDS if one.name == name), None)
    if command is None:
        return []
    arguments = (*command.arguments, *GLOBAL)
    if asked := _waits(arguments, rest):
        return _starting(asked.choices, typed)
    if typed.startswith("-"):
        flags = [flag for one in arguments for flag in one.flags if flag.startswith("--")]
        return _starting([*flags, "--help"], typed)
    return _starting(_positional(command, rest, arguments, engines), typed)


def _waits(arguments: Sequence[Argument], before: Sequence[str]) -> Argument | None:
    """The flag that waits for its value."""
    last = before[-1] if before else ""
    return next((one for one in arguments if one.takes_value and last in one.flags), None)


def _positional(
    command: Command, before: Sequence[str], arguments: Sequence[Argument], engines: Names
) -> Sequence[str]:
    valued = {flag for one in arguments if one.takes_value for flag in one.flags}
    given = [
        word
        for number, word in enumerate(before)
        if not word.startswith("-") and (number == 0 or before[number - 1] not in valued)
    ]
    places = [one for one in command.arguments if not one.flags[0].startswith("-")]
    if len(given) >= len(places):
        return ()
    place = places[len(given)]
    return place.choices or (engines() if place.flags[0] in {"name", "words"} else ())


def _starting(offered: Sequence[str], typed: str) -> list[str]:
    return [one for one in offered if one.startswith(typed)]


SCRIPTS = {
    "bash": """\
# source <(kubectl-tradingengine completion bash)
_kubectl_tradingengine() {
    local IFS=$'\\n'
    COMPREPLY=($(kubectl-tradingengine __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -F _kubectl_tradingengine kubectl-tradingengine
""",
    "zsh": """\
#compdef kubectl-tradingengine
# source <(kubectl-tradingengine completion zsh)
_kubectl_tradingengine() {
    local -a offered
    offered=("${(@f)$(kubectl-tradingengine __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    [[ -n "$offered" ]] && compadd -- $offered
}
compdef _kubectl_tradingengine kubectl-tradingengine
""",
    "fish": """\
# kubectl-tradingengine completion fish | source
function __kubectl_tradingengine
    set -l words (commandline -opc) (commandline -ct)
    kubectl-tradingengine __complete $words[2..-1] 2>/dev/null
end
complete -c kubectl-tradingengine -f -a '(__kubectl_tradingengine)'
""",
}
