"""A candidate takes an expired Lease at once; its holder renews it, however busy it is."""

import asyncio
import threading
import time
from typing import Any, cast

import pytest
from rtx_operator import own_thread
from rtx_operator.cluster.client import Client
from rtx_operator.cluster.lease import Lease, Timing
from rtx_operator.observation import Object
from rtx_operator.own_thread import OwnThread

RETRY_SECONDS = 600.0  # longer than any test: who waits for it fails
DEADLINE_SECONDS = 20.0


class LeaseServer:
    """Holds one Lease, of a leader that no longer renews it."""

    def __init__(self) -> None:
        spec: dict[str, Any] = {"holderIdentity": "killed", "leaseDurationSeconds": 1}
        self.lease: Object = {"metadata": {"resourceVersion": "1"}, "spec": spec}
        self.writes = 0

    async def get(self, *_: object) -> Object:
        return self.lease

    async def replace(self, _: object, body: Object) -> Object:
        self.writes += 1
        self.lease = {**body, "metadata": {"resourceVersion": "2"}}
        return self.lease


async def test_candidate_takes_over_when_the_lease_expires_and_not_at_its_next_retry() -> None:
    server = LeaseServer()
    candidate = Lease("rtx-system", "rtx-operator", "next", Timing(retry=RETRY_SECONDS))

    async with asyncio.timeout(DEADLINE_SECONDS):
        await candidate.acquire(cast("Client", server))

    assert server.lease["spec"]["holderIdentity"] == "next"


async def test_replica_whose_own_event_loop_is_busy_renews_the_lease_all_the_same() -> None:
    # Given a leader that renews the Lease on a thread of its own
    server = LeaseServer()
    server.lease["spec"] = {}
    lease = Lease("rtx-system", "rtx-operator", "leader", Timing(retry=0.01))
    await lease.acquire(cast("Client", server))
    renewing = OwnThread(lease.hold(cast("Client", server)), "lease")

    # When nothing else on its loop gets a turn, as while many passwords are hashed
    before, deadline = server.writes, time.monotonic() + DEADLINE_SECONDS
    while server.writes == before and time.monotonic() < deadline:
        time.sleep(0.01)  # noqa: ASYNC251 - it is the loop that is to be blocked

    # Then it has renewed the Lease meanwhile
    assert server.writes > before

    # And once it stops, it does no more
    await renewing.stop()
    before = server.writes
    await asyncio.sleep(0.1)
    assert server.writes == before


async def test_thread_that_does_not_end_holds_up_the_stop_only_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given work that does not let go of its thread
    monkeypatch.setattr(own_thread, "STOP_SECONDS", 0.05)
    held = threading.Event()

    async def work() -> None:
        held.wait(30)

    stuck = OwnThread(work(), "stuck")

    # When it is stopped, then the stop says so in its time
    with pytest.raises(TimeoutError, match="the thread stuck has not ended"):
        await stuck.stop()
    held.set()
