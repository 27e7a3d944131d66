"""The OpenAPI 3.1 document, generated from the structs that the API parses and sends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from rtx_engine.api import request_bodies, response_bodies
from rtx_engine.api.errors import ErrorBody
from rtx_engine.domain import grammar
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
    413: "The body is too large.",
    422: "The order was rejected and recorded; `order` is the record.",
    429: "Too many; try again after the seconds in Retry-After.",
    503: "Temporarily unavailable; it is safe to retry, an order with the same client_order_id.",
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


_ORDER_EXAMPLE = {"client_order_id": "my-order-1", "symbol": "EURUSD", "side": "buy", "quantity": "0.10"}

OPERATIONS: Sequence[Operation] = (
    Operation(
        "post",
        "/api/login",
        "Log in: get a token for a username and a password.",
        {200: ("The token.", response_bodies.Login)},
        errors=(400, 401, 413, 429, 503),
        body=request_bodies.LoginRequest,
        example={"username": "alice", "password": "correct horse"},
        public=True,
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
        errors=(400, 401, 403, 404, 409, 413, 503),
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
        {200: ("The order.", OrderResponse)},
        errors=(401, 403, 404, 429, 503),
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
        "/ws",
        "WebSocket: a hello, then ticks and the account's order events, numbered without a gap.",
        {101: ("Switched to WebSocket.", None)},
        errors=(400, 401, 503),
        parameters=(
            Parameter("symbols", "symbols to send ticks of, like EURUSD,XAUUSD; default: none"),
            Parameter(
                "since",
                "resume: send the events after this sequence, each exactly once; default: new events only",
                "integer",
                limits={"minimum": 0, "maximum": grammar.MAX_SEQUENCE},
            ),
            Parameter("token", "for browsers, instead of the Authorization header"),
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
