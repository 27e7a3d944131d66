"""The command line: words, help, errors in a sentence, and what Tab offers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from rtx_cli import arguments
from rtx_cli.arguments import COMMANDS, parse, split
from rtx_cli.decide.completion import SCRIPTS, candidates
from rtx_cli.decide.durations import seconds
from rtx_cli.decide.refusals import Refusal, explain, forbidden_kinds
from rtx_cli.exits import CliError, ExitCode
from rtx_cli.main import run


@pytest.mark.parametrize(
    ("words", "name", "rest"),
    [
        (["status", "rtx"], "status", ["rtx"]),
        (["-n", "trading", "status", "rtx"], "status", ["-n", "trading", "rtx"]),
        (["--namespace=trading", "status"], "status", ["--namespace=trading"]),
        (["--context", "status", "doctor"], "doctor", ["--context", "status"]),
        (["-n"], "", ["-n"]),
        ([], "", []),
    ],
)
def test_global_flags_may_stand_before_the_command(words: list[str], name: str, rest: list[str]) -> None:
    assert split(words) == (name, rest)


@pytest.mark.parametrize("words", [["1.4.0"], ["--no-wait", "1.4.0"], ["1.4.0", "--no-wait", "-n", "x"]])
def test_name_may_be_left_out(words: list[str]) -> None:
    parsed = parse(arguments.command("upgrade"), words)
    assert (parsed.name, parsed.version) == (None, "1.4.0")


@pytest.mark.parametrize("words", [["rtx", "1.4.0"], ["rtx", "--no-wait", "1.4.0"], ["-n", "x", "rtx", "1.4.0"]])
def test_flags_may_stand_between_name_and_version(words: list[str]) -> None:
    parsed = parse(arguments.command("upgrade"), words)
    assert (parsed.name, parsed.version) == ("rtx", "1.4.0")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["-n", "trading"], "a command is missing"),
        (["stauts"], "there is no command 'stauts'; there are status, "),
        (["upgrade"], "the following arguments are required: VERSION"),
        (["status", "a", "b"], "unrecognized arguments: b"),
        (["status", "-o", "xml"], "invalid choice: 'xml'"),
        (["diff"], "give a VERSION, or -f FILE"),
        (["status", "rtx", "-A"], "a NAME and -A exclude each other"),
        (["logs", "-f", "-p"], "leave out --follow"),
    ],
)
def test_wrong_words_are_one_sentence(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    # when the command line is wrong, then nothing is printed but a sentence, and the code is that of usage
    assert run(words) == ExitCode.USAGE
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert sentence in printed.err


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == ExitCode.OK
    text = capsys.readouterr().out
    assert all(f"\n  {command.name} " in text for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_each_command_has_help_and_a_module(command: arguments.Command, capsys: pytest.CaptureFixture[str]) -> None:
    __import__(f"rtx_cli.commands.{command.module}")
    with pytest.raises(SystemExit) as ended:
        run([command.name, "--help"])
    assert ended.value.code == 0
    assert command.summary[1:20] in capsys.readouterr().out


def test_document_has_each_command_and_each_exit_code() -> None:
    # given the plugin's document, then it names all commands with the role that they need, and all codes
    text = (Path(__file__).parents[3] / "docs/kubectl-plugin.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    for command in COMMANDS:
        mentioned = [row for row in rows if f"`{command.name}" in row.partition(" | ")[0]]
        assert mentioned, command.name
        assert command.rights in mentioned[0].rpartition(" | ")[2], command.name
    assert all(f"\n| {code} |" in text for code in ExitCode)


def test_heavy_libraries_are_not_imported_at_the_start() -> None:
    # given a process that has started the plugin and every command but diff's models
    modules = ", ".join(sorted({f"rtx_cli.commands.{command.module}" for command in COMMANDS}))
    program = f"import json, sys, rtx_cli.main, {modules}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)

    # then it has none of what takes long
    heavy = {"pydantic", "jinja2", "yaml", "kubernetes", "kopf", "asyncpg", "aiohttp", "http.client", "asyncio"}
    assert not heavy & set(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("text", "expected"), [("90s", 90.0), ("5m", 300.0), ("1h30m", 5400.0), ("250ms", 0.25), ("1.5s", 1.5)]
)
def test_durations_are_those_of_kubectl(text: str, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "5", "m5", "5 m", "5d"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(CliError, match="write it like 90s"):
        seconds(text)


@pytest.mark.parametrize(
    ("stderr", "refusal", "sentence"),
    [
        (
            'Error from server (NotFound): tradingengines.rtx-trading.com "x" not found\n',
            Refusal.NOT_FOUND,
            'tradingengines.rtx-trading.com "x" not found',
        ),
        (
            'Error from server (Forbidden): tradingengines.rtx-trading.com is forbidden: User "eve" cannot list '
            'resource "tradingengines" in API group "rtx-trading.com" in the namespace "trading"',
            Refusal.FORBIDDEN,
            "ask for the role view there",
        ),
        (
            "E1127 12:00:00.1 1 memcache.go:265] couldn't get current server API group list\n"
            "The connection to the server 10.0.0.1:6443 was refused - did you specify the right host or port?\n",
            Refusal.UNREACHABLE,
            "the API server does not answer (The connection to the server 10.0.0.1:6443 was refused",
        ),
        (
            'error: the server doesn\'t have a resource type "tradingengines"',
            Refusal.NO_KIND,
            "install the operator, CRD first",
        ),
        (
            "Error from server (NotFound): the server could not find the requested resource (get tradingengines.x.com)",
            Refusal.NO_KIND,
            "install the operator, CRD first",
        ),
        (
            "Error from server (NotFound): the server could not find the requested resource ( pods/log rtx-blue)",
            Refusal.NOT_FOUND,
            "pods/log rtx-blue",
        ),
        (
            'The TradingEngine "rtx" is invalid: spec.version: Invalid value: "v1": must be a semantic version',
            Refusal.INVALID,
            "must be a semantic version",
        ),
        ("error: You must be logged in to the server (Unauthorized)", Refusal.OTHER, "log in to the cluster again"),
        ('error: context "x" does not exist', Refusal.OTHER, 'context "x" does not exist'),
        ("Error from server (ServiceUnavailable): busy", Refusal.UNREACHABLE, "does not answer (busy)"),
        ("", Refusal.OTHER, "failed without a word"),
    ],
)
def test_errors_of_kubectl_are_explained(stderr: str, refusal: Refusal, sentence: str) -> None:
    explained = explain(stderr)
    assert explained.refusal is refusal
    assert sentence in explained.message
    assert "\n" not in explained.message


def test_kinds_that_may_not_be_listed_are_found() -> None:
    stderr = "\n".join(
        f'Error from server (Forbidden): {kind} is forbidden: User "eve" cannot list resource "{kind}" in API group "" '
        'in the namespace "trading"'
        for kind in ("pods", "services")
    )
    assert forbidden_kinds(stderr) == ("pods", "services")


def engines() -> list[str]:
    return ["fx", "rtx"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["up"], ["upgrade"]),
        (["re"], ["retry", "resume", "refresh"]),
        (["status", ""], ["fx", "rtx"]),
        (["-n", "trading", "status", "r"], ["rtx"]),
        (["upgrade", "rtx", ""], []),
        (["status", "rtx", "-o", ""], ["table", "wide", "json", "yaml"]),
        (["status", "-n", ""], []),
        (["status", "rtx", "--wa"], ["--watch"]),
        (["completion", "z"], ["zsh"]),
        (["logs", "--colour", ""], ["blue", "green"]),
        (["nonsense", ""], []),
        ([], [command.name for command in COMMANDS]),
    ],
)
def test_tab_offers_what_may_follow(words: list[str], expected: list[str]) -> None:
    assert candidates(words, engines) == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_for_shells(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == ExitCode.OK
    assert capsys.readouterr().out.rstrip() == SCRIPTS[shell].rstrip()


def test_bash_accepts_its_script_and_offers_commands(tmp_path: object) -> None:
    # given a shell with the script, and the plugin on its PATH
    program = (
        f"{SCRIPTS['bash']}\n"
        f'kubectl-tradingengine() {{ {sys.executable} -c "from rtx_cli.main import main; main()" "$@"; }}\n'
        "COMP_WORDS=(kubectl-tradingengine smo); COMP_CWORD=1; _kubectl_tradingengine; echo ${COMPREPLY[@]}"
    )
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True, timeout=120)

    # then the Tab key gets the command
    assert done.stdout.strip() == "smoke-test"


def test_kubectl_gets_candidates_in_its_own_form(capsys: pytest.CaptureFixture[str]) -> None:
    # given kubectl, which asks kubectl_complete-tradingengine, then the last line says that no file may stand there
    assert run(["__complete", "--for-kubectl", "smo"]) == ExitCode.OK
    assert capsys.readouterr().out == "smoke-test\n:4\n"
