"""Deposits and withdrawals of the administrator. The request body has been read before."""

from collections.abc import Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from rtx_engine.api.context import Context
from rtx_engine.api.errors import ApiError, ErrorReason, bad_request, sentence
from rtx_engine.api.request_bodies import TransferRequest, decode
from rtx_engine.domain import grammar, scales
from rtx_engine.domain.access import Role
from rtx_engine.domain.entries import EntryKind, entry_response
from rtx_engine.domain.transfers import InvalidTransferError, TransferRefusal, TransferRefusedError, transfer

_REFUSALS: Mapping[TransferRefusal, str] = {
    TransferRefusal.INSUFFICIENT_FUNDS: (
        "The balance, or the margin that no open position needs, is smaller than the amount: withdraw less."
    ),
    TransferRefusal.STALE_QUOTE: "An open position has no current price, so nobody knows what it needs: try again.",
    TransferRefusal.BALANCE_TOO_LARGE: f"The balance would not be below {scales.MAX_AMOUNT:,}: deposit less.",
}


class TransferRoutes:
    """One method per route. Each raises ApiError and the errors of the store."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def deposit(self, request: Request) -> Response:
        """Add money to an account: 201, or 200 if this id did before."""
        return await self._enter(request, EntryKind.DEPOSIT)

    async def withdraw(self, request: Request) -> Response:
        """Take money from an account: 201, or 200 if this id did before."""
        return await self._enter(request, EntryKind.WITHDRAWAL)

    async def _enter(self, request: Request, kind: EntryKind) -> Response:
        self._context.require_admin(request.scope)
        account_id = _account_id(request.path_params["account_id"])
        body = decode(await request.body(), TransferRequest)
        try:
            asked = transfer(kind, account_id, body.id, amount=body.amount, reason=body.reason, author=Role.ADMIN.value)
            entered = await self._context.store.journal.enter(asked)
        except InvalidTransferError as error:
            raise bad_request(sentence(error)) from error
        except TransferRefusedError as error:
            raise ApiError(422, error.refusal, _REFUSALS[error.refusal]) from error
        content = msgspec.json.encode(entry_response(entered.entry))
        return Response(content, 200 if entered.replayed else 201, media_type="application/json")


def _account_id(text: str) -> int:
    try:
        return grammar.whole_number(text, minimum=1)
    except grammar.GrammarError:
        raise ApiError(404, ErrorReason.NOT_FOUND, f"There is no account {text[:32]!a}: give its number.") from None
