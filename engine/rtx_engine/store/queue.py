"""The orders of one writer: those that wait for their first batch, and those that a batch left undecided."""

import asyncio
import math
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from rtx_engine.domain.orders import MarketOrder
from rtx_engine.store.errors import OrderError
from rtx_engine.store.plan import Outcome, Placed

MAX_BATCH_ORDERS = 512  # larger batches would only delay their first orders
ATTEMPTS_IN_TURN = 2  # in ordinary batches; from then on the account is contested
# Between two attempts at the contested accounts: three round trips each while somebody holds them, of some 0.1 ms.
CONTESTED_INTERVAL_SECONDS = 0.02


@dataclass(slots=True, eq=False)
class Pending:
    """An order whose client waits. Times are the event loop's."""

    order: MarketOrder
    future: "asyncio.Future[Placed]"
    deadline: float
    valid_until: float = math.inf  # the order's
    attempts: int = 0  # that did not decide it
    in_doubt: bool = False  # an attempt got no answer to its COMMIT

    @property
    def ends(self) -> float:
        """From when on no attempt is made."""
        return min(self.deadline, self.valid_until)

    def complete(self, outcome: Outcome) -> None:
        if self.future.done():
            return  # the caller was cancelled
        if isinstance(outcome, OrderError):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


class OrderQueue:
    """Hands out batches. The orders of an account stay in the order in which they came."""

    def __init__(self) -> None:
        self._fresh: deque[Pending] = deque()
        self._retries: list[Pending] = []  # they head the next batch
        self._contested: list[Pending] = []
        self._contested_accounts: set[int] = set()
        self._seen_held: set[int] = set()  # contested accounts that an attempt passed over
        self._accounts_at_once = MAX_BATCH_ORDERS  # of the other contested ones
        self.contested_at = math.inf  # when the contested accounts are tried again

    def __len__(self) -> int:
        return len(self._fresh) + len(self._retries) + len(self._contested)

    @property
    def waiting(self) -> int:
        """The orders that the next batch could have."""
        return len(self._fresh) + len(self._retries)

    def append(self, pending: Pending) -> None:
        self._fresh.append(pending)

    def next_batch(self) -> list[Pending]:
        """At most MAX_BATCH_ORDERS orders, those of contested accounts left out."""
        batch, self._retries = self._retries[:MAX_BATCH_ORDERS], self._retries[MAX_BATCH_ORDERS:]
        while self._fresh and len(batch) < MAX_BATCH_ORDERS:
            pending = self._fresh.popleft()
            behind = pending.order.account_id in self._contested_accounts
            (self._contested if behind else batch).append(pending)
        return batch

    def next_contested(self, now: float) -> list[Pending]:
        """The orders of contested accounts, if it is time to try them again.

        As many accounts at once as may be, and those besides that an attempt passed over: it waits for none of them.
        """
        if now < self.contested_at:
            return []
        self._seen_held &= self._contested_accounts
        batch: list[Pending] = []
        left: list[Pending] = []
        accounts, passed_over, room = set[int](), self._seen_held, self._accounts_at_once
        for pending in self._contested:
            account_id = pending.order.account_id
            is_known = account_id in accounts or account_id in passed_over
            if (is_known or room > 0) and len(batch) < MAX_BATCH_ORDERS:
                room -= not is_known
                accounts.add(account_id)
                batch.append(pending)
            else:
                left.append(pending)
        self._contested = left
        self._note_contested()
        return batch

    def put_back(self, undecided: Sequence[Pending], now: float, *, all_contested: bool = False) -> None:
        """Orders of a batch that are to be tried again, in its order. `all_contested`: under their accounts' locks."""
        contested = self._contested_accounts | {
            pending.order.account_id for pending in undecided if all_contested or pending.attempts >= ATTEMPTS_IN_TURN
        }
        passed_over = [pending for pending in undecided if pending.order.account_id in contested]
        self._retries[:0] = [pending for pending in undecided if pending.order.account_id not in contested]
        self._put_behind(passed_over, now)
        if not all_contested:
            self._seen_held |= {pending.order.account_id for pending in passed_over}

    def put_last(self, batch: Sequence[Pending], now: float) -> None:
        """Orders of contested accounts, one of which somebody holds in a way that no lock on accounts shows.

        Half as many accounts are tried at once: so it is found, and keeps no other waiting.
        """
        accounts = {pending.order.account_id for pending in batch}
        for pending in batch:
            pending.attempts += 1
        self._put_behind(batch, now)
        suspects = len(accounts - self._seen_held)
        if suspects <= 1:  # it may be one of those that were passed over before
            self._seen_held -= accounts
        self._accounts_at_once = max(1, suspects // 2)

    def widen(self) -> None:
        """An attempt decided orders of contested accounts: twice as many are tried at once."""
        self._accounts_at_once = min(2 * self._accounts_at_once, MAX_BATCH_ORDERS)

    def take_expired(self, now: float) -> list[Pending]:
        """The orders whose time has passed."""
        expired = []
        while self._fresh and self._fresh[0].ends <= now:  # one behind it that ends earlier joins a batch in vain
            expired.append(self._fresh.popleft())
        if self._retries or self._contested:
            expired += [pending for pending in (*self._retries, *self._contested) if pending.ends <= now]
            self._retries = [pending for pending in self._retries if pending.ends > now]
            self._contested = [pending for pending in self._contested if pending.ends > now]
            self._note_contested()
        return expired

    def take_all(self) -> list[Pending]:
        """All orders, which leave the queue."""
        everything = [*self._retries, *self._contested, *self._fresh]
        self._fresh.clear()
        self._retries, self._contested = [], []
        self._note_contested()
        return everything

    def _put_behind(self, tried: Sequence[Pending], now: float) -> None:
        """Behind the other contested accounts, and before the orders of their own that came later."""
        accounts = {pending.order.account_id for pending in tried}
        later = [pending for pending in self._contested if pending.order.account_id in accounts]
        others = [pending for pending in self._contested if pending.order.account_id not in accounts]
        self._contested = [*others, *tried, *later]
        self._note_contested()
        self._schedule_contested(now)

    def _note_contested(self) -> None:
        self._contested_accounts = {pending.order.account_id for pending in self._contested}
        if not self._contested:
            self.contested_at = math.inf

    def _schedule_contested(self, now: float) -> None:
        if self._contested and not now < self.contested_at < math.inf:
            pause = CONTESTED_INTERVAL_SECONDS * random.uniform(0.5, 1.5)  # noqa: S311  # pods must not meet again
            self.contested_at = now + pause
