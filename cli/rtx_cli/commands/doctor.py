"""doctor: finds what is wrong, and says what to do."""

import argparse
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from rtx_operator.api.names import OPERATOR, Label

from rtx_cli.commands import reading
from rtx_cli.decide.children import Children
from rtx_cli.decide.doctor.examine import examine
from rtx_cli.decide.doctor.findings import EXAMINED_KINDS, Evidence, Finding, Severity
from rtx_cli.decide.engine import Engine, Object
from rtx_cli.decide.refusals import Refusal
from rtx_cli.exits import CliError, ExitCode
from rtx_cli.kubectl import ENGINES, Kubectl, KubectlError
from rtx_cli.render import data
from rtx_cli.render.doctor import findings_lines
from rtx_cli.terminal import Terminal


def run(arguments: argparse.Namespace, kubectl: Kubectl, terminal: Terminal) -> ExitCode:
    engines = _engines(arguments, kubectl)
    operators = _operators(kubectl)
    findings = {(one.namespace, one.name): _examined(kubectl.within(one.namespace), one, operators) for one in engines}
    if arguments.output in {"json", "yaml"}:
        document = [
            {"namespace": namespace, "name": name, "findings": found} for (namespace, name), found in findings.items()
        ]
        terminal.line(data.text(document, arguments.output))
    else:
        if not findings:
            terminal.note("no TradingEngines found")
        for (namespace, name), found in findings.items():
            terminal.lines(findings_lines(f"{namespace}/{name}", found, terminal.look))
    is_ill = any(one.severity is Severity.PROBLEM for found in findings.values() for one in found)
    return ExitCode.FOUND if is_ill else ExitCode.OK


def _engines(arguments: argparse.Namespace, kubectl: Kubectl) -> list[Engine]:
    if arguments.all_namespaces and arguments.name:
        raise CliError("a NAME and -A exclude each other: leave one out", ExitCode.USAGE)
    if arguments.all_namespaces:
        return [Engine.of(one) for one in kubectl.get(ENGINES, "--all-namespaces")["items"]]
    return [reading.engine(kubectl, arguments.name)[0]]


def _examined(kubectl: Kubectl, engine: Engine, operators: tuple[Object, ...] | None) -> tuple[Finding, ...]:
    selector = f"--selector={Label.ENGINE.value}={engine.name}"
    with ThreadPoolExecutor(2) as pool:  # each kubectl takes its time to start
        listed = pool.submit(kubectl.list, EXAMINED_KINDS, selector)
        events = pool.submit(kubectl.list, ("events",), "--field-selector=type=Warning")
        children, warnings = listed.result(), events.result()
    unreadable = (*children.unreadable, *warnings.unreadable)
    evidence = Evidence(engine, Children(children.items, unreadable), warnings.items, operators, datetime.now(UTC))
    return examine(evidence)


def _operators(kubectl: Kubectl) -> tuple[Object, ...] | None:
    """The operator's Deployments; None when they may not be read, as with a role in one namespace."""
    try:
        found = kubectl.get("deployments.apps", "--all-namespaces", f"--selector={Label.APP.value}={OPERATOR}")
    except KubectlError as error:
        if error.refusal is Refusal.FORBIDDEN:
            return None
        raise
    return tuple(found["items"])
