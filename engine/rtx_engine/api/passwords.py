"""Password hashes (argon2id), computed in a few threads: each takes milliseconds and 19 MiB."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple, Unpack

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from rtx_engine.api.errors import RETRY, ApiError, ErrorReason

# OWASP's smallest recommendation, 19 MiB a hash: a burst of logins must not exceed the memory limit of a 512 MiB pod.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_THREADS = 2
_MAX_WAITING = 64
_TIMEOUT_SECONDS = 10.0

_Arguments = TypeVarTuple("_Arguments")
_Result = TypeVar("_Result")


class Passwords:
    """Hashes and verifies passwords. One instance per process; `close()` ends its threads."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="argon2")
        self._waiting = 0
        self._dummy_hash = _HASHER.hash("")

    async def hash(self, password: str) -> str:
        """The PHC string to store. Raises ApiError (503, Busy) if too many calls wait."""
        return await self._run(_HASHER.hash, password)

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether `password` belongs to `stored`. None (no such user) takes as long as a wrong password.

        Raises ApiError (503, Busy) if too many calls wait.
        """
        matches = await self._run(_matches, stored or self._dummy_hash, password)
        return matches and stored is not None

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, function: Callable[[Unpack[_Arguments]], _Result], *arguments: *_Arguments) -> _Result:
        if self._waiting >= _MAX_WAITING:
            raise _busy()
        self._waiting += 1
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
        except TimeoutError:
            raise _busy() from None
        finally:
            self._waiting -= 1


def _busy() -> ApiError:
    return ApiError(503, ErrorReason.BUSY, "Too many logins at once: try again in a second.", headers=RETRY)


def _matches(stored: str, password: str) -> bool:
    try:
        return _HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False
