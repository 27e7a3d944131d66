"""Opens accounts, under the fence like every write."""

import asyncpg  # type: ignore[import-untyped]  # ships no types

from rtx_engine.domain.accounts import Account, NewAccount
from rtx_engine.store.database_errors import is_fenced
from rtx_engine.store.errors import OrderError, OrderErrorReason, UsernameTakenError
from rtx_engine.store.fence import FenceWatch
from rtx_engine.store.read_admission import Shared
from rtx_engine.store.reads import Reads
from rtx_engine.store.session import UnconfirmedError

MAX_ATTEMPTS = 2  # the second at the epoch that the first one read

_UNCONFIRMED = "no standby has confirmed the account yet; check whether it exists before you open it again"
_INSERT = """
INSERT INTO accounts (username, password_hash, currency, balance, leverage) VALUES ($1, $2, $3, $4, $5)
RETURNING id, event_sequence
"""


class Accounts:
    """Opens accounts."""

    def __init__(self, reads: Reads, fence: FenceWatch) -> None:
        self._reads = reads
        self._session = reads.session
        self._fence = fence

    async def create(self, account: NewAccount) -> Account:
        """Raises UsernameTakenError, OrderError (Fenced, OutcomeUnknown) and UnavailableError."""
        return await self._reads.run(lambda connection: self._create(connection, account), Shared.POD)

    async def _create(self, connection: "asyncpg.Connection", account: NewAccount) -> Account:
        for _ in range(MAX_ATTEMPTS):
            state = self._fence.state or await self._fence.refresh(connection)
            if state is None:
                break
            await self._session.set_epoch(connection, state.epoch)
            try:
                return await self._insert(connection, account)
            except UnconfirmedError as error:
                raise OrderError(OrderErrorReason.OUTCOME_UNKNOWN, _UNCONFIRMED) from error
            except asyncpg.UniqueViolationError as error:
                raise UsernameTakenError(account.username) from error
            except asyncpg.PostgresError as error:
                if not is_fenced(error):
                    raise
                await self._fence.refresh(connection)
        raise OrderError(OrderErrorReason.FENCED, "another colour executes now; try again")

    async def _insert(self, connection: "asyncpg.Connection", new: NewAccount) -> Account:
        columns = (new.username, new.password_hash, new.currency, new.balance, new.leverage)
        [row] = await self._session.commit(connection, _INSERT, *columns)
        return Account(row["id"], new.username, new.currency, new.balance, new.leverage, row["event_sequence"])
