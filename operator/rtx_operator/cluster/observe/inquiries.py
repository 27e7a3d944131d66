"""Asks what may hang, an engine's database and its pods, beside the reconciles, and remembers what the database said.

Law: an answer is about the engine as it was when it was asked. After an act of the operator (`outdate`) no earlier
answer counts, and one that is not there yet is unknown, never the one before.

All that one reconcile needs to know is asked in one round, of which it takes the parts that are there when its budget
is spent. The end of the round wakes the engine's next reconcile, which takes the rest. A round ends in time: no answer
is an answer then, against which deadlines run. A database that does not answer is asked again after a growing pause,
without a reconcile, until it does (ADR 0035).
"""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from rtx_operator.cluster.observe.pods import NO_ANSWERS, PodAnswers
from rtx_operator.observation import FenceReport, Freshness
from rtx_operator.workers import outside
from rtx_operator.workqueue import Backoff

BUDGET_SECONDS = 1.0  # that a reconcile waits for new answers; healthy pods take 0.05, and on a starved machine 0.5
RECENT_SECONDS = 10.0  # the oldest answer of the database that counts where a recent one will do
ROUND_SECONDS = 6.0  # of any question: who has not answered then has not answered, and deadlines go on
NEW_SECONDS = 12.0  # from the begin of a round, in which its answers count as new
PAUSES = Backoff(first=0.5, limit=30.0)
PAUSES_IN_AN_OPERATION = Backoff(first=0.5, limit=4.0)  # its deadlines rest on what is observed meanwhile

_SILENT = FenceReport(error=f"the database has not answered for {ROUND_SECONDS:.0f} s")

Key = TypeVar("Key", bound=Hashable)
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about one engine. Errors are answers; what a call raises is a bug."""

    fence: Callable[[], Coroutine[Any, Any, FenceReport]] | None  # None: no database pod is there to ask
    pods: Callable[[], Coroutine[Any, Any, PodAnswers]] | None  # None: nothing is asked of the pods
    database: Hashable = None  # address and credentials: what another database answered does not count


@dataclass(frozen=True, slots=True)
class Answers:
    """What is known: of the database None where it was not asked, and of a pod that has not answered nothing."""

    fence: FenceReport | None
    pods: PodAnswers = NO_ANSWERS
    is_whole: bool = True  # everything that was asked has answered, be it with an error


@dataclass(eq=False, slots=True)
class _Round:
    begun: float
    fence: asyncio.Task[FenceReport] | None
    pods: asyncio.Task[PodAnswers] | None
    wakes: bool = False  # a reconcile has gone on without all answers

    @property
    def tasks(self) -> list[asyncio.Task[Any]]:
        return [task for task in (self.fence, self.pods) if task is not None]

    @property
    def is_done(self) -> bool:
        return all(task.done() for task in self.tasks)


@dataclass(eq=False, slots=True)
class _Engine:
    question: Question
    report: FenceReport | None = None  # the database's last answer, if it still counts
    asked: float = 0.0  # when the report was asked for
    failures: int = 0  # of the database in a row
    again: asyncio.TimerHandle | asyncio.Task[None] | None = None  # the next time that a silent database is asked
    round: _Round | None = None  # under way, or not yet taken by a reconcile
    freshness: Freshness = Freshness.RECENT  # as last needed


class Inquiries(Generic[Key]):
    """The questions to all engines. `wake` is called with an engine's key when a reconcile has something to learn."""

    def __init__(
        self,
        wake: Callable[[Key], None],
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._wake = wake
        self._clock = clock
        self._now = now
        self._engines: dict[Key, _Engine] = {}

    async def ask(self, key: Key, question: Question, freshness: Freshness) -> Answers:
        """The answers to `question`, as fresh as needed; where they must be new, those that come within the budget."""
        engine = self._engine(key, question, freshness)
        if freshness is Freshness.RECENT and question.pods is None and (known := self._recent(engine)):
            return Answers(known)
        round_ = self._round_of(key, engine)
        budget = BUDGET_SECONDS if freshness is Freshness.NEW else ROUND_SECONDS
        if not round_.is_done:
            async with outside():
                await asyncio.wait(round_.tasks, timeout=budget)
        if round_.is_done:
            engine.round = None  # taken: the next reconcile asks anew
        else:
            round_.wakes = True
        return Answers(
            self._fence_of(engine, round_),
            round_.pods.result() if round_.pods and round_.pods.done() else NO_ANSWERS,
            round_.is_done,
        )

    def outdate(self, key: Key) -> None:
        """No answer that was asked before now counts any more: the operator acts on the engine."""
        if engine := self._engines.get(key):
            _cancel_round(engine)
            if not engine.failures:  # that it did not answer says nothing about what has changed
                engine.report = None

    def forget(self, key: Key) -> bool:
        """Stop asking about an engine that is gone; whether it was asked."""
        engine = self._engines.pop(key, None)
        if engine:
            _cancel_round(engine)
            _cancel_again(engine)
        return engine is not None

    # --- one engine ---

    def _engine(self, key: Key, question: Question, freshness: Freshness) -> _Engine:
        engine = self._engines.setdefault(key, _Engine(question))
        if engine.question.database != question.database or question.fence is None:
            # Another database, or one whose pods are down: when they are up again, it is asked at once.
            _cancel_again(engine)
            engine.report, engine.failures = None, 0
        if engine.question.database != question.database:
            _cancel_round(engine)
        engine.question, engine.freshness = question, freshness
        return engine

    def _recent(self, engine: _Engine) -> FenceReport | None:
        """The database's last answer, if it is recent or all that there is to know for now."""
        if engine.question.fence is None:
            return None
        if engine.failures or self._clock() - engine.asked < RECENT_SECONDS:
            return self._aged(engine)
        return None

    def _aged(self, engine: _Engine) -> FenceReport | None:
        return engine.report and replace(engine.report, age_seconds=self._clock() - engine.asked)

    def _round_of(self, key: Key, engine: _Engine) -> _Round:
        """The round under way or not taken yet, else a new one."""
        if engine.round and self._clock() - engine.round.begun > NEW_SECONDS:
            _cancel_round(engine)
        if engine.round is None:
            engine.round = self._begin(key, engine, engine.question)
        return engine.round

    def _begin(self, key: Key, engine: _Engine, question: Question) -> _Round:
        fence = question.fence if not engine.failures else None  # a silent database is asked again on its own
        begun = _Round(
            self._clock(),
            asyncio.create_task(self._ask_database(key, engine, fence)) if fence else None,
            asyncio.create_task(_in_time(question.pods(), NO_ANSWERS)) if question.pods else None,
        )
        for task in begun.tasks:
            task.add_done_callback(lambda _: self._ended(key, begun))
        return begun

    def _fence_of(self, engine: _Engine, round_: _Round) -> FenceReport | None:
        """The part of the database in a round; unknown while it is not there, whatever was known before."""
        if engine.question.fence is None:
            return None
        if round_.fence is None:
            return self._aged(engine)
        if not round_.fence.done():
            return FenceReport(error="it has not answered yet")
        return replace(round_.fence.result(), age_seconds=self._clock() - round_.begun)

    def _ended(self, key: Key, round_: _Round) -> None:
        """A part of a round is there: wake the reconcile that waits for the whole."""
        engine = self._engines.get(key)
        if engine and engine.round is round_ and round_.is_done and round_.wakes:
            round_.wakes = False
            self._wake(key)

    # --- the database ---

    async def _ask_database(
        self, key: Key, engine: _Engine, fence: Callable[[], Coroutine[Any, Any, FenceReport]]
    ) -> FenceReport:
        asked, silent_since = self._clock(), engine.report.silent_since if engine.failures and engine.report else None
        report = await _in_time(fence(), _SILENT)
        if report.error:
            report = replace(report, silent_since=silent_since or self._now())
            engine.failures += 1
            pauses = PAUSES_IN_AN_OPERATION if engine.freshness is Freshness.NEW else PAUSES
            pause = pauses.delay(engine.failures, random.random())  # noqa: S311 - jitter is no secret
            engine.again = asyncio.get_running_loop().call_later(pause, self._ask_again, key, engine)
        else:
            engine.failures = 0
        engine.report, engine.asked = report, asked
        return report

    def _ask_again(self, key: Key, engine: _Engine) -> None:
        engine.again = asyncio.create_task(self._ask_silent_database(key, engine))

    async def _ask_silent_database(self, key: Key, engine: _Engine) -> None:
        """Ask once more, and wake the engine's reconcile only when there is something new to learn."""
        before, fence = engine.report, engine.question.fence
        if fence is None:
            return
        try:
            report = await self._ask_database(key, engine, fence)
        except Exception:  # noqa: BLE001 - a bug: the reconcile that is woken asks itself, and reports it
            engine.failures, engine.report = 0, None
            self._wake(key)
            return
        if before is None or report.error != before.error:
            self._wake(key)


async def _in_time(answer: Coroutine[Any, Any, Answer], otherwise: Answer) -> Answer:
    """The answer, or `otherwise` when the round ends before it is there."""
    try:
        async with asyncio.timeout(ROUND_SECONDS):
            return await answer
    except TimeoutError:
        return otherwise


def _cancel_round(engine: _Engine) -> None:
    if engine.round:
        for task in engine.round.tasks:
            task.cancel()
        engine.round = None


def _cancel_again(engine: _Engine) -> None:
    if engine.again:
        engine.again.cancel()
