"""Random histories of an engine: the laws of cutover_laws.py hold after every sequence of steps and faults.

Without further faults the engine settles on the spec's revision, or on the old one after a rollback.
"""

import os
from typing import Any

import hypothesis
from cutover_world import Conflict, Intent, Unreachable, World, copied, installed
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from maintenance_walks import until
from rtx_operator.api.enums import CutoverPhase, MaintenancePhase
from rtx_operator.operations.effects import MoveFence, Scale

VERSIONS = ("1.0.0", "1.1.0", "1.2.0")
REPOSITORY = "example.com/rtx-engine"
IMAGE_IDS = ("", *(f"{REPOSITORY}@sha256:{digit * 64}" for digit in "12"))  # without one: loaded onto the nodes
INSTALLED = installed(**{f"{REPOSITORY}:{VERSIONS[0]}": IMAGE_IDS[1]})
FAULTS = (
    "no database",
    "silent",
    "reach",
    "jobs hang",
    "no traffic",
    "quota:Job",
    "quota:Deployment",
    "quota:ControllerRevision",
)
PHASES = st.sampled_from(list(CutoverPhase))
SERVERS: dict[str, dict[str, Any]] = {
    "as at first": {},
    "more memory": {"resources": {"requests": {"memory": "3Gi"}}},
    "no such image": {"image": "example.com/server:nope"},
    "an image that crashes": {"image": "example.com/server:crash"},
    "a node without the volume": {"scheduling": {"nodeSelector": {"node": "elsewhere"}}},
}
VERSION_FAULTS = ("migration", "unready", "smoke", "errors", "slow", "wrong version")


FAULT_OF_A_VERSION = st.sampled_from((None, *VERSION_FAULTS))


class Upgrades(RuleBasedStateMachine):
    """What the user, the operator and the cluster do to an engine, in any order; where it begins, a subclass says."""

    def __init__(self) -> None:
        super().__init__()
        self.world: World = copied(INSTALLED)
        self.late: Intent | None = None  # the decision of a leader that was paused

    def upgrade_to(self, version: str, fault: str | None, phase: CutoverPhase) -> None:
        """An upgrade to a version with this fault is in `phase`."""
        self.world.set_spec(version=version)
        if fault:
            self.world.faults.add(f"{fault}:{version}")
        self.world.run_until(phase)

    # --- the user ---

    @rule(version=st.sampled_from(VERSIONS))
    def set_version(self, version: str) -> None:
        self.world.set_spec(version=version)

    @rule(asked=st.sampled_from(sorted(SERVERS)))
    def edit_the_database(self, asked: str) -> None:
        self.world.set_spec(database=SERVERS[asked])

    @rule(asked=st.sampled_from(sorted(SERVERS)))
    def edit_the_cache(self, asked: str) -> None:
        self.world.set_spec(cache=SERVERS[asked])

    @rule(is_free=st.booleans())
    def use_slots_of_the_fleet(self, *, is_free: bool) -> None:
        self.world.slot_is_free = is_free

    @rule(phase=st.sampled_from(list(MaintenancePhase)))
    def run_maintenance_until(self, phase: MaintenancePhase) -> None:
        until(self.world, phase, reconciles=20, seconds=5)

    @rule(minimum=st.integers(1, 3))
    def scale(self, minimum: int) -> None:
        self.world.set_spec(scaling={"minReplicas": minimum, "maxReplicas": 4})

    @rule(paused=st.booleans())
    def pause(self, *, paused: bool) -> None:
        self.world.set_spec(paused=paused)

    @rule(minutes=st.sampled_from((1, 20, 120)))
    def pause_for_long(self, minutes: int) -> None:
        """The operator reconciles all the while, and the engine goes on."""
        self.world.set_spec(paused=True)
        for _ in range(8):
            self.world.reconcile()
            self.world.tick(minutes * 60 / 8)
        self.world.reconcile()
        self.world.set_spec(paused=False)

    @rule(version=st.sampled_from(VERSIONS), image_id=st.sampled_from(IMAGE_IDS))
    def push_an_image(self, version: str, image_id: str) -> None:
        self.world.image_ids[f"{REPOSITORY}:{version}"] = image_id

    @rule()
    def lose_the_status(self) -> None:
        """A restore of the TradingEngine from a backup brings back its spec alone."""
        self.world.lose_status()

    @rule()
    def retry(self) -> None:
        self.world.retry()

    # --- the operator ---

    @rule(reconciles=st.integers(1, 4))
    def reconcile(self, reconciles: int) -> None:
        for _ in range(reconciles):
            self.world.reconcile()

    @rule(killed_at=st.integers(0, 4))
    def reconcile_and_be_killed(self, killed_at: int) -> None:
        self.world.reconcile(killed_at=killed_at)

    @rule()
    def decide_and_be_paused(self) -> None:
        self.late = self.world.intend()
        self.world.last_observed = None  # another leader takes over

    @precondition(lambda self: self.late is not None)
    @rule()
    def perform_late(self) -> None:
        """Writes of the paused leader that were in flight arrive late; the Lease prevents all others."""
        late, self.late = self.late, None
        for effect in late.decision.effects if late else ():
            if isinstance(effect, MoveFence | Scale):
                try:
                    self.world.perform(effect, late)
                except (Conflict, Unreachable):
                    return

    # --- the cluster ---

    @rule(ticks=st.integers(1, 8))
    def run_cluster_and_operator(self, ticks: int) -> None:
        for _ in range(ticks):
            self.world.tick()
            self.world.reconcile()
            self.world.judge()

    @rule(phase=PHASES)
    def run_cluster_and_operator_until(self, phase: CutoverPhase) -> None:
        self.world.run_until(phase)

    @rule(seconds=st.sampled_from((1, 20, 50, 200, 900)))
    def advance_time(self, seconds: int) -> None:
        self.world.tick(seconds)

    @rule()
    def run_deployments(self) -> None:
        self.world.run_deployments()

    @rule()
    def run_pods(self) -> None:
        self.world.run_pods()

    @rule()
    def end_pods(self) -> None:
        self.world.end_pods()

    @rule()
    def run_endpoints(self) -> None:
        self.world.run_endpoints()

    @rule(size=st.integers(1, 5))
    def autoscale(self, size: int) -> None:
        self.world.autoscale(size)

    @rule(which=st.integers(0, 9))
    def crash_a_pod(self, which: int) -> None:
        pods = sorted(self.world.processes)
        if pods:
            self.world.crash(pods[which % len(pods)])

    @rule(which=st.integers(0, 9))
    def evict_a_pod(self, which: int) -> None:
        pods = sorted(self.world.processes)
        if pods:
            self.world.evict(pods[which % len(pods)])

    @rule()
    def lose_the_last_fence_move(self) -> None:
        self.world.lose_move()

    @rule(fault=st.sampled_from(FAULTS))
    def add_fault(self, fault: str) -> None:
        self.world.faults.add(fault)

    @rule(fault=st.sampled_from(VERSION_FAULTS), version=st.sampled_from(VERSIONS))
    def add_fault_to_a_version(self, fault: str, version: str) -> None:
        self.world.faults.add(f"{fault}:{version}")

    @rule()
    def lose_the_old_colour(self) -> None:
        """Its pods end, and none that takes their place gets ready."""
        cutover = self.world.stored.get("cutover")
        if cutover:
            self.world.faults.add(f"unready:{cutover['from']['version']}")
            for pod in self.world.colour_pods(cutover["from"]["colour"]):
                self.world.crash(pod)

    @rule()
    def clear_faults(self) -> None:
        self.world.faults.clear()

    # --- laws ---

    @invariant()
    def the_laws_hold(self) -> None:
        self.world.judge()

    def teardown(self) -> None:
        """Every state has a way out: without faults, and out of a rollback also by a third version alone.

        Where status was lost while the database went back from an image that crashes, the way out is an edit.
        """
        self.late = None
        if not self.world.stored.get("active"):
            self.world.set_spec(database={})
        cutover = self.world.stored.get("cutover")
        lost = cutover["from"]["version"] if cutover else ""
        if cutover and self.world.phase is CutoverPhase.ROLLING_BACK and f"unready:{lost}" in self.world.faults:
            [third] = set(VERSIONS) - {lost, cutover["to"]["version"]}
            self.world.set_spec(version=third)
            self.world.settle(without=lost)
        self.world.settle()


class FirstUpgrades(Upgrades):
    """Histories that begin in an upgrade of an installation: no release is kept, and green was never used."""

    @initialize(version=st.sampled_from(VERSIONS[1:]), fault=FAULT_OF_A_VERSION, phase=PHASES)
    def begin_in_the_first_upgrade(self, version: str, fault: str | None, phase: CutoverPhase) -> None:
        self.upgrade_to(version, fault, phase)


class LaterUpgrades(Upgrades):
    """Histories that begin in an upgrade, or a return, of an engine whose release before is kept."""

    @initialize(
        first=st.sampled_from(VERSIONS[1:]), second=st.sampled_from(VERSIONS), fault=FAULT_OF_A_VERSION, phase=PHASES
    )
    def begin_in_the_second_upgrade(self, first: str, second: str, fault: str | None, phase: CutoverPhase) -> None:
        self.upgrade_to(first, None, CutoverPhase.SUCCEEDED)
        self.upgrade_to(second, fault, phase)


# Two items, so that two workers share them.
TestFirstUpgrades = FirstUpgrades.TestCase
TestLaterUpgrades = LaterUpgrades.TestCase
# The same histories in every run, so that an unrelated change never meets a new failure.
# RTX_HISTORIES=2000 runs that many random histories of each.
RANDOM_HISTORIES = int(os.environ.get("RTX_HISTORIES", "0"))
TestFirstUpgrades.settings = TestLaterUpgrades.settings = hypothesis.settings(
    max_examples=RANDOM_HISTORIES or 40,
    derandomize=not RANDOM_HISTORIES,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
