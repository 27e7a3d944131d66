"""status: one engine as a tree, or all of a namespace as a table; once, or live."""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from rtx_cli.commands import following, reading
from rtx_cli.decide.children import Children
from rtx_cli.decide.engine import Engine
from rtx_cli.exits import CliError, ExitCode
from rtx_cli.kubectl import ENGINES, Kubectl, KubectlError
from rtx_cli.render import data
from rtx_cli.render.progress import Progress
from rtx_cli.render.status import engine_tree, engines_table
from rtx_cli.terminal import Terminal

_REDRAW_SECONDS = 1.0
_RELIST_SECONDS = 2.0  # pods and workloads, which have no watch of their own here


def run(arguments: argparse.Namespace, kubectl: Kubectl, terminal: Terminal) -> ExitCode:
    if arguments.all_namespaces and arguments.name:
        raise CliError("a NAME and -A exclude each other: leave one out", ExitCode.USAGE)
    if arguments.watch and arguments.output in {"json", "yaml"}:
        raise CliError("--watch shows a tree; for events as JSON use `kubectl get te -w -o json`", ExitCode.USAGE)
    if arguments.watch:
        return _watch(arguments, kubectl, terminal)
    if arguments.name:
        engine, children = _read(kubectl, arguments.name)
        _show(arguments, terminal, engine, children)
        return ExitCode.OK
    return _all(arguments, kubectl, terminal)


def _read(kubectl: Kubectl, name: str) -> tuple[Engine, Children]:
    """Both at once: each kubectl takes its time to start."""
    with ThreadPoolExecutor(2) as pool:
        engine, children = pool.submit(reading.engine, kubectl, name), pool.submit(reading.children, kubectl, name)
        return engine.result()[0], children.result()


def _show(arguments: argparse.Namespace, terminal: Terminal, engine: Engine, children: Children) -> None:
    if arguments.output in {"json", "yaml"}:
        document = {
            "engine": _plain_engine(engine),
            "pods": children.pods(),
            "unreadable": children.unreadable,
        }
        terminal.line(data.text(document, arguments.output))
        return
    is_wide = arguments.output == "wide"
    terminal.lines(engine_tree(engine, children, datetime.now(UTC), terminal.look, wide=is_wide))


def _plain_engine(engine: Engine) -> dict[str, object]:
    return {
        "namespace": engine.namespace,
        "name": engine.name,
        "version": engine.version,
        "paused": engine.paused,
        "generation": engine.generation,
        "observedGeneration": engine.observed_generation,
        "pods": engine.pods,
        "active": engine.active,
        "previous": engine.previous,
        "underWay": engine.under_way,
        "operations": list(engine.operations),
        "conditions": list(engine.conditions.values()),
    }


def _all(arguments: argparse.Namespace, kubectl: Kubectl, terminal: Terminal) -> ExitCode:
    everywhere = ("--all-namespaces",) if arguments.all_namespaces else ()
    engines = [Engine.of(one) for one in kubectl.get(ENGINES, *everywhere)["items"]]
    if arguments.output in {"json", "yaml"}:
        terminal.line(data.text([_plain_engine(one) for one in engines], arguments.output))
        return ExitCode.OK
    if not engines:
        terminal.note("no TradingEngines found" if everywhere else "no TradingEngines found here; -A looks everywhere")
        return ExitCode.OK
    is_wide = arguments.output == "wide"
    terminal.lines(engines_table(engines, datetime.now(UTC), terminal.look, wide=is_wide))
    return ExitCode.OK


def _watch(arguments: argparse.Namespace, kubectl: Kubectl, terminal: Terminal) -> ExitCode:
    """Drawn over on a terminal; elsewhere a line for each change."""
    if arguments.all_namespaces:
        raise CliError("--watch shows one engine: name it; for all use `kubectl get te -A -w`", ExitCode.USAGE)
    engine, kubectl = reading.engine(kubectl, arguments.name)
    if not terminal.is_live:
        began = time.monotonic()
        progress = Progress(terminal.look, lambda: time.monotonic() - began)
        for state in following.states(kubectl, engine.name, terminal, None):
            if state is None:
                break
            terminal.lines(progress.update(state))
        return ExitCode.OK
    drawn, listed, children = 0, 0.0, Children(())
    is_wide = arguments.output == "wide"
    for state in following.states(kubectl, engine.name, terminal, None, pulse=_REDRAW_SECONDS):
        if state is None:
            break
        if time.monotonic() - listed >= _RELIST_SECONDS:
            children, listed = _relisted(kubectl, engine.name, children), time.monotonic()
        drawn = terminal.redraw(engine_tree(state, children, datetime.now(UTC), terminal.look, wide=is_wide), drawn)
    return ExitCode.OK


def _relisted(kubectl: Kubectl, name: str, before: Children) -> Children:
    try:
        return reading.children(kubectl, name)
    except KubectlError:  # the next look may succeed, and the engine's own watch says what is wrong
        return before
