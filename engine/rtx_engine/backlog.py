"""What this pod holds for clients that do not read, in all: those of one kind share a budget of memory."""

import heapq
from collections import defaultdict
from collections.abc import Hashable
from typing import Protocol


class Client(Protocol):
    """One connection."""

    @property
    def owner(self) -> Hashable:
        """Whose it is: an account, or an address. One with many connections counts as one client."""
        ...

    @property
    def unread_bytes(self) -> int:
        """That wait in this process for the client to read them."""
        ...

    def drop(self) -> None: ...


class Backlog:
    """Counts unread bytes. Beyond the limit, whoever leaves the most unread loses connections, the largest first."""

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
        if self._total > self._max_bytes:
            self._drop_largest()

    def _drop_largest(self) -> None:
        by_owner: defaultdict[Hashable, list[Client]] = defaultdict(list)
        for client in sorted(self._unread, key=self._unread.__getitem__):
            by_owner[client.owner].append(client)
        owned = [sum(self._unread[client] for client in clients) for clients in by_owner.values()]
        most = [(-size, number) for number, size in enumerate(owned)]
        heapq.heapify(most)
        clients = list(by_owner.values())
        while self._total > self._max_bytes:
            left, number = most[0]
            client = clients[number].pop()
            size = self._unread.pop(client)
            self._total -= size
            heapq.heapreplace(most, (left + size, number))
            client.drop()
