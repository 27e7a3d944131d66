"""All other routes, on Starlette. The request body has been read before."""

import datetime as dt
from collections.abc import Awaitable, Callable
from importlib import resources

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route, Router

from rtx_engine.api.context import Context
from rtx_engine.api.errors import ApiError, ErrorDetail, ErrorReason, bad_request, sentence, unauthorized
from rtx_engine.api.login import ADMIN, LoginRoutes, admin_caller, check_new_password
from rtx_engine.api.openapi import document
from rtx_engine.api.query import Query
from rtx_engine.api.request_bodies import AccountRequest, decode
from rtx_engine.api.response_bodies import AccountResponse, Events, NoOrder, Orders, SymbolResponse, Symbols
from rtx_engine.api.transfers import TransferRoutes
from rtx_engine.domain import accounts, grammar
from rtx_engine.domain.events import message
from rtx_engine.domain.order_response import order_response
from rtx_engine.domain.orders import Execution
from rtx_engine.domain.symbols import SYMBOLS
from rtx_engine.store import NotPlaced, UsernameTakenError

DEFAULT_PAGE_ORDERS = 50
MAX_PAGE_ORDERS = 500
DEFAULT_PAGE_EVENTS = 100
MAX_PAGE_EVENTS = 500


class ColdRoutes:
    """One method per route. Each raises ApiError and the errors of the store."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._openapi = msgspec.json.encode(document(context.version, context.settings.broker_name))
        self._docs = resources.files("rtx_engine.api").joinpath("static", "docs.html").read_bytes()

    async def create_account(self, request: Request) -> Response:
        """Open an account. For the administrator only."""
        self._context.require_admin(request.scope)
        body = decode(await request.body(), AccountRequest)
        check_new_password("password", body.password)
        if body.username == ADMIN:
            raise bad_request("username 'admin' is reserved for the administrator: choose another one.")
        try:
            new_account = accounts.new_account(
                body.username, balance=body.balance, leverage=body.leverage, currency=body.currency
            )
        except accounts.InvalidAccountError as error:
            raise bad_request(sentence(error)) from error
        caller = admin_caller(self._context.client_address(request.scope))
        password_hash = await self._context.passwords.hash(body.password, caller)
        try:
            account = await self._context.store.accounts.create(
                msgspec.structs.replace(new_account, password_hash=password_hash)
            )
        except UsernameTakenError as error:
            raise ApiError(
                409, ErrorReason.CONFLICT, f"username {body.username!r} is taken: choose another one."
            ) from error
        return _json(AccountResponse.of(account), 201)

    async def account(self, request: Request) -> Response:
        """The account of the token."""
        account = await self._context.store.reader.account(self._context.account_id(request.scope))
        if account is None:
            raise unauthorized("The account of this token does not exist: log in again.")
        return _json(AccountResponse.of(account))

    async def symbols(self, _request: Request) -> Response:
        """The symbols and their newest prices. Public."""
        quotes = self._context.source.quotes()
        return _json(Symbols([SymbolResponse.of(symbol, quotes.get(symbol.name)) for symbol in SYMBOLS.values()]))

    async def orders(self, request: Request) -> Response:
        """A page of the account's orders, newest first."""
        account_id = self._context.account_id(request.scope)
        query = Query(request.scope["query_string"])
        limit = query.whole_number("limit", DEFAULT_PAGE_ORDERS, minimum=1, maximum=MAX_PAGE_ORDERS)
        before = query.whole_number("before", None, minimum=1)
        symbol = _symbol(query.text("symbol"))
        found = await self._context.store.reader.orders(account_id, limit, before, symbol)
        page = [order_response(execution) for execution in found]
        return _json(Orders(page, page[-1].sequence if len(page) == limit else None))

    async def order(self, request: Request) -> Response:
        """One order, by its client_order_id."""
        account_id = self._context.account_id(request.scope)
        client_order_id: str = request.path_params["client_order_id"]
        found: Execution | NotPlaced = NotPlaced(dt.datetime.now(dt.UTC))
        if grammar.is_client_order_id(client_order_id):  # else no order can have it
            found = await self._context.store.lookup.find(account_id, client_order_id)
        if isinstance(found, NotPlaced):
            return _json(_no_order(client_order_id, found.as_of), 404)
        return _json(order_response(found))

    async def events(self, request: Request) -> Response:
        """A page of the account's events, oldest first: what a stream would replay."""
        account_id = self._context.account_id(request.scope)
        query = Query(request.scope["query_string"])
        since = query.whole_number("since", 0)
        limit = query.whole_number("limit", DEFAULT_PAGE_EVENTS, minimum=1, maximum=MAX_PAGE_EVENTS)
        found = await self._context.store.reader.events_since(account_id, since, limit, owner=account_id)
        page = [msgspec.Raw(message(event)) for event in found]
        return _json(Events(page, found[-1].sequence if len(found) == limit else None))

    async def openapi(self, _request: Request) -> Response:
        """The OpenAPI document."""
        return Response(self._openapi, media_type="application/json")

    async def docs(self, _request: Request) -> Response:
        """The API documentation as a page that loads nothing from other sites."""
        policy = "default-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
        return HTMLResponse(self._docs, headers={"content-security-policy": policy})


def cold_routes(context: Context) -> Router:
    """The routes as an ASGI application that raises its errors, also Starlette's HTTPException."""
    cold, login, transfers = ColdRoutes(context), LoginRoutes(context), TransferRoutes(context)
    table: list[tuple[str, str, Callable[[Request], Awaitable[Response]]]] = [
        ("POST", "/api/login", login.login),
        ("POST", "/api/refresh", login.refresh),
        ("POST", "/api/password", login.change_password),
        ("POST", "/api/admin/accounts", cold.create_account),
        ("POST", "/api/admin/accounts/{account_id}/deposits", transfers.deposit),
        ("POST", "/api/admin/accounts/{account_id}/withdrawals", transfers.withdraw),
        ("POST", "/api/admin/accounts/{account_id}/revoke", login.revoke),
        ("GET", "/api/account", cold.account),
        ("GET", "/api/events", cold.events),
        ("GET", "/api/symbols", cold.symbols),
        ("GET", "/api/orders", cold.orders),
        ("GET", "/api/orders/{client_order_id:path}", cold.order),
        ("GET", "/openapi.json", cold.openapi),
        ("GET", "/docs", cold.docs),
    ]
    return Router([Route(path, handler, methods=[method]) for method, path, handler in table], redirect_slashes=False)


def _no_order(client_order_id: str, as_of: dt.datetime) -> NoOrder:
    shown = msgspec.json.decode(msgspec.json.encode(as_of), type=str)
    sentence = (
        f"This account had no order {client_order_id[:64]!a} at {shown}: only a request still under way whose "
        "valid_until is later can place it; send it again with the same client_order_id to place it or get its outcome."
    )
    return NoOrder(ErrorDetail(ErrorReason.NOT_FOUND, sentence), as_of)


def _json(value: msgspec.Struct, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def _symbol(text: str | None) -> str | None:
    if text is not None and text not in SYMBOLS:
        raise bad_request(f"symbol is {text[:32]!a}: give one of {', '.join(SYMBOLS)}.")
    return text
