"""Looks up an order, and waits for one that is under way."""

import asyncio

from rtx_engine.domain.orders import Execution
from rtx_engine.store.errors import UnavailableError
from rtx_engine.store.reader import Reader
from rtx_engine.store.writers import Writers

TIMEOUT_SECONDS = 3.0  # below a forward's
# Between two questions whether the account is free: twice as long each time, so that those who ask after the orders of
# an account that somebody holds do not fill the queue of reads.
MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.02, 0.32

_UNDER_WAY = "an order of this account is still being placed; ask again in a second"


class OrderLookup:
    """Never says of an order that is queued in this pod, or that any pod is committing, that there is none."""

    def __init__(self, writers: Writers, reader: Reader) -> None:
        self._writers = writers
        self._reader = reader

    async def find(self, account_id: int, client_order_id: str) -> Execution | None:
        """The order. None if it was neither placed nor under way when it was asked for. Raises as Reads.run does."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await self._writers.wait_for((account_id, client_order_id))
                execution = await self._reader.order(account_id, client_order_id)
                if execution is not None:
                    return execution
                pause = MIN_PAUSE_SECONDS
                while not await self._reader.is_free(account_id):  # nothing tells of a commit
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, MAX_PAUSE_SECONDS)
                return await self._reader.order(account_id, client_order_id)
        except TimeoutError as error:
            raise UnavailableError(_UNDER_WAY) from error
