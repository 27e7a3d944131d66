"""logs: those of all pods of an engine, also of pods that start while they are followed."""

import argparse
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from rtx_operator.api.names import Label

from rtx_cli.commands import reading
from rtx_cli.decide.children import Pod
from rtx_cli.exits import CliError, ExitCode
from rtx_cli.kubectl import Kubectl, KubectlError
from rtx_cli.render.logs import prefix
from rtx_cli.terminal import Terminal

_RELIST_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class _Log:
    """The log of one run of a pod's container."""

    pod: Pod

    @property
    def key(self) -> tuple[str, int]:
        return self.pod.uid, self.pod.restarts


def run(arguments: argparse.Namespace, kubectl: Kubectl, terminal: Terminal) -> ExitCode:
    if arguments.follow and arguments.previous:
        raise CliError("--previous shows what is over: leave out --follow", ExitCode.USAGE)
    engine, kubectl = reading.engine(kubectl, arguments.name)
    logs = list(_logs(arguments, kubectl, engine.name))
    if arguments.follow:
        _follow(arguments, kubectl, terminal, engine.name, logs)
        return ExitCode.OK
    if not logs:
        terminal.note(f"no pod of {engine.name} has a log; `kubectl tradingengine status {engine.name}` shows its pods")
    for log in logs:
        try:
            _print(kubectl, terminal, log, _words(arguments, log, first=True), threading.Lock())
        except KubectlError as error:
            terminal.note(f"{log.pod.name}: {error}")
    return ExitCode.OK


def _logs(arguments: argparse.Namespace, kubectl: Kubectl, name: str) -> Iterator[_Log]:
    """Of the pods that are asked for and whose containers have started, by name."""
    chosen = {
        Label.ENGINE.value: name,
        **({} if arguments.component == "all" else {Label.COMPONENT.value: arguments.component}),
        **({Label.COLOUR.value: arguments.colour} if arguments.colour else {}),
    }
    selector = ",".join(f"{key}={value}" for key, value in chosen.items())
    pods = [Pod.of(one) for one in kubectl.get("pods", f"--selector={selector}")["items"]]
    for pod in sorted(pods, key=lambda one: one.name):
        if pod.containers_started:
            yield _Log(pod)


def _words(arguments: argparse.Namespace, log: _Log, *, first: bool) -> tuple[str, ...]:
    """The request for a log. Of a pod that starts while logs are followed everything is shown."""
    chosen = [f"--tail={arguments.tail if first else -1}"]
    if arguments.since and first:
        chosen.append(f"--since={arguments.since}")
    flags = {"--timestamps": arguments.timestamps, "--previous": arguments.previous, "--follow": arguments.follow}
    return ("logs", log.pod.name, *chosen, *(flag for flag, is_given in flags.items() if is_given))


def _follow(arguments: argparse.Namespace, kubectl: Kubectl, terminal: Terminal, name: str, logs: list[_Log]) -> None:
    """Until Ctrl-C, or until nobody reads: one thread for each log, since each is a kubectl of its own."""
    lock, seen, first = threading.Lock(), set[tuple[str, int]](), True
    nobody_reads = threading.Event()
    while not nobody_reads.is_set():
        for log in logs:
            if log.key not in seen:
                seen.add(log.key)
                words = _words(arguments, log, first=first)
                given = (kubectl, terminal, log, words, lock, nobody_reads)
                threading.Thread(target=_print_on, args=given, daemon=True).start()
        first = False
        if nobody_reads.wait(_RELIST_SECONDS):
            return
        try:
            logs = list(_logs(arguments, kubectl, name))
        except KubectlError as error:
            with lock:
                terminal.note(f"{error}; asking again")


def _print_on(
    kubectl: Kubectl,
    terminal: Terminal,
    log: _Log,
    words: tuple[str, ...],
    lock: threading.Lock,
    nobody_reads: threading.Event,
) -> None:
    """In a thread of its own, where nobody would see an error."""
    try:
        _print(kubectl, terminal, log, words, lock)
    except BrokenPipeError:
        nobody_reads.set()
    except KubectlError as error:
        with lock:
            terminal.note(f"{log.pod.name}: {error}")


def _print(kubectl: Kubectl, terminal: Terminal, log: _Log, words: tuple[str, ...], lock: threading.Lock) -> None:
    start = prefix(log.pod, terminal.look)
    with kubectl.process(*words) as running:
        for line in running.lines():
            with lock:
                terminal.line(f"{start} {line}")
