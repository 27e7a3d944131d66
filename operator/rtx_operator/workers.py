"""The places in which reconciles run, and who gets the next free one.

Law: a reconcile holds a place while it computes or talks to an API server that answers, and not for longer.

- What may hang (a database, a pod) is awaited `outside` of the place, and the reconcile takes a place again afterwards.
- Who holds a place for longer than PATIENCE_SECONDS has met something else that hangs, such as a write behind a webhook
  that does not answer: it goes on, and its place is given to the next. At most MAX_OVERDUE go on like this, and none
  while the process itself is late: more reconciles at a time would make it later.
- URGENT goes before NORMAL: traffic waits for those reconciles. NORMAL goes before ROUTINE: somebody may wait for it.
  After IN_A_ROW of one priority a lower one that waits has its turn, so none starves; and the last free place is kept
  for the urgent, so that they find one at once.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from enum import Enum, auto

PATIENCE_SECONDS = 2.0  # a reconcile whose API server answers takes a tenth of it
MAX_OVERDUE = 32  # each is a request that hangs for up to 10 s: memory, and no CPU
MAX_LAG_SECONDS = 0.2  # of a timer, in a process that has processor time enough
IN_A_ROW = 4


class Priority(Enum):
    """Whose turn it is first, in this order."""

    URGENT = auto()  # traffic waits for it
    NORMAL = auto()
    ROUTINE = auto()  # at rest by its stored status: a new leader has a whole fleet of them to look at

    def goes_before(self, other: "Priority") -> bool:
        return bool(self.value < other.value)


class _Place:
    """The place of one reconcile; it is held from the start."""

    def __init__(self, priority: Priority) -> None:
        self.priority = priority
        self.is_held = True
        self.is_overdue = False
        self.has_ended = False  # with its reconcile, of which a task may go on
        self.patience: asyncio.TimerHandle | None = None


_current: ContextVar[_Place | None] = ContextVar("place", default=None)
_current_workers: ContextVar["Workers | None"] = ContextVar("workers", default=None)


class Workers:
    """A number of places. Who waits for one is started, or goes on, when it is its turn."""

    def __init__(self) -> None:
        self._size = 0  # until `open`
        self._held = dict.fromkeys(Priority, 0)
        self._overdue = 0
        self._in_a_row = dict.fromkeys(Priority, 0)  # since a lower one had its turn
        self._lines: dict[Priority, deque[Callable[[], bool]]] = {priority: deque() for priority in Priority}

    def open(self, size: int) -> None:
        """Give out `size` places from now on."""
        self._size = size
        self._give_out()

    def submit(self, start: Callable[[], bool], priority: Priority) -> None:
        """Call `start` when it is its turn. It returns whether it takes the place, which what it starts must enter."""
        self._lines[priority].append(start)
        self._give_out()

    @asynccontextmanager
    async def place(self, priority: Priority) -> AsyncIterator[None]:
        """Hold the place that a `start` of this priority has taken. The block may go `outside` of it."""
        place = _Place(priority)
        self._limit(place)
        before = _current.set(place), _current_workers.set(self)
        try:
            yield
        finally:
            _current.reset(before[0])
            _current_workers.reset(before[1])
            place.has_ended = True
            self.leave(place)

    def leave(self, place: _Place) -> None:
        """Give the place back, if it is held."""
        if place.patience is not None:
            place.patience.cancel()
        if place.is_overdue:
            place.is_overdue = False
            self._overdue -= 1
        if place.is_held:
            place.is_held = False
            self._held[place.priority] -= 1
        self._give_out()

    async def take_again(self, place: _Place) -> None:
        """Wait for a place, before those of the same priority that have not started yet.

        A task that outlives its reconcile gets none: nobody would give it back.
        """
        if place.has_ended:
            return
        turn = asyncio.get_running_loop().create_future()

        def go_on() -> bool:
            if turn.cancelled():
                return False
            if place.has_ended:
                turn.set_result(None)
                return False
            place.is_held = True
            turn.set_result(None)
            return True

        self._lines[place.priority].appendleft(go_on)
        self._give_out()
        await turn
        if place.is_held:
            self._limit(place)

    def _limit(self, place: _Place) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + PATIENCE_SECONDS
        place.patience = loop.call_at(due, self._lose_patience, place, due)

    def _lose_patience(self, place: _Place, due: float) -> None:
        if not place.is_held:
            return
        if asyncio.get_running_loop().time() - due > MAX_LAG_SECONDS or self._overdue >= MAX_OVERDUE:
            self._limit(place)
        else:
            place.is_held, place.is_overdue = False, True
            self._held[place.priority] -= 1
            self._overdue += 1
            self._give_out()

    def _give_out(self) -> None:
        while (priority := self._next()) is not None:
            if self._lines[priority].popleft()():
                self._held[priority] += 1
                self._in_a_row[priority] += 1
                self._in_a_row.update({higher: 0 for higher in Priority if higher.goes_before(priority)})

    def _next(self) -> Priority | None:
        """The priority that gets the next place; None when no place is free, or nobody may take it."""
        held = sum(self._held.values())
        last_is_kept = held - self._held[Priority.URGENT] >= self._size - (1 if self._size > 1 else 0)
        waiting = [one for one in Priority if self._lines[one] and (one is Priority.URGENT or not last_is_kept)]
        if held >= self._size or not waiting:
            return None
        return next((one for one in waiting if self._in_a_row[one] < IN_A_ROW), waiting[-1])


@asynccontextmanager
async def outside() -> AsyncIterator[None]:
    """Run the block, which may hang, without a place; of code that holds none, nothing changes."""
    place, workers = _current.get(), _current_workers.get()
    if place is None or workers is None or not (place.is_held or place.is_overdue):
        yield
        return
    workers.leave(place)
    try:
        yield
    finally:
        await workers.take_again(place)
