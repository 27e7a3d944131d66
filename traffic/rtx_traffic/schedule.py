"""The schedule of a run: what is sent and when, independent of the engine's behaviour. Pure."""

import math
import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from .ledger import Kind, Lane, Order

READ_SHARE = 0.2
REPEAT_SHARE = 0.05  # of the orders
READ_PATHS = ("/api/positions", "/api/account", "/api/orders?limit=20", "/api/symbols")
MAX_REPEATABLE_ORDERS = 200  # so a repeat may follow an order in flight, or one answered long ago


@dataclass(frozen=True, slots=True)
class ScheduledRequest:
    """A request due `at` seconds after the start."""

    number: int
    at: float
    lane: Lane
    kind: Kind


def schedule(
    *, rate: float, new_per_second: float, duration: float, seed: int, part: int = 0, parts: int = 1
) -> Iterator[ScheduledRequest]:
    """Evenly spaced requests: `rate` per second, `new_per_second` of them on new connections; duration 0 is endless.

    The requests of the parts interleave, and their numbers are unique over all parts.
    """
    choose = random.Random(seed)  # noqa: S311  a load must be repeatable, not unpredictable
    new_share = new_per_second / rate
    total = math.floor(rate * duration)
    for number in range(total) if duration else count():
        is_new = math.floor((number + 1) * new_share) > math.floor(number * new_share)
        at = (number + part / parts) / rate
        yield ScheduledRequest(
            number * parts + part, at, Lane.NEW if is_new else Lane.KEEP_ALIVE, _kind(choose.random())
        )


def _kind(draw: float) -> Kind:
    if draw < READ_SHARE:
        return Kind.READ
    return Kind.REPEAT if draw < READ_SHARE + REPEAT_SHARE * (1 - READ_SHARE) else Kind.ORDER


class OrderSource:
    """Orders for the schedule: small and of both sides, so that margin lasts for any duration."""

    def __init__(self, *, run: str, account_ids: Sequence[str], symbols: Sequence[str], seed: int) -> None:
        self._run = run
        self._account_ids = account_ids
        self._symbols = symbols
        self._choose = random.Random(seed)  # noqa: S311  as above
        self._recent: deque[Order] = deque(maxlen=MAX_REPEATABLE_ORDERS)

    def fresh(self, number: int) -> Order:
        order = Order(
            client_order_id=f"{self._run}-{number}",
            account_id=self._choose.choice(self._account_ids),
            symbol=self._choose.choice(self._symbols),
            side=self._choose.choice(("buy", "sell")),
            quantity=f"0.{self._choose.randint(1, 10):02d}",
        )
        self._recent.append(order)
        return order

    def repeat(self) -> Order | None:
        """An earlier order, unchanged; None before the first one."""
        return self._choose.choice(self._recent) if self._recent else None
