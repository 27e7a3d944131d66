"""Routes that give and take access: login, refresh, a new password, revocation."""

import datetime as dt
from dataclasses import dataclass

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from rtx_engine.api.context import Context
from rtx_engine.api.errors import ApiError, ErrorReason, bad_request, unauthorized
from rtx_engine.api.logins import wrong_credentials
from rtx_engine.api.passwords import Caller
from rtx_engine.api.refresh_tokens import kept_as
from rtx_engine.api.request_bodies import LoginRequest, PasswordRequest, RefreshRequest, decode
from rtx_engine.api.response_bodies import LoginResponse, Revoked
from rtx_engine.domain import accounts, grammar

ADMIN = "admin"
MIN_PASSWORD_CHARACTERS = 8
MAX_PASSWORD_CHARACTERS = 1024
REFRESH_LIFETIME = dt.timedelta(hours=12)  # a trading day; then whoever it is logs in again


class LoginRoutes:
    """One method per route. Each raises ApiError and the errors of the store."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def login(self, request: Request) -> Response:
        """A token for a username and a password."""
        body = decode(await request.body(), LoginRequest)
        context = self._context
        if not grammar.is_name(body.username) or len(body.password) > MAX_PASSWORD_CHARACTERS:
            raise wrong_credentials()  # no account can have these
        caller = await context.logins.caller(body.username, context.client_address(request.scope))
        with context.logins.place(caller):
            return await self._log_in(caller, body.password)

    async def _log_in(self, caller: Caller, password: str) -> Response:
        context = self._context
        if caller.username == ADMIN:
            await context.logins.check(caller, context.settings.admin_password_hash, password)
            token, expires_at = context.tokens.issue(None)
            return _json(LoginResponse(token, ADMIN, expires_at, None, None))
        login = await context.store.users.named(caller.username, known=caller.known)
        await context.logins.check(caller, login.password_hash if login else None, password)
        if login is None:
            raise wrong_credentials()
        return await self._open_session(login)

    async def refresh(self, request: Request) -> Response:
        """Another token for a refresh token. Reads only: a lost answer costs a repetition, and changes nothing."""
        body = decode(await request.body(), RefreshRequest)
        found = None
        account_id = self._context.refresh_tokens.account_of(body.refresh_token)
        if account_id is not None:
            found = await self._context.store.users.session(account_id, kept_as(body.refresh_token))
        if found is None:
            raise unauthorized("The refresh token has expired or was revoked: log in again at POST /api/login.")
        token, expires_at = self._context.tokens.issue(found.account_id, found.generation)
        return _json(LoginResponse(token, found.account_id, expires_at, body.refresh_token, found.expires_at))

    async def change_password(self, request: Request) -> Response:
        """Another password. All tokens and streams of the account end; the answer has new ones."""
        context = self._context
        account_id = context.account_id(request.scope)
        body = decode(await request.body(), PasswordRequest)
        check_new_password("new_password", body.new_password)
        if len(body.password) > MAX_PASSWORD_CHARACTERS:
            raise wrong_credentials()
        address = context.client_address(request.scope)
        with context.logins.holders_place(account_id, address):
            return await self._change_password(account_id, address, body)

    async def _change_password(self, account_id: int, address: str, body: PasswordRequest) -> Response:
        context = self._context
        if (login := await context.store.users.of_holder(account_id)) is None:
            raise unauthorized("The account of this token does not exist: log in again.")
        caller = await context.logins.caller(login.username, address, holds_token=True)
        await context.logins.check(caller, login.password_hash, body.password)
        password_hash = await context.passwords.hash(body.new_password, caller)
        # All that can fail comes before the change: after it nobody may be told that nothing has happened.
        session = self._session(msgspec.structs.replace(login, generation=login.generation + 1))
        refresh_hash = kept_as(session.refresh_token)
        ends = await context.store.users.change_password(login, password_hash, refresh_hash, REFRESH_LIFETIME)
        if ends is None:
            raise wrong_credentials()  # by another request, a moment ago
        return session.response(ends)

    async def revoke(self, request: Request) -> Response:
        """End all tokens and streams of an account. For the administrator only."""
        self._context.require_admin(request.scope)
        try:
            account_id = grammar.whole_number(request.path_params["account_id"], minimum=1)
        except grammar.GrammarError:
            account_id = None  # no account can have it
        login = None
        if account_id is not None:
            login = await self._context.store.users.of_account(account_id)
        if login is None:
            raise ApiError(404, ErrorReason.NOT_FOUND, "There is no such account: give the account_id of one.")
        await self._context.store.users.revoke(login)
        return _json(Revoked(login.account_id))

    async def _open_session(self, login: accounts.Login) -> Response:
        session = self._session(login)
        refresh_hash = kept_as(session.refresh_token)
        ends = await self._context.store.users.open_session(login, refresh_hash, REFRESH_LIFETIME)
        if ends is None:
            raise wrong_credentials()  # it was the password until a moment ago
        return session.response(ends)

    def _session(self, login: accounts.Login) -> "_Session":
        token, expires_at = self._context.tokens.issue(login.account_id, login.generation)
        return _Session(login.account_id, token, expires_at, self._context.refresh_tokens.issue(login.account_id))


@dataclass(frozen=True, slots=True, repr=False)  # no repr: it would log the tokens
class _Session:
    """What a login gives, once its refresh token is kept."""

    account_id: int
    token: str
    expires_at: dt.datetime
    refresh_token: str

    def response(self, refresh_expires_at: dt.datetime) -> Response:
        return _json(
            LoginResponse(self.token, self.account_id, self.expires_at, self.refresh_token, refresh_expires_at)
        )


def check_new_password(field: str, password: str) -> None:
    """Raises ApiError (400) unless it may become a password."""
    if not MIN_PASSWORD_CHARACTERS <= len(password) <= MAX_PASSWORD_CHARACTERS:
        raise bad_request(f"{field} must have {MIN_PASSWORD_CHARACTERS} to {MAX_PASSWORD_CHARACTERS} characters.")


def admin_caller(address: str) -> Caller:
    """The administrator, whose token was checked."""
    return Caller(ADMIN, address, known=False, holds_token=True)


def _json(value: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
