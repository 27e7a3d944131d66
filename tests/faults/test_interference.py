"""The operator, an engine pod, the fence or the live Service changes under everybody's feet."""

import time

import pytest
from colours import lead_to, move_to_and_fro
from loads import Load, assert_kept, assert_kept_over_all, nothing_fails
from nodes import busiest
from rtx_demo import installation
from system_fixtures import StartLoad
from upgrades import Upgrades, assert_succeeded, other_colour, other_pods

pytestmark = pytest.mark.usefixtures("load_of_the_module")


def test_the_operator_is_rolled_in_the_middle(upgrades: Upgrades, loaded: Load) -> None:
    # given a cutover whose new pods start, when the operator's pods are replaced
    with nothing_fails(loaded):
        upgrades.begin(**other_pods())
        upgrades.wait_for("Provisioning")
        where = (f"deployment/{installation.DEPLOYMENT}", "--namespace", installation.NAMESPACE)
        upgrades.kubectl.run("rollout", "restart", *where)

        # then it succeeds all the same
        assert_succeeded(upgrades, upgrades.wait_until_over())
        installation.wait_until_running(upgrades.kubectl)


def test_an_engine_pod_is_deleted(upgrades: Upgrades, loaded: Load) -> None:
    # given no cutover, when one of the pods that serve is deleted, then another takes its place and nothing fails
    with nothing_fails(loaded):
        name = busiest(upgrades.pods(upgrades.selected()))["metadata"]["name"]
        upgrades.kubectl.delete("pod", name, upgrades.engine.namespace, deadline=120)
        upgrades.settle()


def test_over_all_of_it_nothing_was_lost(upgrades: Upgrades, loaded: Load) -> None:
    # given the one load that went through the faults above, when its ledger is compared with the database
    # then no request failed, no order was lost or doubled, no event missed, and only executors executed
    assert_kept_over_all(loaded)


def test_whoever_executes_and_whoever_is_asked_may_differ(unattended: Upgrades, start_load: StartLoad) -> None:
    # given a load, when the fence moves to and fro, unannounced, and then the live Service leads to the wrong colour
    with start_load(unattended.engine) as loaded:
        executes = move_to_and_fro(unattended)
        lead_to(unattended.engine, other_colour(executes))
        time.sleep(5)
        lead_to(unattended.engine, executes)

        # then nothing fails, and no colour executes out of its turn
        assert_kept(loaded.verdict())
