"""Authenticates requests of other pods and of the operator by their shared secret. Pure.

x-rtx headers are ignored in requests without that secret.
"""

import hmac
from uuid import UUID

import uuid_utils.compat

from rtx_engine.api.errors import bad_request
from rtx_engine.api.http import Scope, header

SECRET = b"x-rtx-peer"
HOP = b"x-rtx-hop"  # the request was forwarded by a pod of the other colour
HERE = b"x-rtx-here"  # a smoke test: this pod must respond itself, not forward
ORDER_ID = b"x-rtx-order-id"  # id that the first pod gave the order
EPOCH = b"x-rtx-epoch"  # the fence's epoch known to the forwarding pod
VERSION = b"x-rtx-version"  # in 5xx responses: the version that failed

_ORDER_ID_KEY = "rtx.order_id"  # scope key: the id of the order in this request


class Peers:
    """Distinguishes peers from clients."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def trusts(self, scope: Scope) -> bool:
        """Whether the request comes from a pod or from the operator."""
        given = header(scope, SECRET)
        return given is not None and hmac.compare_digest(given, self._secret)

    def is_hop(self, scope: Scope) -> bool:
        """Whether a pod forwarded the request: it must not be forwarded again."""
        return header(scope, HOP) is not None and self.trusts(scope)

    def is_for_this_pod(self, scope: Scope) -> bool:
        """Whether this pod must respond itself (a smoke test): a forwarded response would test the other colour."""
        return header(scope, HERE) is not None and self.trusts(scope)

    def epoch(self, scope: Scope) -> int | None:
        """The epoch at which the forwarding pod saw the fence name this colour; None without a valid header."""
        text = header(scope, EPOCH) or b""
        return int(text) if text.isdigit() and len(text) < 20 else None

    def order_id(self, scope: Scope) -> UUID:
        """The id of the order in this request; the same on every call and after forwarding.

        Raises ApiError (400) if a peer sent an id that is not a UUID.
        """
        found: UUID | None = scope.get(_ORDER_ID_KEY)
        if found is None:
            found = scope[_ORDER_ID_KEY] = self._given_order_id(scope) or uuid_utils.compat.uuid7()
        return found

    def _given_order_id(self, scope: Scope) -> UUID | None:
        text = header(scope, ORDER_ID)
        if text is None or not self.is_hop(scope):
            return None
        try:
            return UUID(text.decode("latin-1"))
        except ValueError:
            raise bad_request(f"{ORDER_ID.decode()} is {text[:64]!r}: send the UUID of the order.") from None
