"""/healthz and /metrics, served by leader and standby alike.

That /healthz answers is all it says: the event loop turns. Whatever else can go wrong ends the process by itself.
"""

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest


async def serve(port: int) -> web.AppRunner:
    """Listen on `port`, on all addresses; raises OSError when it is taken."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    # All addresses: the kubelet and Prometheus come from outside the pod; a NetworkPolicy says who may.
    await web.TCPSite(runner, host=None, port=port).start()
    return runner
