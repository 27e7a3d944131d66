"""What a connection remembers of accounts. It may be old and is never believed: WRITE compares each account's sequence.

A sequence must only not come back with other content, as it does after a restore, or a failover that lost commits. So
what is remembered belongs to the data that the fence stands for and to a connection, and goes with either. Pure.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterable

from rtx_engine.domain.execution import Portfolio
from rtx_engine.store.plan import Plan
from rtx_engine.store.settle import Written

MAX_PORTFOLIOS = 20_000  # some 20 MB; the account that was used longest ago goes first


class PortfolioCache:
    """Portfolios as this connection last read or wrote them."""

    def __init__(self, max_portfolios: int = MAX_PORTFOLIOS) -> None:
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
        """Remember what was written, and forget the accounts that were not as they were remembered."""
        self.remember(after for after in plan.after if after.account_id in written.accounts)
        for before in plan.before:
            if before.account_id not in written.unmoved:
                self._portfolios.pop(before.account_id, None)
