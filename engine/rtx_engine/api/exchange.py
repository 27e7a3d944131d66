"""A request and its answer, between a connection and the application."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

import structlog

from rtx_engine.api.http import Response, Scope

log = structlog.get_logger(__name__)


class Line(Protocol):
    """A connection, as its exchanges see it."""

    tasks: set["asyncio.Task[None]"]  # of the server: it waits for them when it ends

    def answered(self, exchange: "Exchange", response: Response) -> None:
        """Send the response, if there is still somebody who waits for it."""
        ...

    def failed(self, exchange: "Exchange") -> None:
        """End: nothing can be said of this request."""
        ...


class Exchange:
    """A complete request. The application has it answered once, but not before `Application.begin` has returned."""

    __slots__ = ("_line", "body", "close", "scope")

    def __init__(self, line: Line, scope: Scope, body: bytes | None, *, close: bool) -> None:
        self._line = line
        self.scope = scope
        self.body = body  # None: it had more than Limits.body_bytes
        self.close = close  # the connection ends after its answer

    def answer(self, response: Response) -> None:
        """For a caller that has waited for nothing but the event loop, as a callback has."""
        try:
            self._line.answered(self, response)
        except Exception as error:  # noqa: BLE001  # logged by `fail`
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """A bug: the client gets no answer. It knows nothing of its request then, and that is true."""
        log.error("a request got no answer", method=self.scope["method"], path=self.scope["path"], exc_info=error)
        self._line.failed(self)

    def respond(self, work: Coroutine[Any, Any, Response]) -> None:
        """Answer with what `work` returns, in a task of its own."""
        self._line.tasks.add(asyncio.create_task(self._run(work)))

    async def _run(self, work: Coroutine[Any, Any, Response]) -> None:
        try:
            self.answer(await work)
        except asyncio.CancelledError:
            self._line.failed(self)
            raise
        except Exception as error:  # noqa: BLE001  # logged by `fail`
            self.fail(error)
        finally:
            task = asyncio.current_task()
            if task is not None:
                self._line.tasks.discard(task)


class Application(Protocol):
    """What answers requests."""

    def begin(self, exchange: Exchange) -> None:
        """Have `exchange` answered, whatever happens."""
        ...
