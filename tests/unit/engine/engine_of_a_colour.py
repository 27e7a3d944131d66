"""The engine, but that the colours' Services are ports of this machine: SERVICES is like blue=7001,green=7002."""

import asyncio
import os

import uvloop
from rtx_engine.api.channel import Channel
from rtx_engine.config import Settings
from rtx_engine.feed.source import SimulatedSource
from rtx_engine.server import serve

PORTS = dict(service.split("=") for service in os.environ["SERVICES"].split(","))

Channel._host = lambda _, colour: f"127.0.0.1:{PORTS[colour]}"  # type: ignore[method-assign]

with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    settings = Settings.from_environment()
    runner.run(serve(settings, SimulatedSource(seed=settings.broker_name)))
