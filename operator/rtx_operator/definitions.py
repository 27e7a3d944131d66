"""Whether there is something to watch, and whether it is watched: the CRD may come later, and may go.

kopf looks for kinds once, at its start, and a watch of it that fails for good ends in silence. So the operator waits
for its kinds before it leads, and ends when a watch has ended: its next process waits again.
"""

import asyncio

import structlog

from rtx_operator.cluster.client import ApiError, Client
from rtx_operator.cluster.resources import OURS
from rtx_operator.health import Readiness

INTERVAL_SECONDS = 2.0
START_SECONDS = 60.0  # for all watches to begin
_KOPF_TASK = "watcher for "  # begins the name of each of kopf's tasks that watch

log = structlog.get_logger(__name__)


async def wait_for_kinds(client: Client, readiness: Readiness) -> None:
    """Return once the API server serves every kind of ours; until then /readyz and the log say what is missing."""
    while missing := await _missing_kinds(client):
        if readiness.waits_for != missing:
            log.warning("waiting; the operator starts by itself", reason=missing)
            readiness.waits_for = missing
        await asyncio.sleep(INTERVAL_SECONDS)
    readiness.waits_for = ""


async def _missing_kinds(client: Client) -> str:
    """What keeps the operator from starting; empty when nothing does."""
    for version in {resource.api_version for resource in OURS.values()}:
        try:
            served = await client.discover(f"/apis/{version}")
        except ApiError as error:
            return f"the API server does not answer: {error.message}"
        plurals = {one["name"] for one in (served or {}).get("resources", [])}
        for ours in OURS.values():
            if ours.api_version == version and ours.plural not in plurals:
                return f"the API server does not serve {ours.plural}.{version}; apply crds/ of this release"
    return ""


async def stop_when_blind(namespaces: int, stop: asyncio.Event) -> None:
    """Set `stop` when a watch of kopf's has ended for good; `namespaces` is how many are watched, 1 for all of them."""
    wanted = namespaces * len(OURS)
    deadline = asyncio.get_running_loop().time() + START_SECONDS
    has_begun = False
    while True:
        running = sum(task.get_name().startswith(_KOPF_TASK) for task in asyncio.all_tasks())
        has_begun = has_begun or running >= wanted
        if running < wanted and (has_begun or asyncio.get_running_loop().time() > deadline):
            log.error("a watch has ended for good, as when the CRD is deleted; the operator starts again", left=running)
            stop.set()
            return
        await asyncio.sleep(INTERVAL_SECONDS)
