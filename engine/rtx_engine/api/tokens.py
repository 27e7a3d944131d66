"""Tokens: JWT, HS256, signed with a secret that all pods of both colours share."""

import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import jwt

LIFETIME_SECONDS = 12 * 3600  # a trading day
_ALGORITHM = "HS256"
_ISSUER = "rtx-engine"
_MAX_CACHED_TOKENS = 20_000  # a cache hit saves the verification of the signature


class Role(StrEnum):
    """What the bearer may do."""

    TRADER = "trader"  # trades on one account
    ADMIN = "admin"  # opens accounts, has none


class BadTokenError(ValueError):
    """The token is not valid; the message is one sentence for the client."""


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a valid token."""

    account_id: int | None  # None: the administrator
    role: Role
    expires_at: float  # seconds since 1970


class Tokens:
    """Issues and verifies tokens."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._cache: OrderedDict[str, Claims] = OrderedDict()

    def issue(self, account_id: int | None, role: Role) -> tuple[str, datetime]:
        """A token for `account_id` (None: the administrator), and its expiry."""
        now = int(time.time())
        claims = {
            "iss": _ISSUER,
            "sub": Role.ADMIN.value if account_id is None else str(account_id),
            "role": role.value,
            "iat": now,
            "exp": now + LIFETIME_SECONDS,
        }
        return jwt.encode(claims, self._secret, _ALGORITHM), datetime.fromtimestamp(now + LIFETIME_SECONDS, UTC)

    def verify(self, token: str) -> Claims:
        """The claims of `token`. Raises BadTokenError."""
        claims = self._cache.get(token)
        if claims is None:
            claims = self._decode(token)
            self._cache[token] = claims
            if len(self._cache) > _MAX_CACHED_TOKENS:
                self._cache.popitem(last=False)
        if claims.expires_at <= time.time():
            self._cache.pop(token, None)
            raise BadTokenError("The token has expired: log in again at POST /api/login.")
        return claims

    def trading_account(self, token: str) -> int:
        """The account of a trader's token. Raises BadTokenError, also for the administrator's token."""
        account_id = self.verify(token).account_id
        if account_id is None:
            raise BadTokenError("The administrator has no trading account: log in as a trader.")
        return account_id

    def _decode(self, token: str) -> Claims:
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=[_ALGORITHM],
                issuer=_ISSUER,
                options={
                    "require": ["exp", "sub", "iss"],
                    "verify_exp": False,
                },  # `verify` checks the expiry, also of cached tokens
            )
            role = Role(claims["role"])
            account_id = None if role is Role.ADMIN else int(claims["sub"])
            return Claims(account_id, role, float(claims["exp"]))
        except (jwt.InvalidTokenError, KeyError, ValueError) as error:
            raise BadTokenError("The token is not valid: log in again at POST /api/login.") from error
