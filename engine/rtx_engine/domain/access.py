"""Whom a token speaks for, and whether it still does. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

# Pods learn of the switch to named engines within seconds, and clocks of pods and database may differ by as much.
SWITCH_SLACK_SECONDS = CLOCK_SLACK_SECONDS = 60.0


class Role(StrEnum):
    """What the bearer may do."""

    TRADER = "trader"  # trades on one account
    ADMIN = "admin"  # opens accounts, has none


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says whose signature is good. Times are seconds since 1970."""

    account_id: int | None  # None: the administrator
    role: Role
    issued_at: float
    expires_at: float
    # The last two are None in tokens of the release before.
    engine: str | None  # that the token is for
    generation: int | None  # of the bearer's tokens, which a change of their password ends


@dataclass(frozen=True, slots=True)
class Revocation:
    """The tokens of an account are revoked that are of an earlier generation, or if they name none, older than this.

    So is one of this generation or a later one that is much older: a failover took its generation, and the number came
    again.
    """

    generation: int
    since: float  # seconds since 1970


@dataclass(frozen=True, slots=True)
class TokenRules:
    """Which tokens count now, beyond their signatures."""

    engine: str  # this one's name
    engine_named_since: float | None  # from then on each token names its engine; None: not yet (ADR 0083)
    revoked: Mapping[int, Revocation] = field(default_factory=dict)  # by account

    @property
    def engine_named(self) -> str | None:
        """The engine that a new token names; None while a release runs that refuses such tokens."""
        return None if self.engine_named_since is None else self.engine

    def problem(self, claims: Claims, now: float) -> str | None:
        """Why the token does not count (any more), for the client; None if it does."""
        if claims.expires_at <= now:
            return "The token has expired: get another one at POST /api/refresh, or log in again at POST /api/login."
        if not self._is_for_this_engine(claims):
            return "The token is for another engine: log in at POST /api/login of this one."
        revocation = None if claims.account_id is None else self.revoked.get(claims.account_id)
        if revocation is not None and _precedes(claims, revocation):
            return "The token was revoked: log in again at POST /api/login."
        return None

    def _is_for_this_engine(self, claims: Claims) -> bool:
        if claims.engine is not None:
            return claims.engine == self.engine
        return self.engine_named_since is None or claims.issued_at < self.engine_named_since + SWITCH_SLACK_SECONDS


def _precedes(claims: Claims, revocation: Revocation) -> bool:
    if claims.generation is None:
        return claims.issued_at <= revocation.since
    return claims.generation < revocation.generation or claims.issued_at < revocation.since - CLOCK_SLACK_SECONDS
