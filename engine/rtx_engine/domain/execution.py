"""Executes an order on a portfolio: the B-book, where the house is the counterparty."""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal

import msgspec

from rtx_engine.domain.orders import Execution, MarketOrder, OrderStatus, RejectReason
from rtx_engine.domain.positions import Position, net, opened
from rtx_engine.domain.pricing import Quote
from rtx_engine.domain.symbols import SYMBOLS


class Portfolio(msgspec.Struct, frozen=True):
    """An account with its open positions."""

    account_id: int
    balance: Decimal
    leverage: int
    sequence: int  # of the account's newest event
    positions: Mapping[str, Position] = {}


class Executor(msgspec.Struct, frozen=True):
    """The executing colour and the fence's epoch."""

    colour: str
    epoch: int


def execute(
    portfolio: Portfolio,
    order: MarketOrder,
    quotes: Mapping[str, Quote],
    executor: Executor,
    now: dt.datetime,
) -> tuple[Portfolio, Execution]:
    """The portfolio after the order, and the execution. A rejected order takes an event number too."""
    quote = quotes.get(order.symbol)
    if quote is None or quote.is_stale(now):
        return _rejected(portfolio, order, RejectReason.STALE_QUOTE, executor, now)
    price = quote.price_for(order.side)
    before = portfolio.positions.get(order.symbol, Position(order.symbol))
    signed_quantity = order.side.sign * order.quantity
    after, realised = net(before, signed_quantity, price)
    dealt = msgspec.structs.replace(
        portfolio,
        balance=portfolio.balance + realised,
        sequence=portfolio.sequence + 1,
        positions={**portfolio.positions, order.symbol: after},
    )
    # What an order opens needs margin, however small the position is that it leaves: one that turns it opens, too. An
    # order that only reduces the position is never rejected for margin.
    if opened(before, signed_quantity) and (reason := _lack_of_margin(dealt, quotes, now)):
        return _rejected(portfolio, order, reason, executor, now)
    return dealt, Execution(
        order=order,
        status=OrderStatus.FILLED,
        sequence=dealt.sequence,
        epoch=executor.epoch,
        colour=executor.colour,
        executed_at=now,
        price=price,
        realised=realised,
        quoted_at=quote.time,
    )


def _lack_of_margin(portfolio: Portfolio, quotes: Mapping[str, Quote], now: dt.datetime) -> RejectReason | None:
    """Why nothing may be opened that leads to this portfolio; None if its free margin is 0 or more."""
    free = free_margin(portfolio, quotes, now)
    if free is None:
        return RejectReason.STALE_QUOTE
    return RejectReason.INSUFFICIENT_MARGIN if free < 0 else None


def free_margin(portfolio: Portfolio, quotes: Mapping[str, Quote], now: dt.datetime) -> Decimal | None:
    """Equity minus used margin, in US dollars; positions are valued at the price at which they could be closed.

    None if an open position has no quote, or a stale one: nobody knows what it has lost.
    """
    equity, used = portfolio.balance, Decimal(0)
    for position in portfolio.positions.values():
        if not position.quantity:
            continue
        quote = quotes.get(position.symbol)
        if quote is None or quote.is_stale(now):
            return None
        price = quote.bid if position.quantity > 0 else quote.ask
        equity += position.value_at(price)
        used += abs(position.quantity) * SYMBOLS[position.symbol].contract_size * price / portfolio.leverage
    return equity - used


def _rejected(
    portfolio: Portfolio, order: MarketOrder, reason: RejectReason, executor: Executor, now: dt.datetime
) -> tuple[Portfolio, Execution]:
    after = msgspec.structs.replace(portfolio, sequence=portfolio.sequence + 1)
    return after, Execution(
        order=order,
        status=OrderStatus.REJECTED,
        sequence=after.sequence,
        epoch=executor.epoch,
        colour=executor.colour,
        executed_at=now,
        reason=reason,
    )
