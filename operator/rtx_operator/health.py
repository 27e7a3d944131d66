"""/healthz, /readyz and /metrics, served by the leader and by the standby.

/healthz proves only that the event loop runs. Every other fatal error ends the process. /readyz says what the process
waits for before it can lead or stand by.
"""

from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest


@dataclass(slots=True)
class Readiness:
    """What the process waits for; empty when it can lead or stand by."""

    waits_for: str = "starting"


async def serve(port: int, readiness: Readiness) -> web.AppRunner:
    """Listen on `port` of all addresses; raises OSError when the port is in use."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def readyz(_: web.Request) -> web.Response:
        return web.Response(text=readiness.waits_for or "ok", status=503 if readiness.waits_for else 200)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    # All addresses: the kubelet and Prometheus connect from outside the pod; a NetworkPolicy limits the clients.
    await web.TCPSite(runner, host=None, port=port).start()
    return runner
