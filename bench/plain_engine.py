"""A plain engine: Starlette and one transaction per order. The comparison for the engine's batching.

It uses the same statements, fence and rules as the engine.
"""

import asyncio
import datetime as dt
import os

import asyncpg  # type: ignore[import-untyped]  # ships no types
import msgspec
import uuid_utils.compat
import uvicorn
import uvloop
from order_servers import ENGINE
from rtx_engine.api.keys import SigningKeys
from rtx_engine.api.request_bodies import MarketOrderRequest
from rtx_engine.api.tokens import Tokens
from rtx_engine.config import Settings
from rtx_engine.domain.access import TokenRules
from rtx_engine.domain.execution import Executor
from rtx_engine.domain.order_response import order_response
from rtx_engine.domain.orders import market_order
from rtx_engine.feed.source import SimulatedSource
from rtx_engine.store import statements
from rtx_engine.store.columns import executions_from, portfolios_from, write_arguments
from rtx_engine.store.errors import OrderError
from rtx_engine.store.plan import plan_batch
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

CONNECTIONS = 10
RULES = TokenRules(ENGINE, 0.0)
EPOCH = 1
BEGIN = "BEGIN; SELECT rtx_operator.assert_executor()"  # the fence before the account, as the engine takes them
LOCK = "SELECT FROM accounts WHERE id = $1 FOR UPDATE"  # as one usually does: whoever comes second waits


class PlainEngine:
    """Serves orders, each in one transaction."""

    def __init__(self, pool: asyncpg.Pool, settings: Settings) -> None:
        self._pool = pool
        self._executor = Executor(settings.colour.value, EPOCH)
        self._source = SimulatedSource(settings.simulator_seed)
        self._tokens = Tokens(SigningKeys(settings.jwt_secrets), lambda: RULES)

    async def place(self, request: Request) -> Response:
        claims = self._tokens.verify(request.headers["authorization"].removeprefix("Bearer "))
        if claims.account_id is None:
            raise HTTPException(403)
        wanted = msgspec.json.decode(await request.body(), type=MarketOrderRequest)
        order = market_order(
            uuid_utils.compat.uuid7(),
            claims.account_id,
            wanted.client_order_id,
            symbol=wanted.symbol,
            side=wanted.side,
            quantity=wanted.quantity,
        )
        async with self._pool.acquire() as connection:
            await connection.execute(BEGIN)
            await connection.execute(LOCK, order.account_id)
            portfolios = portfolios_from(await connection.fetch(statements.READ, [order.account_id]))
            keys = [order.account_id], [order.client_order_id]
            placed = executions_from(await connection.fetch(statements.PLACED, *keys))
            now = dt.datetime.now(dt.UTC)
            plan = plan_batch([order], portfolios, self._source.quotes(), self._executor, now, placed.values())
            if plan.executions:
                await connection.fetch(statements.WRITE, *write_arguments(plan))
            await connection.execute("COMMIT")
        outcome = plan.outcomes[0]
        if isinstance(outcome, OrderError):
            raise HTTPException(400, str(outcome))
        status = 200 if outcome.replayed else 201
        return Response(msgspec.json.encode(order_response(outcome.execution)), status, media_type="application/json")


async def serve() -> None:
    settings = Settings.from_environment(os.environ)
    database = settings.database
    session = {"application_name": "plain", "rtx.colour": settings.colour.value, "rtx.epoch": str(EPOCH)}
    async with asyncpg.create_pool(
        host=database.host,
        port=database.port,
        user=database.user,
        password=database.password,
        database=database.name,
        min_size=CONNECTIONS,
        max_size=CONNECTIONS,
        server_settings=session | {"enable_seqscan": "off", "jit": "off"},
    ) as pool:
        app = Starlette(routes=[Route("/api/orders/market", PlainEngine(pool, settings).place, methods=["POST"])])
        config = uvicorn.Config(app, port=settings.port, http="httptools", log_config=None, access_log=False)
        await uvicorn.Server(config).serve()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
