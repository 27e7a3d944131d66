"""Fence moves under load: with forwarding no order fails; the negative control without it has failures."""

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from engine_traders import TIMEOUT_SECONDS, Trader, status


@dataclass
class Load:
    """Traders that place orders at both colours as fast as these answer, and never ask twice."""

    anybody: Trader
    engines: list[Any]
    acknowledged: dict[str, str] = field(default_factory=dict)  # order_id by client_order_id
    colours: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    done: bool = False

    async def goes_on(self) -> None:
        """Wait until a few more orders have been filled."""
        enough = len(self.acknowledged) + 50
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while len(self.acknowledged) < enough:  # noqa: ASYNC110  # many wait for their own; this one only looks
                await asyncio.sleep(0.02)

    async def trade(self, trader: Trader, name: str) -> None:
        for number, engine in zip(itertools.count(), itertools.cycle(self.engines)):
            if self.done:
                return
            client_order_id = f"{name}-{number}"
            try:
                got = await trader.order(engine, client_order_id)
            except (aiohttp.ClientError, TimeoutError) as error:
                self.failures.append(repr(error))
                continue
            if got.status != 201:
                self.failures.append(f"{got.status} {got.body}")
            elif got.body["client_order_id"] != client_order_id:
                self.failures.append(f"{client_order_id} was answered with {got.body}")
            else:
                self.acknowledged[client_order_id] = got.body["order_id"]
                self.colours.add(got.body["colour"])


async def trade_across_moves(engines: Any, anybody: Trader, colours: Any, moves: int) -> Load:
    load = Load(anybody, [colours.blue, colours.green])
    traders = [await anybody.open(colours.blue, f"trader {number}") for number in range(6)]
    trading = [
        asyncio.create_task(load.trade(trader, f"{number}-{lane}"))
        for number, trader in enumerate(traders)
        for lane in range(4)
    ]
    for _, colour in zip(range(moves), itertools.cycle(["green", "blue"]), strict=False):
        await load.goes_on()
        await engines.database.move_fence(colour)
    await load.goes_on()
    load.done = True
    await asyncio.gather(*trading)
    return load


async def test_twenty_fence_moves_under_load_lose_and_double_no_order(
    engines: Any, colours: Any, anybody: Trader
) -> None:
    load = await trade_across_moves(engines, anybody, colours, moves=20)
    # then every order was answered, by whoever was named
    assert load.failures == []
    assert load.colours == {"blue", "green"}
    # and the database has just these, each once, under the id that was answered
    rows = await engines.database.execute("SELECT client_order_id, id, epoch FROM orders")
    assert {row["client_order_id"]: str(row["id"]) for row in rows} == load.acknowledged
    assert len(rows) == len(load.acknowledged)
    assert {row["epoch"] for row in rows} == set(range(1, 22))
    [fills] = await engines.database.execute("SELECT count(*), count(DISTINCT order_id) FROM fills")
    assert fills[0] == fills[1] == len(rows)
    # and both forwarded
    assert (await status(anybody, colours.blue))["forwarded"] > 0
    assert (await status(anybody, colours.green))["forwarded"] > 0


async def test_without_forwarding_the_same_load_counts_failures(engines: Any, anybody: Trader) -> None:
    colours = await engines.start_colours(forwarding=False)
    load = await trade_across_moves(engines, anybody, colours, moves=2)
    assert len(load.failures) > 0
    assert all("Fenced" in failure for failure in load.failures)
