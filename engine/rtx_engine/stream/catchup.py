"""Guarantees that each client gets every event of its account, by reading the database.

A new client gets a hello with the sequence of the account's newest event. Then one query, twice a second, reads the
newest sequence of every connected account; each client that is behind is sent its missing events.

After a restore, or a failover that lost commits, sequences come back with other events. A client that was sent events
which the database no longer has is closed, to begin anew: it would take the new ones for those that it has had.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import structlog
from picows import WSCloseCode

from rtx_engine.domain.events import AccountEvent, message
from rtx_engine.store.errors import UnavailableError
from rtx_engine.stream.connection import Connection
from rtx_engine.stream.hub import Hub
from rtx_engine.stream.limits import PRODUCTION, StreamLimits

POLL_INTERVAL_SECONDS = 0.5
HELLO_TIMEOUT_SECONDS = 5.0  # a client without its hello by then is closed: the database does not answer
REPLAY_PAGE_EVENTS = 200  # events have about 350 bytes each
MAX_CONCURRENT_REPLAYS = 4  # they share the pod's one read connection with the API

_RESTORED = "the database was restored: connect without since"
_NO_ACCOUNT = "the account of the token does not exist"

log = structlog.get_logger(__name__)


class EventLog(Protocol):
    """The part of store.reader.Reader used here. Both methods raise UnavailableError, within a bounded time."""

    async def sequences(self, account_ids: Sequence[int]) -> Mapping[int, int]:
        """The sequence of the newest event of each existing account; 0 without events."""
        ...

    async def events_since(
        self, account_id: int, sequence: int, limit: int = REPLAY_PAGE_EVENTS
    ) -> Sequence[AccountEvent]:
        """The first `limit` events after `sequence`, in order."""
        ...


class CatchUp:
    """Sends hellos and replays. `send_hello` and `poll` are one step each; the caller repeats them."""

    def __init__(self, log: EventLog, hub: Hub, colour: str, limits: StreamLimits = PRODUCTION) -> None:
        self._log = log
        self._limits = limits
        self._hub = hub
        self._colour = colour
        self._replay_slots = asyncio.Semaphore(MAX_CONCURRENT_REPLAYS)
        self._replays: dict[Connection, asyncio.Task[None]] = {}

    async def send_hello(self) -> None:
        """Wait for new clients, then send each its hello after one query. Raises UnavailableError."""
        await self._hub.has_pending.wait()
        self._close_expired()
        pending = list(self._hub.pending)
        accounts = {connection.account_id for connection in pending if connection.account_id is not None}
        newest = await self._log.sequences(list(accounts))
        self._hub.pending.difference_update(pending)
        for connection in pending:
            self._send_hello_to(connection, newest.get(connection.account_id or 0))
        self.start_replays(pending)
        if not self._hub.pending:
            self._hub.has_pending.clear()

    async def poll(self) -> None:
        """After POLL_INTERVAL_SECONDS, start a replay for each client that is behind. Raises UnavailableError.

        Closes each client that is ahead of the database.
        """
        await asyncio.sleep(POLL_INTERVAL_SECONDS)
        accounts = self._hub.accounts
        if not accounts:
            return
        # As before the query: meanwhile a client may be sent an event that the query does not see.
        sent = {one: one.cursor.sent for one in self._hub.connections if one.cursor is not None}
        newest = await self._log.sequences(accounts)
        for connection, sequence in sent.items():
            known = newest.get(connection.account_id or 0)
            if known is None:
                connection.close(WSCloseCode.POLICY_VIOLATION, _NO_ACCOUNT)
            elif sequence > known:
                connection.close(WSCloseCode.POLICY_VIOLATION, _RESTORED)
            elif connection.cursor is not None:
                connection.cursor.observe(known)
        self.start_replays(sent)

    def begin_anew(self) -> None:
        """Close each client that has had its hello. Does not block."""
        for connection in self._hub.connections:
            if connection.cursor is not None:
                connection.close(WSCloseCode.POLICY_VIOLATION, _RESTORED)

    def start_replays(self, connections: Iterable[Connection]) -> None:
        """Start a replay for each of `connections` that is behind and has none."""
        for connection in connections:
            if connection.behind and connection not in self._replays:
                self._replays[connection] = asyncio.create_task(self._replay(connection))

    async def stop(self) -> None:
        """Cancel all replays."""
        replays = list(self._replays.values())
        for replay in replays:
            replay.cancel()
        await asyncio.gather(*replays, return_exceptions=True)

    def _send_hello_to(self, connection: Connection, newest: int | None) -> None:
        if not connection.open:
            return
        if newest is None:
            connection.close(WSCloseCode.POLICY_VIOLATION, _NO_ACCOUNT)
        elif connection.since is not None and connection.since > newest:
            connection.close(
                WSCloseCode.POLICY_VIOLATION, f"since is after the last event, {newest}: connect without since"
            )
        elif connection.since is not None and newest - connection.since > self._limits.replayed_events:
            connection.close(
                WSCloseCode.POLICY_VIOLATION,
                f"since is {newest - connection.since} events behind: read them at GET /api/events, then connect again",
            )
        else:
            connection.send_hello(newest, self._colour)
            self._hub.subscribe(connection)

    def _close_expired(self) -> None:
        deadline = asyncio.get_running_loop().time() - HELLO_TIMEOUT_SECONDS
        for connection in list(self._hub.pending):
            if connection.authenticated_at < deadline:
                self._hub.pending.discard(connection)
                connection.close(WSCloseCode.TRY_AGAIN_LATER, "the database does not answer: connect again")

    async def _replay(self, connection: Connection) -> None:
        try:
            while connection.behind:
                await self._replay_page(connection)
                await connection.wait_writable()
        except UnavailableError:
            pass  # the next successful poll starts another
        except Exception:  # likewise
            log.exception("replay failed", account=connection.account_id)
        finally:
            del self._replays[connection]

    async def _replay_page(self, connection: Connection) -> None:
        cursor = connection.cursor
        account_id = connection.account_id
        if cursor is None or account_id is None:
            return
        async with self._replay_slots:
            if not connection.behind:
                return  # the event arrived through Redis while the replay was queued
            before = cursor.sent
            page = await self._log.events_since(account_id, before, REPLAY_PAGE_EVENTS)
        for event in page:
            connection.send_event(event, message(event))
        if connection.open and cursor.sent == before:
            log.error("event missing in the database", account=connection.account_id, sequence=before + 1)
            connection.close(WSCloseCode.POLICY_VIOLATION, f"event {before + 1} is missing: connect without since")
