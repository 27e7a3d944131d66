"""Leader election by a Lease: one replica acts, the others wait; who loses the Lease must end its process.

A candidate never compares clocks of two machines: it takes the Lease over when the record has not changed for
`duration` on its own monotonic clock. The leader gives up `duration - renew_deadline` earlier than that, by its own
monotonic clock, which goes on while the process is stopped: `guard()` before each write is what keeps a replica that
was frozen from acting when it wakes up. Writes carry the resourceVersion, so two candidates cannot both win.
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
    """This replica leads no more, and must write nothing more."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. `renew_deadline` < `duration`, so that the old leader stops before a new one starts."""

    duration: float = 15.0
    renew_deadline: float = 10.0
    retry: float = 2.0

    @classmethod
    def within(cls, duration: float) -> Self:
        """The same proportions for another duration."""
        return cls(duration, renew_deadline=duration * 2 / 3, retry=duration * 2 / 15)


@dataclass(slots=True)
class Lease:
    """The Lease `namespace/name`, sought and held as `identity`."""

    namespace: str
    name: str
    identity: str
    timing: Timing = field(default_factory=Timing)
    clock: Callable[[], float] = time.monotonic
    _renewed: float | None = None  # when the renewal that succeeded was *sent*
    _live: Object | None = None  # the Lease as last read or written
    _changed: float = 0.0  # when _live last differed from what was read before

    def guard(self) -> None:
        """Raise LeadershipLostError unless this replica surely leads at this instant."""
        if self._renewed is None:
            raise LeadershipLostError("this replica does not hold the Lease")
        late = self.clock() - self._renewed
        if late >= self.timing.renew_deadline:
            raise LeadershipLostError(f"the Lease was last renewed {late:.0f} s ago")

    async def acquire(self, client: Client) -> None:
        """Wait until this replica leads. Errors of the API server are waited out."""
        while True:
            try:
                if await self._try(client):
                    log.info("this replica leads now", lease=f"{self.namespace}/{self.name}", identity=self.identity)
                    return
            except (ApiError, TimeoutError) as error:
                log.warning("the Lease cannot be read or written; trying again", error=str(error))
            await asyncio.sleep(self.timing.retry)

    async def hold(self, client: Client) -> None:
        """Renew for as long as it lasts; returns only by raising LeadershipLostError."""
        while True:
            await asyncio.sleep(self.timing.retry)
            try:
                if not await self._try(client):
                    holder = _spec(self._live).get("holderIdentity") or "nobody"
                    raise LeadershipLostError(f"the Lease is held by {holder}")
            except (ApiError, TimeoutError) as error:
                log.warning("the Lease could not be renewed; trying again", error=str(error))
            self.guard()

    async def release(self, client: Client) -> None:
        """Let another replica lead at once instead of after `duration`; best effort."""
        if self._renewed is None or self._live is None:
            return
        self._renewed = None
        spec = {**_spec(self._live), "holderIdentity": "", "leaseDurationSeconds": 1}
        try:
            async with asyncio.timeout(self.timing.retry):
                await client.replace(LEASE, {**self._live, "spec": spec})
        except (ApiError, TimeoutError) as error:
            log.warning("the Lease could not be released; it will expire", error=str(error))

    async def _try(self, client: Client) -> bool:
        """Take or renew the Lease; False when another replica holds it, or was quicker."""
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
            # Somebody wrote the Lease, perhaps we ourselves without learning of it: who leads is read, not guessed.
            await self._observe(client)
            if _spec(self._live).get("holderIdentity") != self.identity:
                return False
            self._live = await self._write(client)
        return True

    async def _observe(self, client: Client) -> None:
        live = await client.get(LEASE, self.namespace, self.name)
        if self._live is None or live is None or _version(live) != _version(self._live):
            self._changed = self.clock()
        self._live = live

    def _free(self) -> bool:
        """No one holds the Lease, or its holder has not renewed it for `duration` before our eyes."""
        spec = _spec(self._live)
        if spec.get("holderIdentity") in {None, "", self.identity}:
            return True
        return self.clock() - self._changed >= float(spec.get("leaseDurationSeconds") or self.timing.duration)

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
