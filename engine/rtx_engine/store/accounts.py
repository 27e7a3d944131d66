"""Opens accounts, each with the user that may trade on it."""

import asyncpg  # type: ignore[import-untyped]  # ships no types

from rtx_engine.domain.accounts import Account, NewAccount
from rtx_engine.store.errors import OrderError, OrderErrorReason, UsernameTakenError
from rtx_engine.store.fenced_writes import FencedWrites
from rtx_engine.store.session import UnconfirmedError
from rtx_engine.store.write_admission import WriteKind, WriteOwner

_UNCONFIRMED = "nobody knows yet whether the account is open; check whether it exists before you open it again"
_OPEN = """
WITH account AS (
    INSERT INTO accounts (currency, balance, leverage) VALUES ($3, $4, $5) RETURNING id, event_sequence
), trader AS (
    INSERT INTO users (username, password_hash) VALUES ($1, $2) RETURNING id
), linked AS (
    INSERT INTO user_accounts (account_id, user_id) SELECT account.id, trader.id FROM account, trader
)
SELECT id, event_sequence FROM account
"""


class Accounts:
    """Opens accounts."""

    def __init__(self, writes: FencedWrites) -> None:
        self._writes = writes

    async def create(self, account: NewAccount) -> Account:
        """Raises UsernameTakenError, OrderError (Fenced, OutcomeUnknown), TooManyWaitingError and UnavailableError."""
        columns = (account.username, account.password_hash, account.currency, account.balance, account.leverage)
        try:
            [row] = await self._writes.run(WriteOwner(WriteKind.OPENING, account.username), _OPEN, *columns)
        except UnconfirmedError as error:
            raise OrderError(OrderErrorReason.OUTCOME_UNKNOWN, _UNCONFIRMED) from error
        except asyncpg.UniqueViolationError as error:
            raise UsernameTakenError(account.username) from error
        return Account(
            row["id"], account.username, account.currency, account.balance, account.leverage, row["event_sequence"]
        )
