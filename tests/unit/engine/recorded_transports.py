"""A transport that records what a connection writes, for tests that need no sockets."""

import asyncio


class RecordedTransport(asyncio.Transport):
    """Writes at once, as a socket does that is read. What it is told to do has happened when the call returns."""

    def __init__(self, peer: tuple[str, int] = ("192.0.2.1", 4000)) -> None:
        super().__init__({"peername": peer})
        self.written: list[bytes] = []
        self.closed = False
        self.ended = False  # our side
        self.aborted = False
        self.reading = True
        self.unsent = 0

    def write(self, data):
        assert not self.ended, "written after the end"
        self.written.append(bytes(data))

    def write_eof(self):
        self.ended = True

    def close(self):
        self.closed = True

    def abort(self):
        self.closed = self.aborted = True

    def is_closing(self):
        return self.closed

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True

    def get_write_buffer_size(self):
        return self.unsent

    @property
    def answers(self) -> bytes:
        return b"".join(self.written)
