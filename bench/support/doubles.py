"""The double of everything that would run in engine and database pods of a fleet: `python doubles.py`.

SQL on port 5432: a proxy. The local address of a connection names the engine, and the session goes on to that engine's
own database in the real PostgreSQL. HTTP on ports 7999 (pods) and 80 (a colour's Service): answers as an engine's pods
would, by the fence in that database. A pod is known by its address.
"""

import asyncio
import base64
import contextlib
import os
import ssl
import struct
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg  # type: ignore[import-untyped]  # ships no types
import yaml
from aiohttp import web

POSTGRES = ("127.0.0.1", 5433)
SQL_PORT, POD_PORT, SERVICE_PORT = 5432, 7999, 80
SILENT_NETWORK = "127.2."  # databases there do not answer
SSL_REQUEST = 80877103  # PostgreSQL's code for "may we speak TLS?"
BOUNDS = [5, 10, 25, 50, 100, 250, 500, 1000, None]
SERVED = 1000  # requests that each pod of an executing colour claims to have answered, all within 5 ms
POD_SECONDS = 2.0  # for so long an address belongs to a pod


@dataclass
class Double:
    """All pods of the fleet."""

    api: aiohttp.ClientSession
    server: str
    pods: dict[str, tuple[float, dict[str, Any]]] = field(default_factory=dict)  # by address: when read, and the pod
    draining: set[str] = field(default_factory=set)
    databases: dict[str, asyncpg.Pool] = field(default_factory=dict)

    async def serve(self) -> None:
        await asyncio.start_server(self._sql, "0.0.0.0", SQL_PORT, backlog=1024)  # noqa: S104 - a network of its own
        application = web.Application()
        application.router.add_get("/internal/status", self._status)
        application.router.add_get("/internal/reach", self._reach)
        application.router.add_post("/internal/drain", self._drain)
        application.router.add_get("/{path:.*}", self._anything)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        for port in (POD_PORT, SERVICE_PORT):
            await web.TCPSite(runner, "0.0.0.0", port).start()  # noqa: S104 - as above
        print("ready", flush=True)
        await asyncio.Event().wait()

    async def _sql(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Lead one session to the database of the engine at whose address it arrived."""
        if writer.get_extra_info("sockname")[0].startswith(SILENT_NETWORK):
            await reader.read(-1)  # until the client gives up
            return
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            startup = await self._startup(reader, writer)
            database = database_of(writer.get_extra_info("sockname")[0]).encode()
            startup = startup.replace(b"\0trading_engine\0", b"\0" + database + b"\0")
            there, back = await asyncio.open_connection(*POSTGRES)
            back.write(struct.pack("!I", len(startup) + 4) + startup)
            await asyncio.gather(_pipe(reader, back), _pipe(there, writer))
        writer.close()

    @staticmethod
    async def _startup(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        while True:
            (length,) = struct.unpack("!I", await reader.readexactly(4))
            message = await reader.readexactly(length - 4)
            if struct.unpack("!I", message[:4])[0] != SSL_REQUEST:
                return message
            writer.write(b"N")

    async def _status(self, request: web.Request) -> web.Response:
        pod = await self._pod(request)
        labels, name = pod["metadata"]["labels"], pod["metadata"]["name"]
        epoch, executors = await self._fence(labels["rtx-trading.com/engine"])
        colour = labels["rtx-trading.com/colour"]
        executing = colour in executors
        counts = [SERVED, *[0] * (len(BOUNDS) - 1)]
        executed = {
            "epoch": epoch,
            "requests": SERVED,
            "server_errors": 0,
            "latency_ms": {"upper_bounds": BOUNDS, "counts": counts},
        }
        return web.json_response(
            {
                "pod": name,
                "colour": colour,
                "version": labels.get("app.kubernetes.io/version", ""),
                "epoch": epoch,
                "executors": executors,
                "executing": executing,
                "draining": name in self.draining,
                "ending": False,
                "websockets": 0,
                "quiet_seconds": 60.0,
                "forwarded": 0,
                "drained_connections": 0,
                "executed": executed if executing else None,
            }
        )

    async def _reach(self, request: web.Request) -> web.Response:
        pod = await self._pod(request)
        other = "green" if pod["metadata"]["labels"]["rtx-trading.com/colour"] == "blue" else "blue"
        return web.json_response({"reaches": True, "colour": other, "error": ""})

    async def _drain(self, request: web.Request) -> web.Response:
        self.draining.add((await self._pod(request))["metadata"]["name"])
        return web.json_response({})

    async def _anything(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _pod(self, request: web.Request) -> dict[str, Any]:
        """The pod at whose address the request arrived."""
        transport = request.transport
        address = transport.get_extra_info("sockname")[0] if transport else ""
        read, pod = self.pods.get(address, (0.0, {}))
        if time.monotonic() - read > POD_SECONDS:
            query = {"fieldSelector": f"status.podIP={address}", "labelSelector": "rtx-trading.com/colour"}
            async with self.api.get(f"{self.server}/api/v1/pods", params=query) as response:
                found = (await response.json())["items"]
            if not found:
                raise web.HTTPNotFound
            pod = max(found, key=lambda one: one["metadata"]["creationTimestamp"])
            self.pods[address] = time.monotonic(), pod
        return pod

    async def _fence(self, engine: str) -> tuple[int, list[str]]:
        pool = self.databases.get(engine)
        if pool is None:
            host, port = POSTGRES
            number = int(engine.rpartition("-")[2])
            pool = self.databases[engine] = await asyncpg.create_pool(
                host=host, port=port, user="rtx_operator", database=f"engine_{number:04}", min_size=0, max_size=1
            )
        row = await pool.fetchrow("SELECT epoch, executors FROM rtx_operator.execution_fence")
        return row["epoch"], list(row["executors"])


def database_of(address: str) -> str:
    """The database of the engine with that address, as fleet.py gives it: 127.1.HUNDREDS.REST."""
    _, _, high, low = map(int, address.split("."))
    return f"engine_{high * 250 + low - 1:04}"


async def _pipe(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(1 << 16):
            target.write(data)
            await target.drain()
    finally:
        target.close()


def _admin() -> tuple[str, ssl.SSLContext]:
    """(URL, TLS context) of the kubeconfig's API server."""
    config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text(encoding="utf-8"))
    one, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(cadata=base64.b64decode(one["certificate-authority-data"]).decode())
    with tempfile.NamedTemporaryFile() as both:
        for part in ("client-certificate-data", "client-key-data"):
            both.write(base64.b64decode(user[part]))
        both.flush()
        context.load_cert_chain(both.name)
    return one["server"], context


async def main() -> None:
    server, context = _admin()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as api:
        await Double(api, server).serve()


if __name__ == "__main__":
    asyncio.run(main())
