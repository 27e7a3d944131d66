"""Keeps the accounts of a run logged in: each gets another token before its own expires."""

import asyncio
import datetime as dt
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from .accounts import Account, Login
from .connection import Connection, RequestError, Response, Target
from .ledger import Failure, Kind, Lane, Record, Request

RENEWAL_MARGIN = dt.timedelta(minutes=5)  # before the token expires: long enough for an engine that is away
CHECK_INTERVAL_SECONDS = 1.0  # between checks for tokens to renew, and between attempts
REFRESH_PATH, LOGIN_PATH = "/api/refresh", "/api/login"
_NO_REFRESH = (401, 404)  # it has expired, or the release that answers knows of none: log in

_login = msgspec.json.Decoder(Login)


class Journal(Protocol):
    """The part of Recorder used here."""

    def clock(self) -> float: ...

    def record(self, record: Record) -> None: ...


class Session:
    """An account and its token of now."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self._on_renewal: list[Callable[[], None]] = []

    @property
    def account_id(self) -> str:
        return self.account.account_id

    @property
    def token(self) -> str:
        return self.account.token

    def on_renewal(self, callback: Callable[[], None]) -> None:
        """Call `callback` whenever there is another token."""
        self._on_renewal.append(callback)

    def is_due(self, now: dt.datetime) -> bool:
        """Whether the token is to be renewed. False for a token without an end."""
        expires_at = self.account.expires_at
        return expires_at is not None and now >= expires_at - RENEWAL_MARGIN

    def renew(self, login: Login) -> None:
        self.account = Account.of(login, self.account.username, self.account.password)
        for callback in self._on_renewal:
            callback()


class Sessions:
    """Renews the tokens of a run. What fails is in the ledger, like every request, and tried again."""

    def __init__(self, target: Target, sessions: Sequence[Session], journal: Journal) -> None:
        self._target = target
        self._sessions = sessions
        self._journal = journal

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            for session in self._sessions:
                if session.is_due(dt.datetime.now(dt.UTC)):
                    await self._renew(session)
            await asyncio.sleep(CHECK_INTERVAL_SECONDS)

    async def _renew(self, session: Session) -> None:
        account = session.account
        if account.refresh_token is not None:
            answer = await self._send(REFRESH_PATH, {"refresh_token": account.refresh_token}, expected=_NO_REFRESH)
            if answer is None or answer.status not in _NO_REFRESH:
                return self._take(session, answer)
        credentials = {"username": account.username, "password": account.password}
        return self._take(session, await self._send(LOGIN_PATH, credentials))

    def _take(self, session: Session, answer: Response | None) -> None:
        if answer is not None and answer.status == 200:
            session.renew(_login.decode(answer.body))

    async def _send(self, path: str, body: dict[str, str], expected: Sequence[int] = ()) -> Response | None:
        """One request, recorded; None without an answer. `expected`: statuses besides 200 that are no failure."""
        sent, answer, failure, detail = self._journal.clock(), None, None, ""
        try:
            connection = await Connection.open(self._target)
            try:
                answer = await connection.send(self._target.message("POST", path, body=msgspec.json.encode(body)))
            finally:
                connection.close()
        except RequestError as error:
            failure, detail = error.failure, error.detail
        if answer is not None and answer.status not in (200, *expected):
            failure = Failure.SERVER_ERROR if answer.status >= 500 else Failure.CLIENT_ERROR
            detail = answer.body[:100].decode(errors="replace")
        self._journal.record(
            Request(
                kind=Kind.SESSION,
                lane=Lane.NEW,
                due=sent,
                sent=sent,
                ended=self._journal.clock(),
                status=None if answer is None else answer.status,
                failure=failure,
                detail=detail,
                path=path,
                version=answer.version if answer else "",
            )
        )
        return answer
