"""The engine, but that its prices stopped an hour ago."""

import asyncio
from datetime import UTC, datetime, timedelta

import uvloop
from rtx_engine.config import Settings
from rtx_engine.feed.source import SimulatedSource
from rtx_engine.server import serve

AN_HOUR_AGO = datetime.now(UTC) - timedelta(hours=1)

with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(serve(Settings.from_environment(), SimulatedSource("stopped", clock=lambda: AN_HOUR_AGO)))
