"""Follows an engine until a judge says that what was begun is over."""

import time
from collections.abc import Iterator

from rtx_cli.decide.durations import seconds
from rtx_cli.decide.engine import Engine
from rtx_cli.decide.outcome import Ended, Judge
from rtx_cli.exits import ExitCode
from rtx_cli.kubectl import ENGINES, Kubectl, KubectlError, TimedOutError, is_worth_retrying
from rtx_cli.render.progress import Progress
from rtx_cli.render.text import Style
from rtx_cli.terminal import Terminal

_RETRY_SECONDS = 2.0
_PULSE_SECONDS = 5.0  # without an event, after which it is looked at again


def follow(kubectl: Kubectl, name: str, judge: Judge, terminal: Terminal, timeout: str | None) -> ExitCode:
    """Print the phases until it is over, and a sentence about its end. Ctrl-C and timeout end only the following."""
    began = time.monotonic()
    deadline = began + seconds(timeout) if timeout else None
    progress = Progress(terminal.look, lambda: time.monotonic() - began)
    try:
        ended = _ended(kubectl, name, judge, progress, terminal, deadline)
    except TimedOutError:
        ended = Ended(ExitCode.TIMED_OUT, f"not over after {timeout}; it goes on, see {_status(kubectl, name)}")
    except KeyboardInterrupt:
        ended = Ended(ExitCode.INTERRUPTED, f"\nno longer followed; it goes on, see {_status(kubectl, name)}")
    style = Style.GOOD if ended.code is ExitCode.OK else Style.BAD
    if ended.code is ExitCode.OK:
        terminal.line(terminal.look.paint(ended.message, style))
    else:
        terminal.note(ended.message)
    return ended.code


def _status(kubectl: Kubectl, name: str) -> str:
    return f"`kubectl tradingengine status {name} -n {kubectl.namespace}`"


def _ended(
    kubectl: Kubectl, name: str, judge: Judge, progress: Progress, terminal: Terminal, deadline: float | None
) -> Ended:
    for engine in states(kubectl, name, terminal, deadline):
        if engine is None:
            return Ended(ExitCode.FAILED, f"{name} was deleted")
        ended = judge(engine)
        terminal.lines(progress.update(engine, is_over=ended is not None))
        if ended:
            return ended
        terminal.lines(progress.waiting(engine))
    raise AssertionError  # `states` never ends


def states(
    kubectl: Kubectl, name: str, terminal: Terminal, deadline: float | None, pulse: float = _PULSE_SECONDS
) -> Iterator[Engine | None]:
    """The engine now, after each change, and once in a while without one; None when it is gone.

    Never ends by itself: while the API server does not answer it is asked again. Raises TimedOutError at the deadline,
    and KubectlError when asking again is of no use.
    """
    is_told = False
    last: Engine | None = None
    while True:
        try:
            for event in kubectl.watch(ENGINES, name, pulse=pulse, deadline=deadline):
                if event is not None:
                    is_told = False
                    last = None if event["type"] == "DELETED" else Engine.of(event["object"])
                if event is not None or last is not None:
                    yield last
        except KubectlError as error:
            if not is_worth_retrying(error):
                raise
            if not is_told:
                terminal.note(f"{error}; asking again")
                is_told = True
        # Also after a watch that the server has ended: one that ends at once would be asked for again and again.
        if deadline is not None and time.monotonic() + _RETRY_SECONDS >= deadline:
            raise TimedOutError
        time.sleep(_RETRY_SECONDS)
