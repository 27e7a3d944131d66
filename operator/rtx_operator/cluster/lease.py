"""Leader election by a Lease: one replica leads, the others wait. A replica that loses the Lease must end its process.

No replica compares the clocks of two machines. A candidate takes the Lease over when it has not changed for `duration`
on the candidate's monotonic clock. The leader stops `duration - renew_deadline` earlier, on its own monotonic clock,
which also runs while the process is stopped. `guard()` before each write keeps a replica that was frozen from writing.
Writes carry the resourceVersion, so two candidates cannot both win.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

import structlog

from rtx_operator.cluster.client import ApiError, Client, ConflictError, Object, Resource

LEASE = Resource("coordination.k8s.io/v1", "Lease", "leases")

log = structlog.get_logger(__name__)


class LeadershipLostError(Exception):
    """This replica is not the leader and must not write."""


@dataclass(frozen=True, slots=True)
class Timing:
    """All in seconds. `renew_deadline` < `duration`, so that the old leader stops before a new one starts."""

    duration: float = 15.0  # without a renewal, after which another replica takes the Lease
    renew_deadline: float = 10.0  # after the last renewal, when the leader stops writing
    retry: float = 2.0  # between two attempts

    @classmethod
    def within(cls, duration: float) -> Self:
        """Timing for another duration in seconds, in the same proportions."""
        return cls(duration, renew_deadline=duration * 2 / 3, retry=duration * 2 / 15)


@dataclass(slots=True)
class Lease:
    """The Lease `namespace/name`, which this replica acquires and holds as `identity`."""

    namespace: str
    name: str
    identity: str
    timing: Timing = field(default_factory=Timing)
    clock: Callable[[], float] = time.monotonic
    _renewed: float | None = None  # when the last successful renewal was sent, on `clock`; None: not the leader
    _live: Object | None = None  # the Lease as last read or written
    _changed: float = 0.0  # when a read last found the Lease changed, on `clock`

    def guard(self) -> None:
        """Raises LeadershipLostError unless this replica renewed the Lease less than `renew_deadline` ago."""
        if self._renewed is None:
            raise LeadershipLostError("this replica does not hold the Lease")
        late = self.clock() - self._renewed
        if late >= self.timing.renew_deadline:
            raise LeadershipLostError(
                f"the Lease was last renewed {late:.0f} s ago; the limit is {self.timing.renew_deadline:.0f} s"
            )

    async def acquire(self, client: Client) -> None:
        """Wait until this replica leads. Retries after every error of the API server."""
        while True:
            try:
                if await self._try(client):
                    log.info("this replica leads now", lease=f"{self.namespace}/{self.name}", identity=self.identity)
                    return
            except (ApiError, TimeoutError) as error:
                log.warning("cannot read or write the Lease; the replica retries", error=str(error))
            await asyncio.sleep(self._until_next_try())

    async def hold(self, client: Client) -> None:
        """Renew the Lease until that fails. Never returns; raises LeadershipLostError."""
        while True:
            await asyncio.sleep(self.timing.retry)
            try:
                if not await self._try(client):
                    holder = _spec(self._live).get("holderIdentity") or "no replica"
                    raise LeadershipLostError(f"{holder} holds the Lease")
            except (ApiError, TimeoutError) as error:
                log.warning("cannot renew the Lease; the replica retries", error=str(error))
            self.guard()

    async def release(self, client: Client) -> None:
        """Give the Lease up, so that another replica leads immediately. An error is logged: the Lease then expires."""
        if self._renewed is None or self._live is None:
            return
        self._renewed = None
        spec = {**_spec(self._live), "holderIdentity": "", "leaseDurationSeconds": 1}
        try:
            async with asyncio.timeout(self.timing.retry):
                await client.replace(LEASE, {**self._live, "spec": spec})
        except (ApiError, TimeoutError) as error:
            log.warning("cannot release the Lease; it expires by itself", error=str(error))

    async def _try(self, client: Client) -> bool:
        """Take or renew the Lease. False when another replica holds it, or has just taken it."""
        sent = self.clock()
        async with asyncio.timeout(self.timing.renew_deadline / 2):
            if not await self._take(client):
                return False
        self._renewed = sent
        return True

    async def _take(self, client: Client) -> bool:
        if self._renewed is None:
            await self._observe(client)
            if not self._free():
                return False
        try:
            self._live = await self._write(client)
        except ConflictError:
            # The other writer may be this replica, in a request whose response was lost. So read the holder again.
            await self._observe(client)
            if _spec(self._live).get("holderIdentity") != self.identity:
                return False
            self._live = await self._write(client)
        return True

    def _until_next_try(self) -> float:
        """Seconds; less than `retry` when the Lease will have expired before: an engine may wait in a switch."""
        left = self._changed + self._duration() - self.clock()
        return min(self.timing.retry, left) if left > 0 else self.timing.retry

    def _duration(self) -> float:
        """For how long the Lease is held without a renewal, by its holder's word."""
        return float(_spec(self._live).get("leaseDurationSeconds") or self.timing.duration)

    async def _observe(self, client: Client) -> None:
        live = await client.get(LEASE, self.namespace, self.name)
        if self._live is None or live is None or _version(live) != _version(self._live):
            self._changed = self.clock()
        self._live = live

    def _free(self) -> bool:
        """Whether no other replica holds the Lease, or its holder has not renewed it for leaseDurationSeconds."""
        spec = _spec(self._live)
        if spec.get("holderIdentity") in {None, "", self.identity}:
            return True
        return self.clock() - self._changed >= self._duration()

    async def _write(self, client: Client) -> Object:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        before = _spec(self._live)
        spec = {**before, "holderIdentity": self.identity, "renewTime": now}
        spec["leaseDurationSeconds"] = max(1, round(self.timing.duration))
        if before.get("holderIdentity") != self.identity:
            spec |= {"acquireTime": now, "leaseTransitions": int(before.get("leaseTransitions") or 0) + 1}
        if self._live is None:
            meta = {"namespace": self.namespace, "name": self.name}
            body = {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": meta, "spec": spec}
            return await client.create(LEASE, body)
        return await client.replace(LEASE, {**self._live, "spec": spec})


def _spec(lease: Object | None) -> dict[str, Any]:
    return dict((lease or {}).get("spec") or {})


def _version(lease: Object) -> str:
    return str(lease["metadata"]["resourceVersion"])
