"""/healthz and /metrics, served by the leader and by the standby.

/healthz proves only that the event loop runs. Every other fatal error ends the process.
"""

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest


async def serve(port: int) -> web.AppRunner:
    """Listen on `port` of all addresses; raises OSError when the port is in use."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    # All addresses: the kubelet and Prometheus connect from outside the pod; a NetworkPolicy limits the clients.
    await web.TCPSite(runner, host=None, port=port).start()
    return runner
