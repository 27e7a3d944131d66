"""Refresh tokens: random, with the account that they are for, and signed. Pure but for what is random.

The database decides whether one counts. The signature says whose it is before the database is asked, so that strangers
who invent tokens cost no read, and nobody takes a place in the queue from another account.
"""

import base64
import hashlib
import hmac
import re
import secrets

from rtx_engine.api.keys import SigningKeys

_ACCOUNT_BYTES, _RANDOM_BYTES, _SIGNATURE_BYTES = 8, 32, 16
# Nothing that a JWT has before its signature begins like this: what one is signed with is never the other's.
_PURPOSE = b"rtx refresh token "
_TOKEN = re.compile(r"[A-Za-z0-9_-]{75}")  # the base64 of these bytes


class RefreshTokens:
    """Issues refresh tokens, and recognises them."""

    def __init__(self, keys: SigningKeys) -> None:
        self._keys = keys

    def issue(self, account_id: int) -> str:
        signed = account_id.to_bytes(_ACCOUNT_BYTES) + secrets.token_bytes(_RANDOM_BYTES)
        token = signed + _signature(self._keys.signing.secret, signed)
        return base64.urlsafe_b64encode(token).rstrip(b"=").decode()

    def account_of(self, token: str) -> int | None:
        """The account that the token was issued for; None if it was not, or with a key that counts no more."""
        if _TOKEN.fullmatch(token) is None:
            return None
        found = base64.urlsafe_b64decode(token + "=")
        signed, signature = found[:-_SIGNATURE_BYTES], found[-_SIGNATURE_BYTES:]
        for key in self._keys.of_token(None):
            if hmac.compare_digest(signature, _signature(key.secret, signed)):
                return int.from_bytes(signed[:_ACCOUNT_BYTES])
        return None


def kept_as(token: str) -> bytes:
    """What the database has of it."""
    return hashlib.sha256(token.encode()).digest()


def _signature(secret: str, signed: bytes) -> bytes:
    return hmac.digest(secret.encode(), _PURPOSE + signed, "sha256")[:_SIGNATURE_BYTES]
