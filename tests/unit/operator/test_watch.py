"""The watches: list, follow, list again after a version that is too old, and go on after every error."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiohttp import web
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from rtx_operator.cluster.client import Client
from rtx_operator.cluster.resources import SERVICE
from rtx_operator.cluster.watch import Watches
from rtx_operator.cluster.watched import WatchedObjects
from rtx_operator.observation import Object

ENGINE = ("trading", "rtx")
SECONDS = 20.0  # for what takes milliseconds


def service(name: str, version: int) -> Object:
    labels = {"rtx-trading.com/engine": "rtx"}
    meta = {"name": name, "namespace": "trading", "uid": name, "resourceVersion": str(version), "labels": labels}
    return {"metadata": meta}


class Server:
    """Lists `services` in pages of one at `version`; answers each watch with the next of `streams`, then hangs."""

    def __init__(self) -> None:
        self.services: list[Object] = []
        self.version = 10
        self.streams: list[list[tuple[str, Any]] | int] = []  # events, or an HTTP status
        self.watched_from: list[str] = []
        self.lists = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert request.query["labelSelector"] == "rtx-trading.com/engine"
        if "watch" in request.query:
            return await self._watch(request)
        self.lists += 1
        page = int(request.query.get("continue", "0"))
        more = str(page + 1) if page + 1 < len(self.services) else ""
        meta = {"resourceVersion": str(self.version), "continue": more}
        return web.json_response({"items": self.services[page : page + 1], "metadata": meta})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        self.watched_from.append(request.query["resourceVersion"])
        self.version += 20  # time passes
        stream = self.streams.pop(0) if self.streams else None
        if isinstance(stream, int):
            return web.json_response({"message": "no", "reason": "No"}, status=stream)
        response = web.StreamResponse()
        await response.prepare(request)
        for kind, body in stream or []:
            await response.write(json.dumps({"type": kind, "object": body}).encode() + b"\n")
        if stream is None:
            await asyncio.Event().wait()
        return response


@asynccontextmanager
async def watching(server: Server) -> AsyncIterator[WatchedObjects]:
    application = web.Application()
    application.router.add_get("/{path:.*}", server.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    client = Client(ApiClient(Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}")), lambda: None)
    watched = WatchedObjects()
    running = asyncio.create_task(Watches(client, watched).run([SERVICE]))
    try:
        yield watched
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await client.close()
        await runner.cleanup()


async def until(server: Server, watched: WatchedObjects, watches: int) -> list[str]:
    """The names of the engine's Services once that many watches have begun and the last one's list is complete."""
    async with asyncio.timeout(SECONDS):
        while len(server.watched_from) < watches or not watched.is_complete("trading", [SERVICE]):  # noqa: ASYNC110 - no seam
            await asyncio.sleep(0.01)
    return [found["metadata"]["name"] for found in watched.of(ENGINE, [SERVICE])]


async def test_all_pages_are_listed_before_the_kind_is_complete() -> None:
    server = Server()
    server.services = [service("a", 1), service("b", 2), service("c", 3)]

    async with watching(server) as watched:
        assert await until(server, watched, 1) == ["a", "b", "c"]

    assert (server.lists, server.watched_from) == (3, ["10"])


async def test_watch_follows_events_and_goes_on_from_its_last_version() -> None:
    # Given a watch that ends in time after an object came, another went, and a bookmark
    server = Server()
    server.services = [service("a", 1)]
    events = [("ADDED", service("b", 11)), ("DELETED", service("a", 12))]
    server.streams = [[*events, ("BOOKMARK", {"metadata": {"resourceVersion": "20"}})]]

    # Then the next one goes on from there, without a list
    async with watching(server) as watched:
        assert await until(server, watched, 2) == ["b"]

    assert (server.lists, server.watched_from) == (1, ["10", "20"])


async def test_version_that_is_too_old_leads_to_a_list_that_finds_what_was_deleted() -> None:
    # Given a watch that is told that its version is gone, while an object was deleted
    server = Server()
    server.services = [service("a", 1)]
    gone: tuple[str, Any] = ("ERROR", {"code": 410, "reason": "Expired", "message": "too old"})
    server.streams = [[("ADDED", service("b", 11)), gone]]

    # When it lists again
    async with watching(server) as watched:
        found = await until(server, watched, 2)

    # Then b, of whose deletion no event told, is gone
    assert found == ["a"]
    assert server.watched_from == ["10", "30"]


async def test_watch_that_is_refused_makes_the_kind_incomplete_and_is_retried() -> None:
    server = Server()
    server.services = [service("a", 1)]
    server.streams = [503]

    async with watching(server) as watched:
        assert await until(server, watched, 2) == ["a"]

    assert server.lists == 2
