"""What may hang is asked beside the reconciles: how old an answer may be, and how often a silent database is asked."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import cast

import pytest
from rtx_operator.cluster.observe.database import read_fence
from rtx_operator.cluster.observe.inquiries import (
    BUDGET_SECONDS,
    PAUSES,
    PAUSES_IN_AN_OPERATION,
    RECENT_SECONDS,
    Inquiries,
    Question,
)
from rtx_operator.cluster.observe.pods import NO_ANSWERS, PodAnswers
from rtx_operator.cluster.postgres import Address, Reader
from rtx_operator.observation import OBSERVATION_GAP_SECONDS, BlockingSession, Fence, FenceReport, Freshness
from virtual_time import clock, run

KEY = ("trading", "rtx")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HANG_SECONDS = 5.0
PODS = PodAnswers({"rtx-engine-blue-1": "no answer"}, {}, ())


@dataclass
class Database:
    """A database that answers after `seconds`, with an error while it is `down`; each read raises the epoch."""

    seconds: float = 0.01
    down: bool = False
    asked: list[float] = field(default_factory=list)

    @property
    def pauses(self) -> list[float]:
        """Seconds from the end of each read that hung to the begin of the next."""
        return [later - earlier - HANG_SECONDS for earlier, later in pairwise(self.asked)]

    async def read(self) -> FenceReport:
        self.asked.append(clock())
        epoch = len(self.asked)
        await asyncio.sleep(HANG_SECONDS if self.down else self.seconds)
        return FenceReport(error="no answer") if self.down else FenceReport(Fence(epoch, ("blue",), "", "owner"))


@dataclass
class Asked:
    """The questions about one engine, and when its reconcile was woken."""

    database: Database = field(default_factory=Database)
    pods_seconds: float | None = None  # that the pods take to answer; None: they are not asked
    address: str = "db"
    woken: list[float] = field(default_factory=list)
    inquiries: Inquiries[tuple[str, str]] = field(init=False)

    def __post_init__(self) -> None:
        def now() -> datetime:
            return NOON + timedelta(seconds=clock())

        self.inquiries = Inquiries(lambda _: self.woken.append(clock()), clock, now)

    async def ask(self, freshness: Freshness):
        pods = self._pods if self.pods_seconds is not None else None
        return await self.inquiries.ask(KEY, Question(self.database.read, pods, self.address), freshness)

    async def epoch(self, freshness: Freshness) -> int | None:
        """The epoch of the answer; None when the fence is unknown."""
        report = (await self.ask(freshness)).fence
        return report.fence.epoch if report and report.fence else None

    async def _pods(self) -> PodAnswers:
        await asyncio.sleep(self.pods_seconds or 0.0)
        return PODS


def virtual(test: Callable[[], object]) -> Callable[[], None]:
    def in_virtual_time() -> None:
        run(test())  # type: ignore[arg-type]

    in_virtual_time.__name__, in_virtual_time.__doc__ = test.__name__, test.__doc__
    return in_virtual_time


# --- how old an answer may be ----------------------------------------------------------------------------------------


@virtual
async def test_recent_answer_serves_an_engine_at_rest_and_its_age_is_told():
    asked = Asked()
    assert await asked.epoch(Freshness.RECENT) == 1
    await asyncio.sleep(RECENT_SECONDS / 2)

    report = (await asked.ask(Freshness.RECENT)).fence

    assert report is not None
    assert report.fence == Fence(1, ("blue",), "", "owner")
    assert report.age_seconds == pytest.approx(RECENT_SECONDS / 2, abs=0.1)


@virtual
async def test_answer_that_is_not_recent_any_more_is_asked_anew():
    asked = Asked()
    await asked.epoch(Freshness.RECENT)
    await asyncio.sleep(RECENT_SECONDS)

    assert await asked.epoch(Freshness.RECENT) == 2


@virtual
async def test_remembered_answer_never_satisfies_a_check_that_needs_a_new_one():
    # Given an answer that has just come
    asked = Asked()
    assert await asked.epoch(Freshness.NEW) == 1

    # When new ones are needed, then each is asked for
    assert [await asked.epoch(Freshness.NEW) for _ in range(3)] == [2, 3, 4]

    # And while a slow one is not there, the fence is unknown, although an answer is remembered
    asked.database.seconds = 2.0
    answers = await asked.ask(Freshness.NEW)
    assert answers.fence is not None
    assert (answers.fence.fence, answers.is_whole) == (None, False)


@virtual
async def test_answer_asked_before_an_act_of_the_operator_does_not_count_after_it():
    # Given a slow answer that a reconcile has not waited for
    asked = Asked(Database(seconds=2.0))
    assert await asked.epoch(Freshness.NEW) is None

    # When the operator acts on the engine, and the answer would be there
    asked.inquiries.outdate(KEY)
    await asyncio.sleep(3.0)

    # Then it is dropped, and the next one is another
    assert await asked.epoch(Freshness.NEW) is None
    await asyncio.sleep(2.0)
    assert await asked.epoch(Freshness.NEW) == 2
    asked.inquiries.outdate(KEY)
    assert await asked.epoch(Freshness.RECENT) == 3


@virtual
async def test_answer_of_another_database_does_not_count():
    asked = Asked()
    await asked.epoch(Freshness.RECENT)
    asked.address = "another"

    assert await asked.epoch(Freshness.RECENT) == 2


# --- what a reconcile waits for --------------------------------------------------------------------------------------


@virtual
async def test_reconcile_waits_for_new_answers_no_longer_than_its_budget_and_their_end_wakes_it():
    # Given pods that take two seconds
    asked = Asked(pods_seconds=2.0)

    # When new answers are needed
    answers = await asked.ask(Freshness.NEW)

    # Then the reconcile gets the database's within its budget, and nothing of the pods
    assert clock() == pytest.approx(BUDGET_SECONDS)
    assert answers.fence is not None
    assert answers.fence.fence is not None
    assert (dict(answers.pods.reports), answers.is_whole) == ({}, False)

    # And it is woken once they have answered, and takes both from that round
    await asyncio.sleep(3.0)
    assert asked.woken == [pytest.approx(2.0)]
    answers = await asked.ask(Freshness.NEW)
    assert (answers.pods, answers.is_whole, len(asked.database.asked)) == (PODS, True, 1)


@virtual
async def test_round_that_nobody_has_taken_for_long_is_not_new_any_more():
    asked = Asked(pods_seconds=2.0)
    await asked.ask(Freshness.NEW)
    await asyncio.sleep(60.0)

    answers = await asked.ask(Freshness.NEW)

    assert (answers.is_whole, len(asked.database.asked)) == (False, 2)


@virtual
async def test_question_that_is_never_answered_is_answered_so_when_its_round_ends():
    # Given pods that hang for longer than any deadline of theirs
    asked = Asked(pods_seconds=1e6)

    # When new answers are needed for as long
    answers = [await asked.ask(Freshness.NEW) for _ in range(20)]

    # Then a deadline finds what has answered, and runs
    whole = [one for one in answers if one.is_whole]
    assert whole
    assert all(one.pods == NO_ANSWERS and one.fence and one.fence.fence for one in whole)


@virtual
async def test_database_that_never_answers_is_silent_when_its_round_ends():
    asked = Asked(Database(seconds=1e6))

    answers = [await asked.ask(Freshness.NEW) for _ in range(20)]

    whole = [one.fence for one in answers if one.is_whole]
    assert {report and report.error for report in whole} == {"the database has not answered for 6 s"}
    assert whole[0] is not None
    assert whole[0].silent_since is not None


@virtual
async def test_fence_counts_although_a_busy_database_does_not_tell_what_a_migration_waits_for_in_time():
    # Given a database that takes 3.6 s for each query, while a migration runs
    class Busy:
        async def read(self, *_: object) -> FenceReport:
            await asyncio.sleep(3.6)
            return FenceReport(Fence(1, ("blue",), "", "owner"))

        async def find_blocking(self, *_: object) -> tuple[BlockingSession, ...]:
            await asyncio.sleep(3.6)
            raise AssertionError("it is not waited for")

    asked = Asked()
    question = Question(lambda: read_fence(cast("Reader", Busy()), "x", Address("db", 1), migrates=True), None, "db")

    # When new answers are needed
    answers = [await asked.inquiries.ask(KEY, question, Freshness.NEW) for _ in range(6)]

    # Then the fence is known
    fences = [one.fence and one.fence.fence for one in answers if one.is_whole]
    assert fences == [Fence(1, ("blue",), "", "owner")]


# --- a database that does not answer ---------------------------------------------------------------------------------


@virtual
async def test_silent_database_is_asked_after_growing_pauses_without_waking_a_reconcile():
    asked = Asked(Database(down=True))
    await asked.ask(Freshness.RECENT)
    await asyncio.sleep(600.0)

    pauses = asked.database.pauses
    assert pauses[0] <= PAUSES.first
    assert all(PAUSES.limit / 2 <= pause <= PAUSES.limit for pause in pauses[7:])
    assert asked.woken == []


@virtual
async def test_reconcile_does_not_wait_for_a_silent_database_again_and_learns_since_when():
    asked = Asked(Database(down=True))
    await asked.ask(Freshness.RECENT)
    await asyncio.sleep(100.0)
    before = clock()

    reports = [(await asked.ask(freshness)).fence for freshness in Freshness]

    assert clock() == before
    assert {report and (report.error, report.silent_since) for report in reports} == {
        ("no answer", NOON + timedelta(seconds=HANG_SECONDS))
    }


@virtual
async def test_database_that_answers_again_wakes_the_reconcile_and_resets_the_pause():
    # Given a database that has been silent for long
    asked = Asked(Database(down=True))
    await asked.ask(Freshness.RECENT)
    await asyncio.sleep(600.0)

    # When it answers again, then the reconcile is woken once
    asked.database.down = False
    await asyncio.sleep(PAUSES.limit + HANG_SECONDS)
    assert len(asked.woken) == 1
    assert await asked.epoch(Freshness.RECENT) is not None

    # And after the next silence the pauses are short again
    asked.database.down = True
    asked.database.asked.clear()
    asked.inquiries.outdate(KEY)
    await asked.ask(Freshness.RECENT)
    await asyncio.sleep(2 * HANG_SECONDS)
    assert asked.database.pauses[0] <= PAUSES.first


@virtual
async def test_pause_in_an_operation_stays_below_the_gap_after_which_no_deadline_fires():
    asked = Asked(Database(down=True))
    await asked.ask(Freshness.NEW)
    await asyncio.sleep(600.0)

    pauses = asked.database.pauses
    assert max(pauses) <= PAUSES_IN_AN_OPERATION.limit < OBSERVATION_GAP_SECONDS


@virtual
async def test_database_whose_pods_were_down_is_asked_at_once():
    asked = Asked(Database(down=True))
    await asked.ask(Freshness.RECENT)
    await asyncio.sleep(600.0)
    assert (await asked.inquiries.ask(KEY, Question(None, None), Freshness.RECENT)).fence is None
    asked.database.down = False

    assert await asked.epoch(Freshness.RECENT) is not None


@virtual
async def test_engine_that_is_gone_is_asked_no_more():
    asked = Asked(Database(down=True))
    await asked.ask(Freshness.RECENT)
    asked.inquiries.forget(KEY)
    await asyncio.sleep(600.0)

    assert len(asked.database.asked) == 1
