"""What a connection remembers of accounts and orders.

Of accounts it may be old and is never believed: WRITE compares each account's sequence. A placed order does not change;
that it is still there is known when a later transaction of the same connection has committed.
A sequence or an order must only not come back with other content, as it does after a restore, or a failover that lost
commits. So what is remembered belongs to the data that the fence stands for and to a connection, and goes with either.
Pure.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from itertools import islice

from rtx_engine.domain.execution import Portfolio
from rtx_engine.domain.orders import Execution, MarketOrder
from rtx_engine.store.plan import Key, Plan, key_of
from rtx_engine.store.settle import Written

MAX_PORTFOLIOS = 20_000  # some 20 MB; the account that was used longest ago goes first
MAX_EXECUTIONS = 4_096  # some 4 MB, of a second at the highest rate: a client repeats what it got no answer to


class RecentExecutions:
    """The newest executions that this connection has committed, or has found to be."""

    def __init__(self, max_executions: int = MAX_EXECUTIONS) -> None:
        self._max_executions = max_executions
        self._executions: dict[Key, Execution] = {}  # in the order in which they were remembered

    def clear(self) -> None:
        self._executions.clear()

    def of(self, orders: Iterable[MarketOrder]) -> list[Execution]:
        """Those of the orders, or of earlier ones with the same keys, that are remembered."""
        found = (self._executions.get(key_of(order)) for order in orders)
        return [execution for execution in found if execution is not None]

    def remember(self, executions: Iterable[Execution]) -> None:
        for execution in executions:
            self._executions[key_of(execution.order)] = execution
        excess = len(self._executions) - self._max_executions
        for key in list(islice(self._executions, max(0, excess))):
            del self._executions[key]


class PortfolioCache:
    """Portfolios as this connection last read or wrote them, and what it executed."""

    def __init__(self, max_portfolios: int = MAX_PORTFOLIOS) -> None:
        self.executions = RecentExecutions()
        self._max_portfolios = max_portfolios
        self._portfolios: OrderedDict[int, Portfolio] = OrderedDict()
        self._data: Hashable = None
        self._connection: object = None

    def __len__(self) -> int:
        return len(self._portfolios)

    def adopt(self, data: Hashable, connection: object) -> None:
        """Forget everything unless it was read from `data` (FenceState.data) and over `connection`."""
        if data != self._data or connection is not self._connection:
            self._portfolios.clear()
            self.executions.clear()
            self._data, self._connection = data, connection

    def portfolios(self, account_ids: Iterable[int]) -> dict[int, Portfolio]:
        """Those of the accounts that are remembered."""
        found: dict[int, Portfolio] = {}
        for account_id in account_ids:
            portfolio = self._portfolios.get(account_id)
            if portfolio is not None:
                found[account_id] = portfolio
                self._portfolios.move_to_end(account_id)
        return found

    def remember(self, portfolios: Iterable[Portfolio]) -> None:
        for portfolio in portfolios:
            self._portfolios[portfolio.account_id] = portfolio
            self._portfolios.move_to_end(portfolio.account_id)
        while len(self._portfolios) > self._max_portfolios:
            self._portfolios.popitem(last=False)

    def learn(self, plan: Plan, written: Written) -> None:
        """Remember what was written or found, and forget the accounts that were not as they were remembered."""
        self.executions.remember(written.repeats.values())
        self.executions.remember(one for one in plan.executions if one.order.account_id in written.accounts)
        self.remember(after for after in plan.after if after.account_id in written.accounts)
        for before in plan.before:
            if before.account_id not in written.unmoved:
                self._portfolios.pop(before.account_id, None)
