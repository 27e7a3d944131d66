"""The signing keys of tokens are exchanged under load, by the runbook's commands: nobody is logged out."""

from pathlib import Path

from documented_commands import KEYS, RUNBOOK, shell_blocks
from loads import assert_kept
from pasted_commands import Shell
from rtx_demo.kubectl import Object
from rtx_demo.sample import Sample
from rtx_demo.waiting import eventually
from rtx_lab.provider import Provider
from system_fixtures import StartLoad
from testbed import Testbed
from upgrades import NEW_VERSION, Upgrades, upgradable

REPLACED_DEADLINE_SECONDS = 180.0


def test_exchange_of_the_keys_fails_no_request(
    sample: Sample, testbed: Testbed, local_cluster: Provider, start_load: StartLoad, tmp_path: Path
) -> None:
    # Given an engine whose clients have tokens of the key that signs; the version before it knows one key only.
    testbed.discard()
    with upgradable(sample, version=NEW_VERSION) as engine, start_load(engine) as loaded:
        upgrades = Upgrades(engine)
        assert engine.name == "rtx", "the runbook's commands name the sample's engine"
        earlier = ready_pods(upgrades)

        # When the two keys are exchanged, and every pod has been replaced for it.
        [exchange] = [block for block in shell_blocks(RUNBOOK) if block.heading == KEYS]
        Shell(local_cluster, tmp_path, engine.namespace).paste(exchange)
        eventually(
            lambda: len(now := ready_pods(upgrades)) == len(earlier) and now.isdisjoint(earlier),
            "as many ready pods as before, all of them new",
            deadline=REPLACED_DEADLINE_SECONDS,
        )
        upgrades.wait_until_reconciled()

        # Then no request failed, whichever key its token is of and whichever pod it reached, and no event was missed.
        assert_kept(loaded.verdict())


def ready_pods(upgrades: Upgrades) -> set[str]:
    """The uids of the live colour's pods that are ready; those that end are none of them."""
    return {pod["metadata"]["uid"] for pod in upgrades.pods(upgrades.selected_colour()) if is_ready(pod)}


def is_ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
