"""Sends the head of a response together with its body: each write is a system call, and wakes the client."""

import asyncio

_CONTINUE = b"HTTP/1.1 100 "  # uvicorn writes it before the response begins


class WholeResponses:
    """A connection's transport, as uvicorn's requests use it: one write for the head, then those of the body.

    ASGI has it so: a response begins with the first part of its body. One without a body is sent when it is complete.
    """

    __slots__ = ("_head", "_in_body", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self._in_body = False

    def write(self, data: bytes) -> None:
        if self._in_body or (not self._head and data.startswith(_CONTINUE)):
            self._transport.write(data)
        elif self._head:
            self._in_body = True
            self._transport.write(self._head + data)
        else:
            self._head = data

    def complete(self) -> None:
        """The response is complete: send what is kept of it. What is written next begins another one."""
        if self._head and not self._in_body:
            self._transport.write(self._head)
        self._head = b""
        self._in_body = False

    def close(self) -> None:
        """Close the connection after what is kept."""
        self.complete()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()
