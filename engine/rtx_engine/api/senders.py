"""Who sends a request that another pod answers, as far as this pod needs to know: to share out what is bounded."""

from rtx_engine.api.context import Context
from rtx_engine.api.errors import ApiError
from rtx_engine.api.http import Scope, header
from rtx_engine.domain.access import Role
from rtx_engine.store import UnavailableError

Sender = int | str  # an account, or who has none: the administrator, or an address


class Senders:
    """Tells them apart by their token, which the other pod checks again."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def of(self, scope: Scope) -> Sender:
        """The account of a token that this pod believes, or else the client's address."""
        if header(scope, b"authorization") is not None:
            try:
                account_id = self._context.claims(scope).account_id
            except (ApiError, UnavailableError):  # not a token, or this pod does not know yet which ones count
                pass
            else:
                return Role.ADMIN.value if account_id is None else account_id
        return self._context.client_address(scope)
