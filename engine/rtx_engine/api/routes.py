"""The routes that are not hot, on Starlette. Bodies have been read before they get here."""

from collections.abc import Awaitable, Callable
from decimal import Decimal, InvalidOperation
from importlib import resources

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route, Router

from rtx_engine.api.context import Context
from rtx_engine.api.errors import ApiError, ErrorReason, bad_request, sentence, unauthorized
from rtx_engine.api.openapi import document
from rtx_engine.api.request_bodies import AccountRequest, LoginRequest, decode
from rtx_engine.api.response_bodies import AccountResponse, Login, Orders, SymbolResponse, Symbols
from rtx_engine.api.tokens import Role
from rtx_engine.domain import accounts
from rtx_engine.domain.order_response import order_response
from rtx_engine.domain.symbols import SYMBOLS
from rtx_engine.store import UsernameTakenError

ADMIN = "admin"
PAGE = 50
LARGEST_PAGE = 500
SHORTEST_PASSWORD = 8
LONGEST_PASSWORD = 1024


class ColdRoutes:
    """One method a route; each raises ApiError, or what the store raises."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._openapi = msgspec.json.encode(document(context.version))
        self._docs = resources.files("rtx_engine.api").joinpath("static", "docs.html").read_bytes()

    async def login(self, request: Request) -> Response:
        """A token for a username and a password."""
        body = decode(await request.body(), LoginRequest)
        context = self._context
        account_id: int | None = None
        if body.username == ADMIN:
            stored: str | None = context.settings.admin_password_hash
        else:
            credentials = await context.store.reader.credentials(body.username)
            stored = credentials.password_hash if credentials else None
            account_id = credentials.account_id if credentials else None
        if not await context.passwords.verify(stored, body.password):
            raise unauthorized("The username or the password is wrong.")
        role = Role.TRADER if account_id is not None else Role.ADMIN
        token, expires_at = context.tokens.issue(account_id, role)
        return _json(Login(token, ADMIN if account_id is None else account_id, expires_at))

    async def create_account(self, request: Request) -> Response:
        """Open an account; the administrator only."""
        self._context.require_admin(request.scope)
        body = decode(await request.body(), AccountRequest)
        if not SHORTEST_PASSWORD <= len(body.password) <= LONGEST_PASSWORD:
            raise bad_request(f"password must have {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters.")
        if body.username == ADMIN:
            raise bad_request("username 'admin' is the administrator's own: choose another one.")
        wanted = accounts.NewAccount(
            username=body.username,
            password_hash="",
            balance=_amount(body.balance),
            leverage=body.leverage,
            currency=body.currency,
        )
        try:
            accounts.check(wanted)  # before the hash, which costs a thousand times as much
            password_hash = await self._context.passwords.hash(body.password)
            account = await self._context.store.accounts.create(
                msgspec.structs.replace(wanted, password_hash=password_hash)
            )
        except accounts.InvalidAccountError as error:
            raise bad_request(sentence(error)) from error
        except UsernameTakenError as error:
            raise ApiError(
                409, ErrorReason.CONFLICT, f"username {body.username!r} is taken: choose another one."
            ) from error
        return _json(AccountResponse.of(account), 201)

    async def account(self, request: Request) -> Response:
        """The account that asks."""
        account = await self._context.store.reader.account(self._context.account_id(request.scope))
        if account is None:
            raise unauthorized("The account of this token does not exist any more: log in again.")
        return _json(AccountResponse.of(account))

    async def symbols(self, _request: Request) -> Response:
        """What can be traded, at which price. Public."""
        quotes = self._context.source.quotes()
        return _json(Symbols([SymbolResponse.of(symbol, quotes.get(symbol.name)) for symbol in SYMBOLS.values()]))

    async def orders(self, request: Request) -> Response:
        """The account's orders, newest first, a page at a time."""
        account_id = self._context.account_id(request.scope)
        limit = _limit(request.query_params.get("limit"))
        before = _number("before", request.query_params.get("before"))
        symbol = _symbol(request.query_params.get("symbol"))
        found = await self._context.store.reader.orders(account_id, limit, before, symbol)
        page = [order_response(execution) for execution in found]
        return _json(Orders(page, page[-1].sequence if len(page) == limit else None))

    async def order(self, request: Request) -> Response:
        """One order, by the id that the client gave it."""
        account_id = self._context.account_id(request.scope)
        client_order_id = request.path_params["client_order_id"]
        execution = await self._context.store.reader.order(account_id, client_order_id)
        if execution is None:
            raise ApiError(
                404,
                ErrorReason.NOT_FOUND,
                f"No order {client_order_id[:64]!r} is known on this account: it was not placed.",
            )
        return _json(order_response(execution))

    async def openapi(self, _request: Request) -> Response:
        """This API, described."""
        return Response(self._openapi, media_type="application/json")

    async def docs(self, _request: Request) -> Response:
        """The same for humans, without anything from elsewhere."""
        policy = "default-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
        return HTMLResponse(self._docs, headers={"content-security-policy": policy})


def cold_routes(context: Context) -> Router:
    """The routes as an ASGI application that raises its errors (starlette's HTTPException among them)."""
    cold = ColdRoutes(context)
    table: list[tuple[str, str, Callable[[Request], Awaitable[Response]]]] = [
        ("POST", "/api/login", cold.login),
        ("POST", "/api/admin/accounts", cold.create_account),
        ("GET", "/api/account", cold.account),
        ("GET", "/api/symbols", cold.symbols),
        ("GET", "/api/orders", cold.orders),
        ("GET", "/api/orders/{client_order_id:path}", cold.order),
        ("GET", "/openapi.json", cold.openapi),
        ("GET", "/docs", cold.docs),
    ]
    return Router([Route(path, handler, methods=[method]) for method, path, handler in table], redirect_slashes=False)


def _json(value: msgspec.Struct, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def _amount(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise bad_request(f"balance {text[:32]!r} is no number: give {AccountRequest.HINTS['balance']}.") from None


def _limit(text: str | None) -> int:
    limit = _number("limit", text) or PAGE
    if limit > LARGEST_PAGE:
        raise bad_request(f"limit is {limit}: give a whole number from 1 to {LARGEST_PAGE}.")
    return limit


def _symbol(text: str | None) -> str | None:
    if text is not None and text not in SYMBOLS:
        raise bad_request(f"symbol is {text[:32]!r}: give one of {', '.join(SYMBOLS)}.")
    return text


def _number(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18 and int(text) > 0):
        raise bad_request(f"{name} is {text[:32]!r}: give a whole number above 0.")
    return int(text)
