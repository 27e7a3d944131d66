"""Random histories of an engine: whatever happens, in whatever order, the laws of cutover_world.py hold.

And when nothing goes wrong any more, the engine settles on what the spec asks for, or on what it had to go back to.
"""

import os

import hypothesis
from cutover_world import Conflict, Intent, Unreachable, World, copied, installed
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from rtx_operator.api.enums import CutoverPhase
from rtx_operator.operations.effects import MoveFence, Scale

INSTALLED = installed()
VERSIONS = ("1.0.0", "1.1.0", "1.2.0")
FAULTS = ("no database", "silent", "reach", "jobs hang")
PHASES = st.sampled_from(list(CutoverPhase))
FAULTS_OF_A_VERSION = ("migration", "unready", "smoke", "errors", "slow")


class Upgrades(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world: World = copied(INSTALLED)
        self.late: Intent | None = None  # what a leader that was paused had decided

    @initialize(
        first=st.sampled_from(VERSIONS[1:]),
        second=st.sampled_from((None, *VERSIONS)),
        fault=st.sampled_from((None, *FAULTS_OF_A_VERSION)),
        phase=PHASES,
    )
    def in_the_middle(self, first: str, second: str | None, fault: str | None, phase: CutoverPhase) -> None:
        """It begins in some phase of the first upgrade, or of the one after that."""
        self.world.ask(version=first)
        if second:
            self.world.run_until(CutoverPhase.SUCCEEDED)
            self.world.ask(version=second)
        if fault:
            self.world.faults.add(f"{fault}:{second or first}")
        self.world.run_until(phase)

    # --- people ---

    @rule(version=st.sampled_from(VERSIONS))
    def ask_for_a_version(self, version: str) -> None:
        self.world.ask(version=version)

    @rule(least=st.integers(1, 3))
    def scale(self, least: int) -> None:
        self.world.ask(scaling={"minReplicas": least, "maxReplicas": 4})

    @rule(paused=st.booleans())
    def pause(self, *, paused: bool) -> None:
        self.world.ask(paused=paused)

    @rule()
    def ask_again(self) -> None:
        self.world.ask_again()

    # --- the operator ---

    @rule(looks=st.integers(1, 4))
    def look(self, looks: int) -> None:
        for _ in range(looks):
            self.world.look()

    @rule(killed_at=st.integers(0, 4))
    def look_and_be_killed(self, killed_at: int) -> None:
        self.world.look(killed_at=killed_at)

    @rule()
    def decide_and_be_paused(self) -> None:
        self.late = self.world.intend()
        self.world.last_look = None  # another leader takes over

    @precondition(lambda self: self.late is not None)
    @rule()
    def carry_out_late(self) -> None:
        """What a write that was under way does when it arrives; the Lease keeps the paused leader from all others."""
        late, self.late = self.late, None
        for effect in late.decision.effects if late else ():
            if isinstance(effect, MoveFence | Scale):
                try:
                    self.world.effect(effect, late)
                except (Conflict, Unreachable):
                    return

    # --- the cluster ---

    @rule(ticks=st.integers(1, 8))
    def all_goes_well(self, ticks: int) -> None:
        for _ in range(ticks):
            self.world.tick()
            self.world.look()
            self.world.judge()

    @rule(phase=PHASES)
    def all_goes_well_until(self, phase: CutoverPhase) -> None:
        self.world.run_until(phase)

    @rule(seconds=st.sampled_from((1, 20, 50, 200, 900)))
    def time_passes(self, seconds: int) -> None:
        self.world.tick(seconds)

    @rule()
    def deployments_act(self) -> None:
        self.world.run_deployments()

    @rule()
    def pods_come_up(self) -> None:
        self.world.run_pods()

    @rule()
    def pods_end(self) -> None:
        self.world.end_pods()

    @rule()
    def endpoints_follow(self) -> None:
        self.world.run_endpoints()

    @rule(size=st.integers(1, 5))
    def the_autoscaler_acts(self, size: int) -> None:
        self.world.autoscale(size)

    @rule(which=st.integers(0, 9))
    def a_pod_crashes(self, which: int) -> None:
        pods = sorted(self.world.processes)
        if pods:
            self.world.crash(pods[which % len(pods)])

    @rule(which=st.integers(0, 9))
    def a_pod_is_evicted(self, which: int) -> None:
        pods = sorted(self.world.processes)
        if pods:
            self.world.evict(pods[which % len(pods)])

    @rule()
    def a_failover_loses_the_last_move(self) -> None:
        self.world.lose_move()

    @rule(fault=st.sampled_from(FAULTS))
    def something_breaks(self, fault: str) -> None:
        self.world.faults.add(fault)

    @rule(fault=st.sampled_from(FAULTS_OF_A_VERSION), version=st.sampled_from(VERSIONS))
    def a_version_is_bad(self, fault: str, version: str) -> None:
        self.world.faults.add(f"{fault}:{version}")

    @rule()
    def all_is_mended(self) -> None:
        self.world.faults.clear()

    # --- what holds ---

    @invariant()
    def the_laws_hold(self) -> None:
        self.world.judge()

    def teardown(self) -> None:
        self.late = None
        self.world.settle()


TestUpgrades = Upgrades.TestCase
# The same histories each time: one that fails only now and then would stop whoever did not cause it.
# RTX_HISTORIES=2000 looks for that many new ones.
NEW_HISTORIES = int(os.environ.get("RTX_HISTORIES", "0"))
TestUpgrades.settings = hypothesis.settings(
    max_examples=NEW_HISTORIES or 80,
    derandomize=not NEW_HISTORIES,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
