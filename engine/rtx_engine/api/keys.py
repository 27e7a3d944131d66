"""The keys that sign tokens. Two are valid at once, so that a new one can take over before the old one goes. Pure."""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_ID_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A secret and its name, the `kid` of tokens that it signs: derived from it, so that all pods agree."""

    id: str
    secret: str = field(repr=False)

    @classmethod
    def of(cls, secret: str) -> "SigningKey":
        named = hmac.new(secret.encode(), b"rtx signing key", hashlib.sha256).digest()
        return cls(base64.urlsafe_b64encode(named).decode()[:_ID_CHARACTERS], secret)


class SigningKeys:
    """The keys of all pods. The first one signs; tokens of each are valid."""

    def __init__(self, secrets: Sequence[str]) -> None:
        keys = [SigningKey.of(secret) for secret in secrets]
        self.signing = keys[0]
        self._by_id: Mapping[str, SigningKey] = {key.id: key for key in keys}

    def of_token(self, key_id: str | None) -> Sequence[SigningKey]:
        """The keys that may have signed a token with this `kid`; None, of the release before: each of them."""
        if key_id is None:
            return tuple(self._by_id.values())
        key = self._by_id.get(key_id)
        return () if key is None else (key,)
