"""Password hashes (argon2id), made beside the event loop and few at a time: each costs milliseconds and memory."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple, Unpack

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from rtx_engine.api.errors import RETRY, ApiError, ErrorReason

# OWASP's smallest recommendation: 19 MiB a hash, so that a burst of logins cannot push a 512 MiB pod over its limit.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_AT_ONCE = 2
_WAITING = 64
_DEADLINE = 10.0  # seconds

_Arguments = TypeVarTuple("_Arguments")
_Result = TypeVar("_Result")


class Passwords:
    """Hashes and verifies. One a process; `close()` ends its threads."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="argon2")
        self._waiting = 0
        self._nobody = _HASHER.hash("")

    async def hash(self, password: str) -> str:
        """The PHC string to store. Raises ApiError (503) when too many wait."""
        return await self._run(_HASHER.hash, password)

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether `password` belongs to `stored`. None (no such user) takes as long as a wrong password.

        Raises ApiError (503) when too many wait.
        """
        matches = await self._run(_matches, stored or self._nobody, password)
        return matches and stored is not None

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, function: Callable[[Unpack[_Arguments]], _Result], *arguments: *_Arguments) -> _Result:
        if self._waiting >= _WAITING:
            raise _busy()
        self._waiting += 1
        try:
            async with asyncio.timeout(_DEADLINE):
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
