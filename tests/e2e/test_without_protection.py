"""Negative controls: without forwarding, or without the fence, the tests of cutovers fail."""

import time

import pytest
from colours import DISABLE_FENCE_SQL, move_fence_back_and_forth, remove_peer_service, select_colour
from rtx_demo import database
from system_fixtures import StartLoad
from upgrades import Upgrades, other_colour

pytestmark = pytest.mark.slow

MISDIRECTED_SECONDS = 5  # while the live Service selects the colour that does not execute


def test_without_forwarding_requests_fail(paused_upgrades: Upgrades, start_load: StartLoad) -> None:
    # Given a colour that does not execute and has no peer Service to forward to.
    executes = paused_upgrades.selected_colour()
    remove_peer_service(paused_upgrades.engine, other_colour(executes))

    with start_load(paused_upgrades.engine) as loaded:
        # When the live Service selects that colour under load.
        select_colour(paused_upgrades.engine, other_colour(executes))
        time.sleep(MISDIRECTED_SECONDS)
        select_colour(paused_upgrades.engine, executes)
        verdict = loaded.verdict()

        # Then requests fail, and no order is lost, doubled or executed by the wrong colour.
        assert verdict.failed_requests > 0
        assert (verdict.orders_lost, verdict.orders_doubled, verdict.fenced_executions) == (0, 0, 0), verdict.findings


def test_without_the_fence_a_colour_executes_out_of_its_turn(paused_upgrades: Upgrades, start_load: StartLoad) -> None:
    # Given a database whose fence refuses nobody.
    database.psql(paused_upgrades.engine, DISABLE_FENCE_SQL)
    with start_load(paused_upgrades.engine) as loaded:
        # When the fence moves back and forth under load.
        move_fence_back_and_forth(paused_upgrades)
        verdict = loaded.verdict()

        # Then the comparison of commit times finds orders executed by a colour that was no executor.
        assert verdict.fenced_executions > 0
