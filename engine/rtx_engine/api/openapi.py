"""The OpenAPI 3.1 document, generated from the structs that the API parses and sends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from rtx_engine.api import request_bodies, response_bodies
from rtx_engine.api.errors import ErrorBody
from rtx_engine.domain import grammar
from rtx_engine.domain.entries import EntryResponse
from rtx_engine.domain.order_response import OrderResponse
from rtx_engine.domain.symbols import SYMBOLS

Json = dict[str, Any]

_DESCRIPTION = (
    "Trading: log in, read prices, place market orders. Amounts, prices and quantities are decimal numbers in strings. "
    "An order answered with 200 or 201 is in the database. Every error has a reason and a message of one sentence."
)
_ERRORS = {
    400: "The request is not valid; the message names the field.",
    401: "The token is missing or not valid.",
    403: "The token does not permit this.",
    404: "Not found.",
    409: "The id or name is already in use.",
    412: "valid_until is over; the order was not placed, and this request never places it.",
    413: "The body is too large.",
    422: "The order was rejected and recorded; `order` is the record.",
    429: "Too many; try again after the seconds in Retry-After.",
    503: "Temporarily unavailable; it is safe to retry, with the same client_order_id or id.",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A path or query parameter."""

    name: str
    description: str
    kind: str = "string"
    place: str = "query"
    limits: Json = field(default_factory=dict)  # keywords of JSON Schema


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    summary: str
    responses: Mapping[int, tuple[str, type[msgspec.Struct] | None]]
    errors: Sequence[int] = ()
    body: type[request_bodies.Request] | None = None
    example: Json = field(default_factory=dict)
    parameters: Sequence[Parameter] = ()
    public: bool = False
    websocket: bool = False


_TRANSFER_RESPONSES: Mapping[int, tuple[str, type[msgspec.Struct] | None]] = {
    200: ("This id was entered before; the response is the same as then.", EntryResponse),
    201: ("Entered; the response is the entry.", EntryResponse),
    422: ("The account does not take it. Nothing was recorded: the same id may be tried again.", ErrorBody),
}
_TRANSFER_ERRORS = (400, 401, 403, 404, 409, 413, 429, 503)
_ACCOUNT_ID = Parameter(
    "account_id",
    "the number of the account",
    "integer",
    place="path",
    limits={"minimum": 1, "maximum": grammar.MAX_SEQUENCE},
)

_ORDER_EXAMPLE = {"client_order_id": "my-order-1", "symbol": "EURUSD", "side": "buy", "quantity": "0.10"}

OPERATIONS: Sequence[Operation] = (
    Operation(
        "post",
        "/api/login",
        "Log in: get a token for a username and a password.",
        {200: ("The token.", response_bodies.LoginResponse)},
        errors=(400, 401, 413, 429, 503),
        body=request_bodies.LoginRequest,
        example={"username": "alice", "password": "correct horse"},
        public=True,
    ),
    Operation(
        "post",
        "/api/refresh",
        "Get another token for a refresh token, before the token expires.",
        {200: ("The token, and the same refresh token.", response_bodies.LoginResponse)},
        errors=(400, 401, 413, 429, 503),
        body=request_bodies.RefreshRequest,
        example={"refresh_token": "AAAAAAAAAAeuUsntMfSXtyrcxnaZaG2BfMLilxNOsLQzgeEts-ytVPK-6mqqOZ8qtb1fMNtjGy0"},
        public=True,
    ),
    Operation(
        "post",
        "/api/password",
        "Change the password. All tokens and streams of the account end; the answer has new tokens.",
        {200: ("The tokens.", response_bodies.LoginResponse)},
        errors=(400, 401, 403, 413, 429, 503),
        body=request_bodies.PasswordRequest,
        example={"password": "correct horse", "new_password": "battery staple"},
    ),
    Operation(
        "post",
        "/api/admin/accounts",
        "Open an account. For the administrator only.",
        {201: ("The account.", response_bodies.AccountResponse)},
        errors=(400, 401, 403, 409, 413, 429, 503),
        body=request_bodies.AccountRequest,
        example={
            "username": "alice",
            "password": "correct horse",
            "currency": "USD",
            "balance": "10000.00",
            "leverage": 100,
        },
    ),
    Operation(
        "post",
        "/api/admin/accounts/{account_id}/deposits",
        "Deposit money, once for each id. For the administrator only.",
        _TRANSFER_RESPONSES,
        errors=_TRANSFER_ERRORS,
        body=request_bodies.TransferRequest,
        example={"id": "bank-2026-11-26-1", "amount": "250.00", "reason": "bank transfer"},
        parameters=(_ACCOUNT_ID,),
    ),
    Operation(
        "post",
        "/api/admin/accounts/{account_id}/withdrawals",
        "Withdraw money that no open position needs, once for each id. For the administrator only.",
        _TRANSFER_RESPONSES,
        errors=_TRANSFER_ERRORS,
        body=request_bodies.TransferRequest,
        example={"id": "payout-2026-11-26-1", "amount": "100.00", "reason": "payout"},
        parameters=(_ACCOUNT_ID,),
    ),
    Operation(
        "post",
        "/api/admin/accounts/{account_id}/revoke",
        "End all tokens and streams of an account. For the administrator only.",
        {200: ("They have ended.", response_bodies.Revoked)},
        errors=(401, 403, 404, 413, 429, 503),
        parameters=(_ACCOUNT_ID,),
    ),
    Operation(
        "get",
        "/api/account",
        "The account of the token.",
        {200: ("The account.", response_bodies.AccountResponse)},
        errors=(401, 403, 429, 503),
    ),
    Operation(
        "get",
        "/api/symbols",
        "All symbols with their newest prices.",
        {200: ("The symbols.", response_bodies.Symbols)},
        errors=(429, 503),
        public=True,
    ),
    Operation(
        "post",
        "/api/orders/market",
        "Buy or sell at the current price.",
        {
            200: ("This client_order_id was executed before; the response is the same as then.", OrderResponse),
            201: ("Filled.", OrderResponse),
            422: (_ERRORS[422], response_bodies.Rejection),
        },
        errors=(400, 401, 403, 404, 409, 412, 413, 429, 503),
        body=request_bodies.MarketOrderRequest,
        example=_ORDER_EXAMPLE,
    ),
    Operation(
        "get",
        "/api/orders",
        "Orders, newest first.",
        {200: ("A page of orders.", response_bodies.Orders)},
        errors=(400, 401, 403, 429, 503),
        parameters=(
            Parameter("limit", "page size; default 50", "integer", limits={"minimum": 1, "maximum": 500}),
            Parameter(
                "before",
                "next_before of the previous page; default: start with the newest",
                "integer",
                limits={"minimum": 1, "maximum": grammar.MAX_SEQUENCE},
            ),
            Parameter("symbol", "only orders in this symbol; default: all", limits={"enum": list(SYMBOLS)}),
        ),
    ),
    Operation(
        "get",
        "/api/orders/{client_order_id}",
        "One order, for example after a lost response.",
        {
            200: ("The order.", OrderResponse),
            404: (
                "Not placed as of `as_of`. That is final for requests whose valid_until is earlier; another one that "
                "is still under way may place it, and to send it again tells.",
                response_bodies.NoOrder,
            ),
        },
        errors=(401, 403, 429, 503),
        parameters=(Parameter("client_order_id", "the client_order_id of the order", place="path"),),
    ),
    Operation(
        "get",
        "/api/positions",
        "Open positions.",
        {200: ("The positions.", response_bodies.Positions)},
        errors=(401, 403, 429, 503),
    ),
    Operation(
        "get",
        "/api/events",
        "The account's events, oldest first, in pages: what a stream does not replay because it is too much.",
        {200: ("A page of events.", response_bodies.Events)},
        errors=(400, 401, 403, 429, 503),
        parameters=(
            Parameter(
                "since",
                "next_since of the previous page, or the sequence of the last event that you have; default: 0",
                "integer",
                limits={"minimum": 0, "maximum": grammar.MAX_SEQUENCE},
            ),
            Parameter("limit", "page size; default 100", "integer", limits={"minimum": 1, "maximum": 500}),
        ),
    ),
    Operation(
        "get",
        "/ws",
        "WebSocket: a hello, then ticks and the account's events (orders, deposits, withdrawals), numbered without a "
        "gap. Whoever cannot send the Authorization header sends "
        '{"type": "authenticate", "token": "…"} as the first message. The stream ends with its token (close code '
        "4401), unless the same message has brought another one.",
        {101: ("Switched to WebSocket.", None)},
        errors=(400, 401, 429, 503),
        parameters=(
            Parameter("symbols", "symbols to send ticks of, like EURUSD,XAUUSD; default: none"),
            Parameter(
                "since",
                "resume: send the events after this sequence, each exactly once; default: new events only",
                "integer",
                limits={"minimum": 0, "maximum": grammar.MAX_SEQUENCE},
            ),
        ),
        websocket=True,
    ),
    Operation(
        "get",
        "/health",
        "Liveness of the process.",
        {200: ("The process is alive.", response_bodies.Health)},
        public=True,
    ),
    Operation(
        "get",
        "/ready",
        "Readiness of the pod.",
        {200: ("The pod accepts requests.", response_bodies.Health)},
        errors=(503,),
        public=True,
    ),
)


def document(version: str, broker: str) -> Json:
    """The OpenAPI document of `version`, under the name of `broker`."""
    structs: list[type[msgspec.Struct]] = [ErrorBody]
    for operation in OPERATIONS:
        structs += [struct for _, struct in operation.responses.values() if struct is not None]
        if operation.body is not None:
            structs.append(operation.body)
    _, schemas = msgspec.json.schema_components(structs, ref_template="#/components/schemas/{name}")
    for operation in OPERATIONS:
        if operation.body is not None:
            for name, hint in operation.body.HINTS.items():
                schemas[operation.body.__name__]["properties"][name]["description"] = hint
    paths: dict[str, Json] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": broker, "version": version, "description": _DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
        "security": [{"token": []}],
    }


def _operation(operation: Operation) -> Json:
    responses: dict[str, Json] = {}
    for status, (description, struct) in operation.responses.items():
        responses[str(status)] = {"description": description, **_content(struct)}
    for status in operation.errors:
        responses[str(status)] = {"description": _ERRORS[status], **_content(ErrorBody)}
    described: Json = {"summary": operation.summary, "responses": dict(sorted(responses.items()))}
    if operation.parameters:
        described["parameters"] = [
            {
                "name": parameter.name,
                "in": parameter.place,
                "required": parameter.place == "path",
                "description": parameter.description,
                "schema": {"type": parameter.kind, **parameter.limits},
            }
            for parameter in operation.parameters
        ]
    if operation.body is not None:
        content = _content(operation.body)
        content["content"]["application/json"]["example"] = operation.example
        described["requestBody"] = {"required": True, **content}
    if operation.public:
        described["security"] = []
    if operation.websocket:
        described["x-websocket"] = True
    return described


def _content(struct: type[msgspec.Struct] | None) -> Json:
    if struct is None:
        return {}
    return {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{struct.__name__}"}}}}
