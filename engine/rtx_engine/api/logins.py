"""Checks passwords, within the limits of login_limits.py and login_places.py, and of the lanes of passwords.py."""

from contextlib import AbstractContextManager

from rtx_engine.api.errors import ApiError, unauthorized
from rtx_engine.api.login_counters import Counters
from rtx_engine.api.login_limits import PRODUCTION, Keys, LoginLimits, Standing
from rtx_engine.api.login_places import Group, LoginPlaces
from rtx_engine.api.passwords import Caller, Passwords, too_many_logins


class Logins:
    """Refuses guesses before they cost a hash."""

    def __init__(self, passwords: Passwords, counters: Counters, limits: LoginLimits = PRODUCTION) -> None:
        self._passwords = passwords
        self._counters = counters
        self._limits = limits
        self._places = LoginPlaces()

    async def caller(self, username: str, address: str, *, holds_token: bool = False) -> Caller:
        """Who wants to log in, or changes their password. Raises ApiError (429) if they guessed too often.

        Likewise if others did at that address, or at that user. `holds_token`: a token of the user came with it.
        """
        keys = Keys.of(username, address)
        standing = Standing.of(await self._counters.read(keys.read))
        if not standing.may_try(self._limits, holds_token=holds_token):
            raise too_many_logins(self._limits.window_seconds)
        return Caller(username, address, standing.known, holds_token)

    def place(self, caller: Caller) -> AbstractContextManager[None]:
        """A place to log in. Raises ApiError (429) when it is entered."""
        return self._places.take(Group.KNOWN if caller.known else Group.STRANGERS, caller.address, caller.username)

    def holders_place(self, account_id: int, address: str) -> AbstractContextManager[None]:
        """A place to change a password, for those who hold a token of the account. Raises as `place`."""
        return self._places.take(Group.HOLDERS, address, account_id)

    async def check(self, caller: Caller, stored: str | None, password: str) -> None:
        """Raises ApiError: 401 unless `password` belongs to `stored`; 429 if too many wait."""
        keys = Keys.of(caller.username, caller.address)
        limits = self._limits
        if not await self._passwords.verify(stored, password, caller):
            counted = keys.counted(known=caller.known, holds_token=caller.holds_token)
            await self._counters.add([(key, 1, limits.window_seconds) for key in counted])
            raise wrong_credentials()
        if not caller.known:
            await self._counters.add([(keys.known, 1, limits.remembered_seconds)])


def wrong_credentials() -> ApiError:
    return unauthorized("The username or the password is wrong.")
