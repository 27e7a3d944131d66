"""The API's own description (OpenAPI 3.1), made from the structs that are really read and sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from rtx_engine.api import request_bodies, response_bodies
from rtx_engine.api.errors import ErrorBody
from rtx_engine.domain.order_response import OrderResponse

Json = dict[str, Any]

_DESCRIPTION = (
    "Trading: log in, read prices, place market orders. Amounts, prices and quantities are decimal numbers in strings. "
    "An order that was answered with 200 or 201 is in the database. Every error says a reason and one sentence."
)
_ERRORS = {
    400: "The request is wrong; the sentence says where.",
    401: "No valid token.",
    403: "The token does not allow this.",
    404: "There is no such thing.",
    409: "The id or name is taken by something else.",
    422: "Recorded as rejected; `order` is the record.",
    503: "Not now; nothing is lost by asking again, with the same client_order_id.",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter in the path or the query."""

    name: str
    description: str
    kind: str = "string"
    place: str = "query"


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
        "A token for a username and a password.",
        {200: ("The token.", response_bodies.Login)},
        errors=(400, 401, 503),
        body=request_bodies.LoginRequest,
        example={"username": "alice", "password": "correct horse"},
        public=True,
    ),
    Operation(
        "post",
        "/api/admin/accounts",
        "Open an account; the administrator only.",
        {201: ("The account.", response_bodies.AccountResponse)},
        errors=(400, 401, 403, 409, 503),
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
        errors=(401, 403, 503),
    ),
    Operation(
        "get",
        "/api/symbols",
        "What can be traded, with the newest prices.",
        {200: ("The symbols.", response_bodies.Symbols)},
        public=True,
    ),
    Operation(
        "post",
        "/api/orders/market",
        "Buy or sell at the current price.",
        {
            200: ("This client_order_id was answered before: the same answer again.", OrderResponse),
            201: ("Filled.", OrderResponse),
            422: (_ERRORS[422], response_bodies.Rejection),
        },
        errors=(400, 401, 403, 409, 503),
        body=request_bodies.MarketOrderRequest,
        example=_ORDER_EXAMPLE,
    ),
    Operation(
        "get",
        "/api/orders",
        "Orders, newest first.",
        {200: ("A page of orders.", response_bodies.Orders)},
        errors=(400, 401, 403, 503),
        parameters=(
            Parameter("limit", "1 to 500; 50 if not given", "integer"),
            Parameter("before", "next_before of the page before", "integer"),
            Parameter("symbol", "only orders in this symbol"),
        ),
    ),
    Operation(
        "get",
        "/api/orders/{client_order_id}",
        "One order: what to ask when an answer got lost.",
        {200: ("The order.", OrderResponse)},
        errors=(401, 403, 404, 503),
        parameters=(Parameter("client_order_id", "as the client gave it", place="path"),),
    ),
    Operation(
        "get",
        "/api/positions",
        "Open positions.",
        {200: ("The positions.", response_bodies.Positions)},
        errors=(401, 403, 503),
    ),
    Operation(
        "get",
        "/ws",
        "WebSocket: hello, then ticks and the account's own order events, numbered without a gap.",
        {101: ("The connection is a WebSocket now.", None)},
        errors=(401, 503),
        parameters=(
            Parameter("symbols", "EURUSD,XAUUSD: ticks of these"),
            Parameter("since", "resume: own events after this sequence, each exactly once", "integer"),
            Parameter("token", "instead of the Authorization header, for browsers"),
        ),
        websocket=True,
    ),
    Operation("get", "/health", "The process lives.", {200: ("It does.", response_bodies.Health)}, public=True),
    Operation(
        "get",
        "/ready",
        "Whether the pod takes requests.",
        {200: ("It does.", response_bodies.Health)},
        errors=(503,),
        public=True,
    ),
)


def document(version: str) -> Json:
    """The OpenAPI document."""
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
        "info": {"title": "RTX trading engine", "version": version, "description": _DESCRIPTION},
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
                "schema": {"type": parameter.kind},
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
