"""What may happen to a retirement: outages, lost nodes, people who scale, a due cutover, records of other operators."""

import json
from datetime import timedelta
from typing import Any

from cutover_walks import UPGRADE_PHASES, reconciled, until_retiring, upgraded, walk
from cutover_world import Intent, World
from maintenance_walks import condition
from retirement_walks import hang, stalled, until
from rtx_operator.api.enums import Component, ConditionType, CutoverPhase, Reason, RetirementPhase
from rtx_operator.api.names import Label, Names
from rtx_operator.decision.outcome import Outcome
from rtx_operator.decision.requeue import IMMEDIATELY, requeue_after
from rtx_operator.desired.state import JOB_LABEL
from rtx_operator.observation import Object
from simulated_api import label


def test_retirement_survives_a_definition_that_does_not_store_it(world: World) -> None:
    # Given a CRD older than the operator, which drops status.retirement
    upgraded(world)
    write = world.write_status

    def write_without_retirement(intent: Intent, outcome: Outcome) -> None:
        write(intent, outcome)
        world.status = json.dumps({name: value for name, value in world.stored.items() if name != "retirement"})

    world.write_status = write_without_retirement  # type: ignore[method-assign]
    for _ in range(100):
        world.tick()
        world.reconcile()
    assert world.stored["previous"]

    # When the CRD of the operator's release is applied
    world.write_status = write  # type: ignore[method-assign]

    # Then the previous release is removed
    assert until(world, RetirementPhase.SUCCEEDED)
    assert world.colour_pods("blue") == []


def test_message_that_an_older_definition_does_not_store_makes_no_loop(world: World) -> None:
    # Given a CRD that drops status.previous.message, and a release that is kept because the active one is down
    upgraded(world)
    write = world.write_status

    def write_without_message(intent: Intent, outcome: Outcome) -> None:
        write(intent, outcome)
        if previous := world.stored.get("previous"):
            kept = {name: value for name, value in previous.items() if name != "message"}
            world.status = json.dumps({**world.stored, "previous": kept})

    world.write_status = write_without_message  # type: ignore[method-assign]
    world.faults.add("unready:1.1.0")
    for pod in world.colour_pods("green"):
        world.crash(pod)
    reconciled(world, 100)

    # When it is reconciled, then not again without a pause
    decision = world.intend().decision
    assert decision.state.previous
    assert decision.state.previous.message
    assert requeue_after(decision, Outcome(), now=world.now, resync=600) > IMMEDIATELY


def test_time_to_end_counts_from_when_the_pods_were_asked_to(retiring: World) -> None:
    # Given a database that is away, so that nobody may be scaled down
    retiring.faults.add("no database")
    assert not until(retiring, RetirementPhase.FAILED, reconciles=100, seconds=10)

    # When it is back, then the retirement goes on
    retiring.faults.clear()
    assert until(retiring, RetirementPhase.SUCCEEDED)


def test_colour_scaled_up_by_hand_is_emptied_again_before_contract_migrations(retiring: World) -> None:
    # Given contract migrations that are about to run
    assert until(retiring, RetirementPhase.CONTRACTING)
    key = ("Deployment", "rtx-engine-blue")
    live = retiring.children[key]

    # When somebody scales the old colour up
    retiring._store(key, {**live, "spec": {**live["spec"], "replicas": 2}})

    # Then it is emptied first (the laws of the world judge the contract Job)
    assert until(retiring, RetirementPhase.SUCCEEDED)
    assert retiring.colour_pods("blue") == []


def test_contract_job_that_cannot_run_for_a_while_is_waited_for(retiring: World) -> None:
    # Given a contract Job whose pod fits on no node
    retiring.faults.add("jobs hang")
    assert until(retiring, RetirementPhase.CONTRACTING)
    retiring.reconcile()
    job = retiring.intend().desired.active.contract["metadata"]["name"]
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
    revision = retiring.active["revision"]
    labels = {JOB_LABEL: job, Label.REVISION.value: revision}
    retiring.pods["contract"] = {"metadata": {"name": "contract", "labels": labels}, "status": {"phase": "Pending"}}
    retiring.pods["contract"]["status"]["conditions"] = [unscheduled]

    # When that lasts for minutes
    assert not until(retiring, RetirementPhase.FAILED, reconciles=30, seconds=10)

    # Then it is reported, and a node that comes up ends it
    assert "fits on no node" in retiring.stored["retirement"]["message"]
    retiring.faults.clear()
    assert until(retiring, RetirementPhase.SUCCEEDED)


def test_contract_job_that_its_deadline_ended_is_not_retried_at_once(retiring: World) -> None:
    # Given a contract Job that its own deadline ended
    retiring.faults.add("jobs hang")
    assert until(retiring, RetirementPhase.CONTRACTING)
    retiring.reconcile()
    key = ("Job", retiring.intend().desired.active.contract["metadata"]["name"])
    ended = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "Job was active too long"}
    retiring._store(key, {**retiring.children[key], "status": {"conditions": [ended]}})

    # When the operator reconciles
    assert until(retiring, RetirementPhase.FAILED)

    # Then the Job stays for its logs, and is retried only later
    assert key in retiring.children
    assert stalled(retiring)[:2] == ("True", Reason.DEADLINE_EXCEEDED)
    assert not until(retiring, RetirementPhase.EMPTYING, reconciles=20)


def test_next_release_begins_only_after_the_pod_of_a_contract_job_has_ended(retiring: World) -> None:
    # Given a contract migration that runs
    retiring.faults.add("jobs hang")
    assert until(retiring, RetirementPhase.CONTRACTING)
    retiring.reconcile()
    job = retiring.intend().desired.active.contract["metadata"]["name"]
    labels = {
        JOB_LABEL: job,
        Label.REVISION.value: retiring.active["revision"],
        **Names("rtx").selector(Component.MIGRATION),
    }
    running = {"metadata": {"name": "contract", "labels": labels}, "status": {"phase": "Running"}}
    retiring.pods["contract"] = running

    # When another version is asked for, then it waits
    retiring.set_spec(version="1.2.0")
    for _ in range(10):
        retiring.tick()
        retiring.reconcile()
    assert retiring.stored["retirement"]["phase"] == RetirementPhase.CONTRACTING

    # And when the retirement is given up while the pod ends, then it waits for the pod
    assert until(retiring, RetirementPhase.FAILED, reconciles=300, seconds=15)
    for _ in range(10):
        retiring.tick()
        retiring.pods["contract"] = running
        retiring.reconcile()
    assert retiring.phase is CutoverPhase.PENDING
    assert "pod contract of an earlier migration Job" in retiring.stored["cutover"]["message"]

    # And when the pod has ended, then it goes on
    del retiring.pods["contract"]
    retiring.faults.clear()
    assert retiring.run_until(CutoverPhase.SUCCEEDED)


def migration_pod(world: World, name: str, **meta: Any) -> Object:
    labels = {JOB_LABEL: "rtx-migrate-x", **Names("rtx").selector(Component.MIGRATION)}
    world.pods[name] = {"metadata": {"name": name, "labels": labels, **meta}, "status": {"phase": "Running"}}
    return world.pods[name]


def test_migration_pod_of_a_lost_node_delays_no_release(world: World) -> None:
    # Given a pod of an earlier migration Job whose time to end was over an hour ago
    upgraded(world)
    over = (world.now - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    lost = migration_pod(world, "lost", deletionTimestamp=over)

    # When the kept version is asked for
    world.set_spec(version="1.0.0")
    for _ in range(40):
        world.tick()
        world.pods["lost"] = lost
        world.reconcile()

    # Then it takes over
    assert (world.phase, world.active["version"]) == (CutoverPhase.SUCCEEDED, "1.0.0")


def test_record_of_a_retirement_in_the_active_colour_is_left_alone(world: World) -> None:
    # Given a failed retirement of blue that an older operator did not know, under which blue became active again
    until_retiring(upgraded(world))
    world.faults.add("migration:1.1.0")
    assert until(world, RetirementPhase.FAILED)
    failed = world.stored["retirement"]
    world.faults.clear()
    world.set_spec(version="1.2.0")
    assert world.run_until(CutoverPhase.SUCCEEDED)
    status = world.stored
    status.pop("previous")
    world.status = json.dumps({**status, "retirement": failed})

    # When the operator reconciles for long, then what serves is not scaled down (the laws of the world judge that)
    assert not until(world, RetirementPhase.EMPTYING, reconciles=60, seconds=15)
    assert len(world.colour_pods("blue", ready=True)) == 2


def test_retry_of_a_rejected_version_does_not_wait_for_a_retirement(world: World) -> None:
    # Given a rejected version, and a retirement whose contract Job does not run
    upgraded(world)
    world.faults.add("errors:1.2.0")
    world.set_spec(version="1.2.0")
    assert world.run_until(CutoverPhase.ROLLED_BACK, 100)
    world.faults.clear()
    world.faults.add("jobs hang")
    assert until(world, RetirementPhase.CONTRACTING, 200)

    # When its retry is asked for, then the retirement gives way
    world.retry()
    assert until(world, RetirementPhase.FAILED, 5)
    assert world.stored["retirement"]["reason"] == Reason.SUPERSEDED


def test_failed_contract_migration_is_reported_although_a_cutover_is_due(retiring: World) -> None:
    # Given a contract migration that has failed just when another version is asked for
    retiring.faults.update({"migration:1.1.0", "smoke:1.2.0"})
    assert until(retiring, RetirementPhase.CONTRACTING)
    retiring.reconcile()
    retiring.tick()
    retiring.set_spec(version="1.2.0")

    # When the operator reconciles, and the version goes back
    assert until(retiring, RetirementPhase.FAILED, 5)
    assert retiring.run_until(CutoverPhase.ROLLED_BACK)

    # Then the failure is the one that is recorded
    assert retiring.stored["retirement"]["reason"] == Reason.CONTRACT_FAILED


def test_hanging_pod_does_not_execute_after_a_failover_that_lost_the_move(retiring: World) -> None:
    # Given a hanging pod in the colour of 1.2.0, which the fence names by its revision
    name = hang(retiring, "blue")
    assert until(retiring, RetirementPhase.FAILED, reconciles=60, seconds=15)
    retiring.set_spec(version="1.2.0")
    assert walk(retiring)[0] == UPGRADE_PHASES

    # When a failover loses the move while no pod of 1.2.0 is ready
    retiring.lose_move()
    for pod in retiring.colour_pods("blue"):
        retiring.crash(pod)
    retiring.reconcile()
    retiring.run_jobs()
    retiring.reconcile()

    # Then the move that corrects it names the revision again
    assert retiring.fence
    assert retiring.fence.executors == ("blue",)
    assert label(retiring.pods[name], Label.REVISION) not in (retiring.fence.revisions or ())
    assert retiring.fence.revisions == (retiring.active["revision"],)


def test_colour_that_somebody_scales_up_for_ever_ends_the_retirement(retiring: World) -> None:
    key = ("Deployment", "rtx-engine-blue")
    for _ in range(120):
        live = retiring.children[key]
        retiring._store(key, {**live, "spec": {**live["spec"], "replicas": 2}})
        if until(retiring, RetirementPhase.FAILED, 1, 5):
            break

    assert retiring.stored["retirement"]["phase"] == RetirementPhase.FAILED
    assert stalled(retiring)[0] == "True"


def test_kept_release_says_nothing_more_once_it_is_kept_because_spec_says_so(world: World) -> None:
    # Given a previous release that is kept because the active one is down
    upgraded(world)
    world.faults.add("unready:1.1.0")
    for pod in world.colour_pods("green"):
        world.crash(pod)
    reconciled(world, 100)
    assert "kept until it has them" in world.stored["previous"]["message"]

    # When the user keeps it for longer, and the active one has its pods again
    world.set_spec(rollout={**world.spec["rollout"], "keepPreviousFor": "168h"})
    world.faults.discard("unready:1.1.0")
    reconciled(world, 60)

    # Then nothing says that it lacks pods
    assert not world.stored["previous"].get("message")
    assert condition(world, ConditionType.RECONCILING)["status"] == "False"
