"""Cutovers under load: an upgrade by `spec.version`, a switch back to the kept version, a broken version."""

import subprocess

import pytest
from loads import Load, assert_kept, no_request_fails
from plugin import plugin
from rtx_cli.exits import ExitCode
from rtx_operator.api.enums import CutoverPhase, Reason
from upgrades import BROKEN_VERSION, NEW_VERSION, OLD_VERSION, Upgrades

pytestmark = pytest.mark.usefixtures("module_engine")


PHASES_OF_AN_UPGRADE = {
    CutoverPhase.MIGRATING,
    CutoverPhase.PROVISIONING,
    CutoverPhase.TESTING,
    CutoverPhase.SWITCHING,
    CutoverPhase.MONITORING,
    CutoverPhase.PROMOTING,
}


def test_upgrade_under_load_succeeds_without_a_failed_request(upgrades: Upgrades, loaded: Load) -> None:
    # Given an engine of version 1.0.0 under load.
    with no_request_fails(loaded):
        # When its version is bumped.
        cutover = upgrades.upgrade(NEW_VERSION)

    # Then the cutover succeeds through all its phases, and the new colour alone serves and executes.
    assert cutover["phase"] == CutoverPhase.SUCCEEDED, cutover
    assert set(cutover["seconds"]) >= PHASES_OF_AN_UPGRADE
    end = upgrades.end_state()
    assert end["version"] == NEW_VERSION
    assert end["previous"] == OLD_VERSION
    assert end["selects the active colour"]
    assert end["executors are the active colour"]
    assert end["active pods"] == end["idle pods"] == 2
    assert upgrades.cutover()["to"]["colour"] == upgrades.selected_colour()


def test_going_back_to_the_kept_version_only_switches(upgrades: Upgrades, loaded: Load) -> None:
    # Given version 1.1.0, with the pods of version 1.0.0 still running.
    upgrades.ensure_version(NEW_VERSION)
    kept = upgrades.status()["previous"]["colour"]
    before = {pod["metadata"]["uid"] for pod in upgrades.pods(kept)}

    # When a person rolls it back with the kubectl plugin under load.
    with no_request_fails(loaded):
        ended = run_plugin(upgrades, "rollback")
    cutover = upgrades.cutover()

    # Then the plugin has followed it to its end.
    assert ended.returncode == ExitCode.OK, ended
    assert f"version {OLD_VERSION} runs after" in ended.stdout

    # And the same pods serve again: no migration ran and no pod was started.
    assert cutover["phase"] == CutoverPhase.SUCCEEDED, cutover
    assert CutoverPhase.MIGRATING not in cutover["seconds"]
    assert {pod["metadata"]["uid"] for pod in upgrades.pods(kept)} == before
    assert upgrades.end_state()["version"] == OLD_VERSION
    assert upgrades.selected_colour() == kept

    # And the plugin's requests to pods get through: exec and a forwarded port.
    applied = run_plugin(upgrades, "migrations")
    assert (applied.returncode, "applied" in applied.stdout) == (ExitCode.OK, True), applied
    tested = run_plugin(upgrades, "smoke-test")
    assert (tested.returncode, tested.stdout.count("passed")) == (ExitCode.OK, 4), tested


def run_plugin(upgrades: Upgrades, *words: str) -> "subprocess.CompletedProcess[str]":
    engine = upgrades.engine
    return plugin(engine.kubectl.program, engine.namespace, words[0], engine.name, *words[1:])


def test_broken_version_is_rolled_back(upgrades: Upgrades, loaded: Load) -> None:
    # Given version 1.0.0 under load.
    upgrades.ensure_version(OLD_VERSION)

    # When the version is bumped to one that fails one order in five.
    cutover = upgrades.upgrade(BROKEN_VERSION)

    # Then the operator rolls back by itself, and the old version serves and executes again.
    assert cutover["phase"] == CutoverPhase.ROLLED_BACK, cutover
    assert cutover["reason"] == Reason.TOO_MANY_ERRORS
    end = upgrades.end_state()
    assert end["version"] == OLD_VERSION
    assert end["rejected"] == BROKEN_VERSION
    assert end["selects the active colour"]
    assert end["executors are the active colour"]

    # Then over the whole load no promise was broken, except for the 500s sent by the broken version itself.
    verdict = loaded.verdict(broken=BROKEN_VERSION)
    assert_kept(verdict)
    assert verdict.broken_version_failed_requests > 0
    upgrades.patch(version=OLD_VERSION)
