"""Access tokens: JWT, HS256, signed with keys that all pods of both colours share, and valid for minutes."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import jwt

from rtx_engine.api.keys import SigningKeys
from rtx_engine.domain.access import Claims, Role, TokenRules

LIFETIME_SECONDS = 900  # also the longest that a pod which cannot reach the database goes on believing a revoked token
MAX_TOKEN_BYTES = 2048  # ours have 300
_ALGORITHM = "HS256"
_ISSUER = "rtx-engine"
_MAX_CACHED_TOKENS = 20_000  # a cache hit saves the verification of the signature
_INVALID = "The token is not valid: log in again at POST /api/login."


class BadTokenError(ValueError):
    """The token is not valid; the message is one sentence for the client."""


class Tokens:
    """Issues and verifies tokens."""

    def __init__(self, keys: SigningKeys, rules: Callable[[], TokenRules], admin_generation: int = 0) -> None:
        """`rules` returns the rules of now, or raises UnavailableError before they are known."""
        self._keys = keys
        self._rules = rules
        self._admin_generation = admin_generation
        # With the rules by which a token was found good: by the same ones only time can end it.
        self._cache: OrderedDict[str, tuple[Claims, TokenRules]] = OrderedDict()

    def issue(self, account_id: int | None, generation: int = 0) -> tuple[str, datetime]:
        """A token for `account_id` (None: the administrator), and its expiry. Raises UnavailableError."""
        now = int(time.time())
        role = Role.ADMIN if account_id is None else Role.TRADER
        claims: dict[str, Any] = {
            "iss": _ISSUER,
            "sub": Role.ADMIN.value if account_id is None else str(account_id),
            "role": role.value,
            "gen": self._admin_generation if account_id is None else generation,
            "iat": now,
            "exp": now + LIFETIME_SECONDS,
        }
        if (engine := self._rules().engine_named) is not None:
            claims["aud"] = engine
        key = self._keys.signing
        token = jwt.encode(claims, key.secret, _ALGORITHM, headers={"kid": key.id})
        return token, datetime.fromtimestamp(now + LIFETIME_SECONDS, UTC)

    def verify(self, token: str) -> Claims:
        """The claims of `token`. Raises BadTokenError, UnavailableError."""
        rules = self._rules()
        found = self._cache.get(token)
        if found is not None and found[1] is rules and found[0].expires_at > time.time():
            return found[0]
        claims = self._decode(token) if found is None else found[0]
        self.check(claims)
        self._cache[token] = claims, rules
        if len(self._cache) > _MAX_CACHED_TOKENS:
            self._cache.popitem(last=False)
        return claims

    def check(self, claims: Claims) -> None:
        """Raises BadTokenError if a token with these claims does not count any more, UnavailableError."""
        problem = self._rules().problem(claims, time.time())
        if problem is None and claims.role is Role.ADMIN and claims.generation not in {None, self._admin_generation}:
            problem = "The password has changed since: log in again at POST /api/login."
        if problem is not None:
            raise BadTokenError(problem)

    def trader(self, token: str) -> Claims:
        """The claims of a trader's token. Raises as `verify`, also for the administrator's token."""
        claims = self.verify(token)
        if claims.account_id is None:
            raise BadTokenError("The administrator has no trading account: log in as a trader.")
        return claims

    def _decode(self, token: str) -> Claims:
        if len(token) > MAX_TOKEN_BYTES:
            raise BadTokenError(_INVALID)
        try:
            claims = self._signed(token)
            role = Role(claims["role"])
            engine, generation = claims.get("aud"), claims.get("gen")
            if not (isinstance(engine, str | None) and isinstance(generation, int | None)):
                raise BadTokenError(_INVALID)
            return Claims(
                account_id=None if role is Role.ADMIN else int(claims["sub"]),
                role=role,
                issued_at=float(claims["iat"]),
                expires_at=float(claims["exp"]),
                engine=engine,
                generation=generation,
            )
        except (jwt.InvalidTokenError, KeyError, ValueError, TypeError, RecursionError) as error:
            raise BadTokenError(_INVALID) from error

    def _signed(self, token: str) -> dict[str, Any]:
        """What the token says. Raises jwt.InvalidTokenError if none of our keys signed it."""
        key_id = jwt.get_unverified_header(token).get("kid")
        for key in self._keys.of_token(key_id):
            try:
                claims: dict[str, Any] = jwt.decode(
                    token,
                    key.secret,
                    algorithms=[_ALGORITHM],
                    issuer=_ISSUER,
                    # `check` looks at the times and the engine, also of cached tokens. A token that another pod issued
                    # may be a moment ahead of this pod's clock.
                    options={
                        "require": ["exp", "iat", "sub", "iss"],
                        "verify_exp": False,
                        "verify_iat": False,
                        "verify_aud": False,
                    },
                )
            except jwt.InvalidSignatureError:
                continue
            return claims
        raise jwt.InvalidSignatureError


def password_generation(password_hash: str) -> int:
    """A number that changes with the administrator's password, whose hash is in a setting and not in the database."""
    return int.from_bytes(hashlib.sha256(password_hash.encode()).digest()[:6])
