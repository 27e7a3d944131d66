"""Clients of engines whose fence moves, for the tests of forwarding."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from yarl import URL

TIMEOUT_SECONDS = 20.0
PEER = {"x-rtx-peer": "peer"}
ORDER = {"symbol": "EURUSD", "side": "buy", "quantity": "0.01"}


@dataclass(frozen=True)
class Got:
    """An answer."""

    status: int
    body: Any
    headers: Any


@dataclass
class Trader:
    """One account, at any pod; each request on a connection of its own."""

    session: aiohttp.ClientSession
    headers: dict[str, str] = field(default_factory=dict)

    async def call(self, engine: Any, method: str, path: str, body: Any = None, **headers: str) -> Got:
        url = URL(engine.url + path, encoded=True)
        async with self.session.request(method, url, json=body, headers=self.headers | headers) as answer:
            text = await answer.text()
            return Got(answer.status, json.loads(text) if text else None, answer.headers)

    async def order(self, engine: Any, client_order_id: str, **headers: str) -> Got:
        body = {**ORDER, "client_order_id": client_order_id}
        return await self.call(engine, "POST", "/api/orders/market", body, **headers)

    async def log_in(self, engine: Any, username: str, password: str) -> "Trader":
        got = await self.call(engine, "POST", "/api/login", {"username": username, "password": password})
        assert got.status == 200, got
        return Trader(self.session, {"authorization": f"Bearer {got.body['token']}"})

    async def open(self, engine: Any, username: str) -> "Trader":
        """The trader of an account that is opened for this."""
        admin = await self.log_in(engine, "admin", "admin-password")
        account = {"username": username, "password": "password", "balance": "1000000000", "leverage": 100}
        got = await admin.call(engine, "POST", "/api/admin/accounts", account)
        assert got.status == 201, got
        return await self.log_in(engine, username, "password")


async def status(trader: Trader, engine: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await trader.call(engine, "GET", "/internal/status", **PEER)).body
    return found


async def knows(trader: Trader, engine: Any, epoch: int) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while True:
            if (await status(trader, engine))["epoch"] == epoch:
                return
            await asyncio.sleep(0.02)
