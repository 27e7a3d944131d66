"""Whether the API server serves our kinds: the CRD may come after the operator.

kopf looks for kinds once, at its start. So the operator waits for its kinds before it leads. When the CRD goes, kopf's
watch fails and the process ends (main.py): the next one waits again.
"""

import asyncio

import structlog

from rtx_operator.cluster.client import ApiError, Client
from rtx_operator.cluster.resources import OURS
from rtx_operator.health import Readiness

INTERVAL_SECONDS = 2.0

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
