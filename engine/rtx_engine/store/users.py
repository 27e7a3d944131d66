"""Who may log in, and for how long: users, their refresh tokens, and the end of both."""

import datetime as dt

import asyncpg  # type: ignore[import-untyped]  # ships no types

from rtx_engine.domain.accounts import Login, RefreshedLogin
from rtx_engine.store.errors import OrderError, OrderErrorReason, UnavailableError
from rtx_engine.store.fenced_writes import FencedWrites
from rtx_engine.store.read_admission import Refreshes, Shared
from rtx_engine.store.reads import Reads
from rtx_engine.store.recent_set import RecentSet
from rtx_engine.store.session import UnconfirmedError
from rtx_engine.store.shared_reads import SharedReads
from rtx_engine.store.write_admission import WriteKind, WriteOwner

MAX_REFRESH_TOKENS = 32  # of a user; a login beyond ends the oldest, so the table needs no other upkeep
REVOKED_SECONDS = 10.0  # that a refresh token stays refused without a read: after a restore it may count again
MAX_REVOKED = 4096  # of which that is remembered

_UNCONFIRMED = "nobody knows yet whether it is done; log in to see which password counts"
_USER = """
SELECT users.id AS user_id, account_id, username, password_hash, generation
FROM users JOIN user_accounts ON user_accounts.user_id = users.id
"""
_BY_NAME = f"{_USER} WHERE username = $1"
_BY_ACCOUNT = f"{_USER} WHERE account_id = $1"
_REFRESHED = """
SELECT user_accounts.account_id, users.generation, refresh_tokens.expires_at
FROM refresh_tokens
JOIN users ON users.id = refresh_tokens.user_id AND users.generation = refresh_tokens.generation
JOIN user_accounts ON user_accounts.user_id = users.id
WHERE refresh_tokens.hash = $1 AND refresh_tokens.expires_at > clock_timestamp()
"""
# Nothing if the password has changed since it was checked. A commit that only this server has is enough: whoever loses
# a refresh token with it logs in again, and nobody waits for a standby to log in.
_OPEN = """
WITH quick AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'local', true)
), holder AS MATERIALIZED (
    SELECT id, generation FROM users, quick WHERE id = $1 AND generation = $2
), ended AS (
    DELETE FROM refresh_tokens USING holder WHERE refresh_tokens.user_id = holder.id AND (
        refresh_tokens.expires_at <= clock_timestamp() OR refresh_tokens.hash IN (
            SELECT newest.hash FROM refresh_tokens AS newest WHERE newest.user_id = $1
            ORDER BY newest.expires_at DESC OFFSET $5
        )
    )
)
INSERT INTO refresh_tokens (hash, user_id, generation, expires_at)
SELECT $3, id, generation, clock_timestamp() + $4::interval FROM holder
RETURNING expires_at
"""
# A new generation ends all tokens: pods learn of it (token_rules.py), and no refresh token of an earlier one counts.
_REVOKE = """
UPDATE users SET generation = generation + 1, revoked_at = clock_timestamp() WHERE id = $1 RETURNING generation
"""
# With the refresh token of the one who changed it: either both are there, or nothing has happened.
_CHANGE = """
WITH changed AS (
    UPDATE users SET generation = generation + 1, revoked_at = clock_timestamp(), password_hash = $3
    WHERE id = $1 AND generation = $2
    RETURNING id, generation
), ended AS (
    DELETE FROM refresh_tokens USING changed WHERE refresh_tokens.user_id = changed.id
)
INSERT INTO refresh_tokens (hash, user_id, generation, expires_at)
SELECT $4, id, generation, clock_timestamp() + $5::interval FROM changed
RETURNING expires_at
"""


class Users:
    """Each method raises the errors of Reads.run, but for those of a read itself.

    A revocation and a new password go ahead of logins.
    """

    def __init__(self, reads: Reads, writes: FencedWrites) -> None:
        self._reads = reads
        self._writes = writes
        self._refreshes = SharedReads[bytes, RefreshedLogin | None](reads)
        self._revoked = RecentSet[bytes](REVOKED_SECONDS, MAX_REVOKED)
        self._logins = SharedReads[tuple[Shared, str | int], Login | None](reads)

    async def named(self, username: str, *, known: bool) -> Login | None:
        """`known`: this user has logged in from the same address before.

        All that log in at once as this user share a read that has not begun: no user keeps out another one.
        """
        return await self._login(Shared.KNOWN if known else Shared.STRANGERS, _BY_NAME, username)

    async def of_account(self, account_id: int) -> Login | None:
        """For the administrator, who is not refused because the account asks too much."""
        return await self._login(Shared.POD, _BY_ACCOUNT, account_id)

    async def of_holder(self, account_id: int) -> Login | None:
        """For whoever holds a token of the account and wants to change its password.

        All that ask at once share a read, as above: who holds a stolen token takes no place from its owner.
        """
        return await self._login(Shared.PASSWORDS, _BY_ACCOUNT, account_id)

    async def open_session(self, login: Login, hash_: bytes, lifetime: dt.timedelta) -> dt.datetime | None:
        """Keep a refresh token, of which only the hash is known here. Returns when it expires.

        None if the user's password has changed since `login` was read. Raises OrderError (Fenced). A user has few
        logins at once, which take turns with those of others: who logs in over and over is refused alone.
        """
        owner = WriteOwner(WriteKind.LOGIN, login.user_id)
        columns = (login.user_id, login.generation, hash_, lifetime, MAX_REFRESH_TOKENS - 1)
        try:
            rows = await self._writes.run(owner, _OPEN, *columns, needs_standby=False)
        except UnconfirmedError as error:  # a token that nobody has been given is of no use to anybody
            raise UnavailableError("the database does not answer; log in again") from error
        return rows[0]["expires_at"] if rows else None

    async def session(self, account_id: int, hash_: bytes) -> RefreshedLogin | None:
        """Whose refresh token it is, which was issued for this account; None if it counts for nothing (any more).

        All who ask at once for the same one share a read, and for a few seconds it is remembered which were found to be
        revoked: whoever repeats a stolen token takes no place from its owner.
        """
        if self._revoked.has(hash_):
            return None

        async def read(connection: "asyncpg.Connection") -> RefreshedLogin | None:
            row = await connection.fetchrow(_REFRESHED, hash_)
            return None if row is None else RefreshedLogin(row["account_id"], row["generation"], row["expires_at"])

        found = await self._refreshes.run(hash_, read, Refreshes(account_id))
        if found is None:
            self._revoked.add(hash_)
        return found

    async def change_password(
        self, login: Login, password_hash: str, hash_: bytes, lifetime: dt.timedelta
    ) -> dt.datetime | None:
        """Give the user another password, revoke all their tokens, and keep a refresh token of the next generation.

        Returns when that expires; None if the password has changed since `login` was read. Raises OrderError (Fenced,
        OutcomeUnknown); with any other error nothing has changed.
        """
        owner = WriteOwner(WriteKind.PASSWORD, login.user_id)
        rows = await self._write(owner, _CHANGE, login.user_id, login.generation, password_hash, hash_, lifetime)
        return rows[0]["expires_at"] if rows else None

    async def revoke(self, login: Login) -> None:
        """Revoke all tokens of a user. Raises OrderError (Fenced, OutcomeUnknown)."""
        await self._write(WriteOwner(WriteKind.REVOCATION, login.user_id), _REVOKE, login.user_id)

    async def _login(self, owner: Shared, statement: str, key: str | int) -> Login | None:
        async def read(connection: "asyncpg.Connection") -> Login | None:
            row = await connection.fetchrow(statement, key)
            return None if row is None else Login(*row.values())

        return await self._logins.run((owner, key), read, owner)

    async def _write(self, owner: WriteOwner, statement: str, *arguments: object) -> list["asyncpg.Record"]:
        try:
            return await self._writes.run(owner, statement, *arguments)
        except UnconfirmedError as error:
            raise OrderError(OrderErrorReason.OUTCOME_UNKNOWN, _UNCONFIRMED) from error
