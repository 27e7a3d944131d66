"""Which logins are tried, and which wait for their turn. Pure.

Wrong passwords are counted over all pods, by user and address together, by address, and by user. The last two hold only
for pairs that never logged in: whoever logs in from where they did before has a budget of their own, which nobody
elsewhere can use up. So there is no lockout to use against others; a user at a new address may have to wait while
somebody guesses at their password. Those who hold a token of the user have budgets for their guesses beside those of
strangers, together and at each address: neither keeps the other from trying, also behind one address.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LoginLimits:
    """The defaults are for production."""

    window_seconds: int = 300  # wrong passwords are forgotten so long after the first of them
    failures_per_pair: int = 10  # of those who hold a token, as many more
    failures_per_address: int = 50  # of pairs that never logged in; a proxy is one address for all its clients
    failures_per_user: int = 50  # likewise; of those who hold a token, as many more
    remembered_seconds: int = 30 * 24 * 3600  # that a pair has logged in


PRODUCTION = LoginLimits()


@dataclass(frozen=True, slots=True)
class Keys:
    """Where the counters of a login are kept: of its user and address together, and of each."""

    pair: str
    address: str
    user: str
    holder_pair: str  # of those who hold a token of the user, at the address
    holders: str  # of those at any address
    known: str  # set once the pair has logged in

    @classmethod
    def of(cls, username: str, address: str) -> "Keys":
        pair = f"{username}\0{address}"  # a name has no NUL
        return cls(
            _key("pair", pair),
            _key("address", address),
            _key("user", username),
            _key("holder_pair", pair),
            _key("holders", username),
            _key("known", pair),
        )

    @property
    def read(self) -> tuple[str, ...]:
        """Those of a Standing, in its order."""
        return self.pair, self.address, self.user, self.holder_pair, self.holders, self.known

    def counted(self, *, known: bool, holds_token: bool) -> tuple[str, ...]:
        """Where a wrong password counts. The mistakes of a pair that has logged in must not lock out its neighbours."""
        if holds_token:
            return (self.holder_pair,) if known else (self.holder_pair, self.holders)
        return (self.pair,) if known else (self.pair, self.address, self.user)


@dataclass(frozen=True, slots=True)
class Standing:
    """The counters of a login, as they are before it."""

    pair: int
    address: int
    user: int
    holder_pair: int
    holders: int
    known: bool

    @classmethod
    def of(cls, values: Sequence[int]) -> "Standing":
        """`values`: of Keys.read."""
        pair, address, user, holder_pair, holders, known = values
        return cls(pair, address, user, holder_pair, holders, known > 0)

    def may_try(self, limits: LoginLimits, *, holds_token: bool) -> bool:
        """Whether the password is looked at."""
        if (self.holder_pair if holds_token else self.pair) >= limits.failures_per_pair:
            return False
        if self.known:
            return True
        if holds_token:
            return self.holders < limits.failures_per_user
        return self.address < limits.failures_per_address and self.user < limits.failures_per_user


def _key(kind: str, text: str) -> str:
    """Short, whatever a client calls itself; the names of users stay out of Redis."""
    return f"rtx:login:{kind}:{hashlib.blake2b(text.encode(), digest_size=12).hexdigest()}"
