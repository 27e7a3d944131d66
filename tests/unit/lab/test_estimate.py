"""Estimates of build times, and their texts."""

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
def test_remaining_time_of_pending_builds_follows_their_schedule(pending: tuple[str, ...], expected: float) -> None:
    assert builds(pending=pending).remaining_s() == expected


def test_remaining_time_excludes_elapsed_time() -> None:
    assert builds(running={"long": 150.0}, pending=("short",)).remaining_s() == 450.0


def test_slower_machine_scales_the_remaining_time() -> None:
    # given: the short one took 200 s instead of 100 s
    now = builds(built={"short": 200.0}, running={"long": 200.0}, pending=("middle",))
    # then
    assert now.slowness() == 2.0
    assert now.remaining_s() == 1000.0


def test_faster_machine_scales_the_remaining_time() -> None:
    assert builds(built={"short": 50.0}, pending=("long",)).remaining_s() == 300.0


def test_recorded_slowness_counts_until_the_first_build_ends() -> None:
    assert builds(before=3.0, pending=("short",)).remaining_s() == 300.0
    assert builds(before=3.0, built={"middle": 200.0}, pending=("short",)).remaining_s() == 100.0


def test_late_build_scales_the_remaining_time() -> None:
    # given: the middle one runs for three times as long as it was measured
    now = builds(running={"middle": 600.0}, pending=("long",))
    # then
    assert now.slowness() == 3.0
    assert now.remaining_s() == 1800.0
    assert builds(running={"middle": 600.0}).remaining_s() == 0.0


def test_unmeasured_build_has_no_estimate() -> None:
    assert builds(pending=("long", "new")).remaining_s() is None
    assert builds(running={"new": 5.0}).remaining_s() is None
    assert builds(built={"new": 5.0}, pending=("short",)).remaining_s() == 100.0


def test_slowness_is_the_ratio_of_the_sums() -> None:
    assert estimate.slowness(SECONDS, {"long": 700.0, "short": 0.0, "new": 99.0}) == 1.0
    assert estimate.slowness(SECONDS, {"new": 99.0}) is None


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "less than a minute"), (59.9, "less than a minute"), (60, "about 1 min"), (400, "about 7 min")],
)
def test_seconds_in_words(seconds: float, expected: str) -> None:
    assert estimate.about(seconds) == expected


@pytest.mark.parametrize(
    ("cores", "measured_here", "expected"),
    [
        (2, False, "Builds 8 programs, about 12 min on 2 cores; later runs are quick"),
        (16, False, "Builds 8 programs, about 12 min on 2 cores (this machine has 16); later runs are quick"),
        (16, True, "Builds 8 programs, about 12 min as measured on this machine; later runs are quick"),
    ],
)
def test_announcement_names_the_origin_of_the_estimate(cores: int, measured_here: bool, expected: str) -> None:
    text = estimate.announcement(
        "Builds 8 programs", 720.0, cores=cores, measured_here=measured_here, later="later runs are quick"
    )
    assert text == expected


def test_announcement_without_an_estimate_names_no_time() -> None:
    text = estimate.announcement("Builds tiny", None, cores=2, measured_here=False, later="later runs are quick")
    assert text == "Builds tiny; later runs are quick"


def test_progress_line_shows_remaining_time_and_running_builds() -> None:
    now = builds(built={"short": 100.0}, running={"long": 210.0}, pending=("middle",))
    assert estimate.state(now, "programs") == "1 of 3 programs built, about 6 min left (long 210 s)"
    assert estimate.state(builds(pending=("new",)), "programs") == "0 of 1 programs built"


def test_every_build_has_a_measurement() -> None:
    assert set(estimate.PROGRAM_SECONDS) == {program.name for program in binaries.PROGRAMS}
    assert set(estimate.IMAGE_SECONDS) == {images.BASE, *(image.reference for image in images.IMAGES)}
