"""What the tests of cutovers would see if forwarding, or the fence, were not there."""

import time

from colours import FENCE_OFF, knows_no_other, lead_to, move_to_and_fro
from rtx_demo import database
from system_fixtures import StartLoad
from upgrades import Upgrades, other_colour


def test_without_forwarding_requests_fail(unattended: Upgrades, start_load: StartLoad) -> None:
    # given a colour that does not execute and knows of no other
    executes = unattended.selected()
    knows_no_other(unattended.engine, other_colour(executes))

    # when the live Service leads to it under load, then requests fail
    with start_load(unattended.engine) as loaded:
        lead_to(unattended.engine, other_colour(executes))
        time.sleep(5)
        lead_to(unattended.engine, executes)
        verdict = loaded.verdict()
        assert verdict.failed_requests > 0
        assert (verdict.orders_lost, verdict.orders_doubled, verdict.fenced_executions) == (0, 0, 0), verdict.findings


def test_without_the_fence_a_colour_executes_out_of_its_turn(unattended: Upgrades, start_load: StartLoad) -> None:
    # given a database that refuses nobody, when the fence moves to and fro under load
    database.psql(unattended.engine, FENCE_OFF)
    with start_load(unattended.engine) as loaded:
        move_to_and_fro(unattended)
        verdict = loaded.verdict()

        # then the comparison of commit times finds those who executed when they should not have
        assert verdict.fenced_executions > 0
