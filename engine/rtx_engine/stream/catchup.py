"""Makes sure that each client gets every event of its account, whatever Redis does: the database is asked.

A new client is greeted with what the database says is the account's newest event. From then on the newest sequence of
every connected account is read twice a second, in one query; whoever is behind is sent what it misses.
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

POLL_INTERVAL = 0.5  # seconds: with the query, an event is a second old at most
GREETING_DEADLINE = 5.0  # seconds that a client waits for its hello while the database is away
PAGE = 200  # events of about 350 bytes
REPLAYS_AT_ONCE = 4  # the API's queries wait behind them on the pod's one connection for reading

log = structlog.get_logger(__name__)


class EventLog(Protocol):
    """The part of store.reader.Reader that is needed here. Each raises UnavailableError, in bounded time."""

    async def sequences(self, account_ids: Sequence[int]) -> Mapping[int, int]:
        """The sequence of the newest event of each account that exists; 0 if it has none."""
        ...

    async def events_since(self, account_id: int, sequence: int, limit: int = PAGE) -> Sequence[AccountEvent]:
        """The first `limit` events after `sequence`, ascending."""
        ...


class CatchUp:
    """Greets, watches and replays. `greet` and `poll` are one round each, to be repeated for ever."""

    def __init__(self, log: EventLog, hub: Hub, colour: str) -> None:
        self._log = log
        self._hub = hub
        self._colour = colour
        self._turn = asyncio.Semaphore(REPLAYS_AT_ONCE)
        self._replays: dict[Connection, asyncio.Task[None]] = {}

    async def greet(self) -> None:
        """Wait for new clients and say hello to all of them after one query. Raises UnavailableError."""
        await self._hub.entrance.wait()
        self._send_away_the_tired()
        entrants = list(self._hub.entrants)
        newest = await self._log.sequences(list({connection.account_id for connection in entrants}))
        self._hub.entrants.difference_update(entrants)
        for connection in entrants:
            self._greet_one(connection, newest.get(connection.account_id))
        self.look(entrants)
        if not self._hub.entrants:
            self._hub.entrance.clear()

    async def poll(self) -> None:
        """Look, POLL_INTERVAL from now, who is behind. Raises UnavailableError."""
        await asyncio.sleep(POLL_INTERVAL)
        accounts = self._hub.accounts
        if not accounts:
            return
        newest = await self._log.sequences(accounts)
        for account_id, sequence in newest.items():
            connections = tuple(self._hub.of_account(account_id))
            for connection in connections:
                if connection.cursor is not None:
                    connection.cursor.notice(sequence)
            self.look(connections)

    def look(self, connections: Iterable[Connection]) -> None:
        """Start a replay for each of `connections` that is behind and has none."""
        for connection in connections:
            if connection.behind and connection not in self._replays:
                self._replays[connection] = asyncio.create_task(self._replay(connection))

    async def stop(self) -> None:
        """End all replays."""
        replays = list(self._replays.values())
        for replay in replays:
            replay.cancel()
        await asyncio.gather(*replays, return_exceptions=True)

    def _greet_one(self, connection: Connection, newest: int | None) -> None:
        if not connection.open:
            return
        if newest is None:
            connection.close(WSCloseCode.POLICY_VIOLATION, "the token's account does not exist here")
        elif connection.since is not None and connection.since > newest:
            connection.close(
                WSCloseCode.POLICY_VIOLATION, f"since is after the last event, {newest}: connect without since"
            )
        else:
            connection.greet(newest, self._colour)
            self._hub.subscribe(connection)

    def _send_away_the_tired(self) -> None:
        deadline = asyncio.get_running_loop().time() - GREETING_DEADLINE
        for connection in list(self._hub.entrants):
            if connection.opened < deadline:
                self._hub.entrants.discard(connection)
                connection.close(WSCloseCode.TRY_AGAIN_LATER, "the database does not answer: connect again")

    async def _replay(self, connection: Connection) -> None:
        try:
            while connection.behind:
                await self._replay_page(connection)
                await connection.writable()
        except UnavailableError:
            pass  # the next poll that gets an answer begins anew
        except Exception:  # so it does after any other error
            log.exception("a replay failed", account=connection.account_id)
        finally:
            del self._replays[connection]

    async def _replay_page(self, connection: Connection) -> None:
        cursor = connection.cursor
        if cursor is None:
            return
        async with self._turn:
            if not connection.behind:
                return  # the event has come by itself while we waited for our turn
            before = cursor.sent
            page = await self._log.events_since(connection.account_id, before, PAGE)
        for event in page:
            connection.offer(event, message(event))
        if connection.open and cursor.sent == before:
            log.error("an event is lost", account=connection.account_id, sequence=before + 1)
            connection.close(WSCloseCode.POLICY_VIOLATION, f"event {before + 1} is lost: connect without since")
