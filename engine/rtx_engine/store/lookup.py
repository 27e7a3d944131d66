"""Looks up an order, and waits for one that is under way."""

import asyncio
import datetime as dt
from dataclasses import dataclass

from rtx_engine.domain.orders import Execution, MarketOrder
from rtx_engine.store.errors import OrderError, OrderErrorReason, UnavailableError
from rtx_engine.store.plan import Placed, replay
from rtx_engine.store.reader import Reader
from rtx_engine.store.writers import Writers

TIMEOUT_SECONDS = 3.0  # below a forward's
# Between two questions whether the account is free: twice as long each time, so that those who ask after the orders of
# an account that somebody holds do not fill the queue of reads.
MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.02, 0.32

_EXPIRED = "valid_until passed before the order was placed; to place it, send it again with a later one"
_UNDER_WAY = "an order of this account is still being placed; ask again in a second"


@dataclass(frozen=True, slots=True)
class NotPlaced:
    """At `as_of`, by the database's clock, the order was not placed. No request whose valid_until was then over will.

    One without may still wait in another pod.
    """

    as_of: dt.datetime


class OrderLookup:
    """Never says of an order that is queued in this pod, or that any pod is committing, that there is none.

    A request compares its valid_until with the clock while it holds its account. So once the clock was past that and
    the account was free, it has placed the order before or never will.
    """

    def __init__(self, writers: Writers, reader: Reader) -> None:
        self._writers = writers
        self._reader = reader

    async def settle(self, order: MarketOrder) -> Placed:
        """The outcome of an order whose valid_until has passed. Raises OrderError (Conflict, Expired) and as `find`."""
        found = await self.find(order.account_id, order.client_order_id, order.valid_until)
        if isinstance(found, NotPlaced):
            raise OrderError(OrderErrorReason.EXPIRED, _EXPIRED)
        outcome = replay(order, found)
        if isinstance(outcome, OrderError):
            raise outcome
        return outcome

    async def find(
        self, account_id: int, client_order_id: str, after: dt.datetime | None = None
    ) -> Execution | NotPlaced:
        """The order, if it was placed when it was asked for, or under way then and placed. Raises as Reads.run does.

        `after`: wait until the database's clock is past it.
        """
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await self._writers.wait_for((account_id, client_order_id))
                execution = await self._reader.order(account_id, client_order_id)
                if execution is not None:
                    return execution
                pause = MIN_PAUSE_SECONDS
                # Nothing tells of a commit.
                while (as_of := await self._reader.free_at(account_id)) is None or (after and as_of <= after):
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, MAX_PAUSE_SECONDS)
                return await self._reader.order(account_id, client_order_id) or NotPlaced(as_of)
        except TimeoutError as error:
            raise UnavailableError(_UNDER_WAY) from error
