"""What this pod holds for clients that do not read, in all: those of one kind share a budget of memory."""

from typing import Protocol


class Client(Protocol):
    """One connection."""

    @property
    def unread_bytes(self) -> int:
        """That wait in this process for the client to read them."""
        ...

    def drop(self) -> None: ...


class Backlog:
    """Counts unread bytes. Beyond the limit the clients that leave the most unread are dropped."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._unread: dict[Client, int] = {}  # as last noted, without those that have read everything
        self._total = 0

    def note(self, client: Client, unread_bytes: int) -> None:
        """`client` has so many bytes unread now."""
        self._total += unread_bytes - self._unread.pop(client, 0)
        if unread_bytes:
            self._unread[client] = unread_bytes
            if self._total > self._max_bytes:
                self._shrink()

    def _shrink(self) -> None:
        """Look again at all, since what is noted is as old as a client's last message, and drop the largest."""
        unread = {client: client.unread_bytes for client in self._unread}
        self._unread = {client: size for client, size in unread.items() if size}
        self._total = sum(self._unread.values())
        for client in sorted(self._unread, key=self._unread.__getitem__, reverse=True):
            if self._total <= self._max_bytes:
                return
            self._total -= self._unread.pop(client)
            client.drop()
