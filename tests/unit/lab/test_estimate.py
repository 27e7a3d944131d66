"""What is said of the time that builds take."""

import pytest
from rtx_lab import binaries, estimate, images
from rtx_lab.estimate import Builds

SECONDS = {"long": 600.0, "middle": 200.0, "short": 100.0}


def builds(**now: object) -> Builds:
    return Builds(SECONDS, concurrency=2, **now)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pending", "expected"),
    [
        ((), 0.0),
        (("short",), 100.0),
        (("long", "middle", "short"), 600.0),  # the others fit beside the long one
        (("short", "middle", "long"), 700.0),  # the long one begins when the short one is built
    ],
)
def test_builds_that_have_not_begun_take_what_their_schedule_takes(pending: tuple[str, ...], expected: float) -> None:
    assert builds(pending=pending).remaining_s() == expected


def test_what_has_run_is_taken_off() -> None:
    assert builds(running={"long": 150.0}, pending=("short",)).remaining_s() == 450.0


def test_a_machine_that_is_half_as_fast_takes_twice_as_long_for_the_rest() -> None:
    # given: the short one took 200 s instead of 100 s
    now = builds(built={"short": 200.0}, running={"long": 200.0}, pending=("middle",))
    # then
    assert now.slowness() == 2.0
    assert now.remaining_s() == 1000.0


def test_a_faster_machine_takes_less() -> None:
    assert builds(built={"short": 50.0}, pending=("long",)).remaining_s() == 300.0


def test_an_earlier_run_counts_until_the_first_is_built() -> None:
    assert builds(before=3.0, pending=("short",)).remaining_s() == 300.0
    assert builds(before=3.0, built={"middle": 200.0}, pending=("short",)).remaining_s() == 100.0


def test_one_that_is_late_is_nearly_done_and_makes_the_rest_later() -> None:
    # given: the middle one runs for three times as long as it was measured
    now = builds(running={"middle": 600.0}, pending=("long",))
    # then
    assert now.slowness() == 3.0
    assert now.remaining_s() == 1800.0
    assert builds(running={"middle": 600.0}).remaining_s() == 0.0


def test_what_was_never_measured_has_no_estimate() -> None:
    assert builds(pending=("long", "new")).remaining_s() is None
    assert builds(running={"new": 5.0}).remaining_s() is None
    assert builds(built={"new": 5.0}, pending=("short",)).remaining_s() == 100.0


def test_slowness_is_that_of_all_together() -> None:
    assert estimate.slowness(SECONDS, {"long": 700.0, "short": 0.0, "new": 99.0}) == 1.0
    assert estimate.slowness(SECONDS, {"new": 99.0}) is None


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "less than a minute"), (59.9, "less than a minute"), (60, "about 1 min"), (400, "about 7 min")],
)
def test_minutes_in_words(seconds: float, expected: str) -> None:
    assert estimate.about(seconds) == expected


@pytest.mark.parametrize(
    ("cores", "measured_here", "expected"),
    [
        (2, False, "Builds 8 programs, about 12 min on 2 cores; later runs are quick"),
        (16, False, "Builds 8 programs, about 12 min on 2 cores (this machine has 16); later runs are quick"),
        (16, True, "Builds 8 programs, about 12 min by the last time on this machine; later runs are quick"),
    ],
)
def test_the_opening_says_where_the_figure_is_from(cores: int, measured_here: bool, expected: str) -> None:
    said = estimate.announcement(
        "Builds 8 programs", 720.0, cores=cores, measured_here=measured_here, later="later runs are quick"
    )
    assert said == expected


def test_an_opening_without_an_estimate_names_no_time() -> None:
    said = estimate.announcement("Builds tiny", None, cores=2, measured_here=False, later="later runs are quick")
    assert said == "Builds tiny; later runs are quick"


def test_the_state_says_what_is_left_and_what_runs() -> None:
    now = builds(built={"short": 100.0}, running={"long": 210.0}, pending=("middle",))
    assert estimate.state(now, "programs") == "1 of 3 programs built, about 6 min left (long 210 s)"
    assert estimate.state(builds(pending=("new",)), "programs") == "0 of 1 programs built"


def test_every_build_was_measured() -> None:
    assert set(estimate.PROGRAM_SECONDS) == {program.name for program in binaries.PROGRAMS}
    assert set(estimate.IMAGE_SECONDS) == {images.BASE, *(image.reference for image in images.IMAGES)}
