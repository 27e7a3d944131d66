"""Tokens: JWT, HS256, signed with the secret that all pods of both colours share."""

import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import jwt

LIFETIME = 12 * 3600  # seconds: a trading day
_ALGORITHM = "HS256"
_ISSUER = "rtx-engine"
_REMEMBERED = 20_000  # verified tokens; a verification costs 67 µs, a look-up less than one


class Role(StrEnum):
    """What a token lets its bearer do."""

    TRADER = "trader"  # trades on one account
    ADMIN = "admin"  # opens accounts; has none itself


class BadTokenError(ValueError):
    """The token proves nothing; the message is a sentence for its bearer."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid token says."""

    account_id: int | None  # None: the administrator
    role: Role
    expires_at: float  # seconds since 1970


class Tokens:
    """Issues and verifies tokens."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._verified: OrderedDict[str, Claims] = OrderedDict()

    def issue(self, account_id: int | None, role: Role) -> tuple[str, datetime]:
        """A token of `account_id`, and when it ends."""
        now = int(time.time())
        claims = {
            "iss": _ISSUER,
            "sub": Role.ADMIN.value if account_id is None else str(account_id),
            "role": role.value,
            "iat": now,
            "exp": now + LIFETIME,
        }
        return jwt.encode(claims, self._secret, _ALGORITHM), datetime.fromtimestamp(now + LIFETIME, UTC)

    def verify(self, token: str) -> Claims:
        """What `token` says. Raises BadTokenError."""
        claims = self._verified.get(token)
        if claims is None:
            claims = self._decode(token)
            self._verified[token] = claims
            if len(self._verified) > _REMEMBERED:
                self._verified.popitem(last=False)
        if claims.expires_at <= time.time():
            self._verified.pop(token, None)
            raise BadTokenError("The token has expired: log in again at POST /api/login.")
        return claims

    def trader(self, token: str) -> int:
        """The account that `token` trades on. Raises BadTokenError, also for the administrator's."""
        account_id = self.verify(token).account_id
        if account_id is None:
            raise BadTokenError("The administrator has no trading account: log in as one that has.")
        return account_id

    def _decode(self, token: str) -> Claims:
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=[_ALGORITHM],
                issuer=_ISSUER,
                options={"require": ["exp", "sub", "iss"], "verify_exp": False},  # expiry: in verify, each time
            )
            role = Role(claims["role"])
            account_id = None if role is Role.ADMIN else int(claims["sub"])
            return Claims(account_id, role, float(claims["exp"]))
        except (jwt.InvalidTokenError, KeyError, ValueError) as error:
            raise BadTokenError("The token is not one of ours: log in at POST /api/login.") from error
