"""Password hashes (argon2id), computed in a few threads: each takes milliseconds and 19 MiB.

Two lanes lead to the threads, so that strangers who flood a pod with logins leave a thread to those who have logged in
from their address before, or are logged in. Either lane is bounded in all, and by user and by address.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar, TypeVarTuple, Unpack

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from rtx_engine import metrics
from rtx_engine.api.errors import ApiError, ErrorReason

# OWASP's smallest recommendation, 19 MiB a hash: a burst of logins must not exceed the memory limit of a 512 MiB pod.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_TIMEOUT_SECONDS = 10.0

_Arguments = TypeVarTuple("_Arguments")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who wants a hash. `known`: this user has logged in from this address before."""

    username: str
    address: str
    known: bool
    holds_token: bool = False  # of this user, which counts

    @property
    def trusted(self) -> bool:
        """Whether it is hardly a stranger."""
        return self.known or self.holds_token


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one lane. The defaults are for production."""

    threads: int
    waiting: int = 64
    waiting_per_address: int = 16
    waiting_per_user: int = 8


THREADS = 2
STRANGERS, KNOWN = Bounds(threads=1), Bounds(threads=2)


class Passwords:
    """Hashes and verifies passwords. One instance per process; `close()` ends its threads."""

    def __init__(self, strangers: Bounds = STRANGERS, known: Bounds = KNOWN) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2")
        self._lanes = {True: _Lane(known), False: _Lane(strangers)}
        self._dummy_hash = _HASHER.hash("")

    async def hash(self, password: str, caller: Caller) -> str:
        """The PHC string to store. Raises ApiError (429) if too many calls wait."""
        async with self._lanes[caller.trusted].turn(caller):
            return await self._run(_HASHER.hash, password)

    async def verify(self, stored: str | None, password: str, caller: Caller) -> bool:
        """Whether `password` belongs to `stored`. None (no such user) takes as long as a wrong password.

        Raises ApiError (429) if too many calls wait.
        """
        clock = asyncio.get_running_loop().time
        async with self._lanes[caller.trusted].turn(caller):
            began = clock()
            matches = await self._run(_matches, stored or self._dummy_hash, password)
            if not matches and not caller.trusted:
                # Those who guess get half of a processor: orders need the rest.
                await asyncio.sleep(clock() - began)
        return matches and stored is not None

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, function: Callable[[Unpack[_Arguments]], _Result], *arguments: *_Arguments) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)


class _Lane:
    """Callers take their turns, in the order in which they came."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._threads = asyncio.Semaphore(bounds.threads)
        self._waiting = 0
        self._by_user: Counter[str] = Counter()
        self._by_address: Counter[str] = Counter()

    @asynccontextmanager
    async def turn(self, caller: Caller) -> AsyncIterator[None]:
        """Wait for a thread. Raises ApiError (429) if too many wait, or after _TIMEOUT_SECONDS."""
        bounds = self._bounds
        if (
            self._waiting >= bounds.waiting
            or self._by_address[caller.address] >= bounds.waiting_per_address
            or self._by_user[caller.username] >= bounds.waiting_per_user
        ):
            raise too_many_logins(1)
        self._count(caller, 1)
        try:
            try:
                async with asyncio.timeout(_TIMEOUT_SECONDS):
                    await self._threads.acquire()
            except TimeoutError:
                raise too_many_logins(1) from None
            try:
                yield
            finally:
                self._threads.release()
        finally:
            self._count(caller, -1)

    def _count(self, caller: Caller, change: int) -> None:
        self._waiting += change
        for counter, key in ((self._by_user, caller.username), (self._by_address, caller.address)):
            counter[key] += change
            if not counter[key]:
                del counter[key]


def too_many_logins(seconds: int) -> ApiError:
    """`seconds`: after which the client may try again."""
    metrics.refusals(ErrorReason.TOO_MANY_LOGINS).inc()
    return ApiError(
        429,
        ErrorReason.TOO_MANY_LOGINS,
        f"Too many logins: try again in {seconds} seconds." if seconds > 1 else "Too many logins: try again shortly.",
        headers=((b"retry-after", b"%d" % seconds),),
    )


def _matches(stored: str, password: str) -> bool:
    try:
        return _HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False
