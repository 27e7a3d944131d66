"""How a pod knows another pod, or the operator: by the secret that they share. Pure.

Everything that a request says in an x-rtx header counts only beside that secret; without it, it was not said.
"""

import hmac
from uuid import UUID

import uuid_utils.compat

from rtx_engine.api.errors import bad_request
from rtx_engine.api.http import Scope, header

SECRET = b"x-rtx-peer"
HOP = b"x-rtx-hop"  # the request was forwarded by a pod of the other colour
HERE = b"x-rtx-here"  # a smoke test: it asks how this pod itself would answer
ORDER_ID = b"x-rtx-order-id"  # that the first pod has given the order
EPOCH = b"x-rtx-epoch"  # of the fence, as the pod that forwards knows it
VERSION = b"x-rtx-version"  # in an answer from 500 on: the build that failed

_ORDER_ID_KEY = "rtx.order_id"  # in the scope: the id of the order that this request places


class Peers:
    """Tells peers from clients."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def trusts(self, scope: Scope) -> bool:
        """Whether the request comes from a pod or the operator."""
        given = header(scope, SECRET)
        return given is not None and hmac.compare_digest(given, self._secret)

    def is_hop(self, scope: Scope) -> bool:
        """Whether the request was forwarded to us: it must not be forwarded again."""
        return header(scope, HOP) is not None and self.trusts(scope)

    def stays_here(self, scope: Scope) -> bool:
        """Whether the operator asks this very pod: what another colour would answer proves nothing about it."""
        return header(scope, HERE) is not None and self.trusts(scope)

    def epoch(self, scope: Scope) -> int | None:
        """The epoch at which the pod that forwards knew us to be named; None when it does not say."""
        text = header(scope, EPOCH) or b""
        return int(text) if text.isdigit() and len(text) < 20 else None

    def order_id(self, scope: Scope) -> UUID:
        """The id of the order that this request places, the same however often it is asked or sent on.

        Raises ApiError (400) for a peer whose id is none.
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
            raise bad_request(f"{ORDER_ID.decode()} is {text[:64]!r}: a peer sends the UUID of its order.") from None
