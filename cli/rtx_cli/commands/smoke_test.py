"""smoke-test: the requests of spec.rollout.smoke, to each ready pod of a colour, through a forwarded port.

Not by the API server's proxy: the engine's NetworkPolicies refuse it.
"""

import argparse
import re
import time
from collections.abc import Sequence

from rtx_operator.api.enums import Component
from rtx_operator.api.names import HTTP_PORT, Label

from rtx_cli.commands import reading
from rtx_cli.decide.children import Pod
from rtx_cli.decide.smoke import SmokeResult, SmokeTest, smoke_tests
from rtx_cli.exits import CliError, ExitCode
from rtx_cli.kubectl import Kubectl, KubectlError, TimedOutError
from rtx_cli.render import data
from rtx_cli.render.smoke import results_table
from rtx_cli.terminal import Terminal

_ANSWER_SECONDS = 3.0  # as the operator gives a smoke test
_FORWARD_SECONDS = 20.0  # for kubectl to forward a port
_FORWARDED = re.compile(r"^Forwarding from 127\.0\.0\.1:(\d+) ->")


def run(arguments: argparse.Namespace, kubectl: Kubectl, terminal: Terminal) -> ExitCode:
    engine, kubectl = reading.engine(kubectl, arguments.name)
    colour = arguments.colour or (engine.active.colour if engine.active else "")
    if not colour:
        raise CliError(f"{engine.name} has no active colour yet: wait until it is installed, or name one with --colour")
    tests = smoke_tests(engine)
    pods = _ready_pods(kubectl, engine.name, colour)
    if not pods:
        raise CliError(f"{colour} of {engine.name} has no ready pod to test", ExitCode.FAILED)
    results = [result for pod in pods for result in _tested(kubectl, pod, tests)]
    if arguments.output in {"json", "yaml"}:
        terminal.line(data.text(results, arguments.output))
    else:
        terminal.lines(results_table(results, terminal.look))
    return ExitCode.OK if all(result.passed for result in results) else ExitCode.FAILED


def _ready_pods(kubectl: Kubectl, name: str, colour: str) -> list[Pod]:
    labels = {Label.ENGINE.value: name, Label.COMPONENT.value: Component.ENGINE.value, Label.COLOUR.value: colour}
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    pods = [Pod.of(one) for one in kubectl.get("pods", f"--selector={selector}")["items"]]
    return [pod for pod in pods if pod.is_ready]


def _tested(kubectl: Kubectl, pod: Pod, tests: Sequence[SmokeTest]) -> list[SmokeResult]:
    words = ("port-forward", "--address=127.0.0.1", f"pod/{pod.name}", f":{HTTP_PORT}")
    try:
        with kubectl.process(*words) as forward:
            for line in forward.pulses(None, time.monotonic() + _FORWARD_SECONDS):
                if found := _FORWARDED.match(line or ""):
                    return [_result(pod, test, int(found[1])) for test in tests]
    except (KubectlError, TimedOutError) as error:
        return [SmokeResult(pod.name, test.name, test.path, None, 0.0, str(error)) for test in tests]
    return [SmokeResult(pod.name, test.name, test.path, None, 0.0, "no port was forwarded") for test in tests]


def _result(pod: Pod, test: SmokeTest, port: int) -> SmokeResult:
    from http.client import HTTPConnection, HTTPException  # noqa: PLC0415 - only where a request is sent

    began = time.monotonic()
    connection = HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", test.path)
        response = connection.getresponse()
        response.read()
        status, error = response.status, ""
    except (OSError, HTTPException) as failure:
        status, error = None, str(failure) or type(failure).__name__
    finally:
        connection.close()
    return SmokeResult(pod.name, test.name, test.path, status, time.monotonic() - began, error)
