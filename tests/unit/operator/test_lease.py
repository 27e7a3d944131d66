"""A candidate takes the Lease over as soon as it has expired, however rarely it tries otherwise."""

import asyncio
from typing import Any, cast

from rtx_operator.cluster.client import Client
from rtx_operator.cluster.lease import Lease, Timing
from rtx_operator.observation import Object

RETRY_SECONDS = 600.0  # longer than any test: who waits for it fails
DEADLINE_SECONDS = 20.0


class LeaseServer:
    """Holds one Lease, of a leader that no longer renews it."""

    def __init__(self) -> None:
        spec: dict[str, Any] = {"holderIdentity": "killed", "leaseDurationSeconds": 1}
        self.lease: Object = {"metadata": {"resourceVersion": "1"}, "spec": spec}

    async def get(self, *_: object) -> Object:
        return self.lease

    async def replace(self, _: object, body: Object) -> Object:
        self.lease = {**body, "metadata": {"resourceVersion": "2"}}
        return self.lease


async def test_candidate_takes_over_when_the_lease_expires_and_not_at_its_next_retry() -> None:
    server = LeaseServer()
    candidate = Lease("rtx-system", "rtx-operator", "next", Timing(retry=RETRY_SECONDS))

    async with asyncio.timeout(DEADLINE_SECONDS):
        await candidate.acquire(cast("Client", server))

    assert server.lease["spec"]["holderIdentity"] == "next"
