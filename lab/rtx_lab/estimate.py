"""Estimates build times: measured seconds, scaled by the speed of this machine so far. Pure."""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field

MEASURED_CORES = 2
PROGRAM_SECONDS: Mapping[str, float] = {
    "kubernetes": 825.9,
    "etcd": 96.0,
    "coredns": 293.8,
    "kube-router": 173.2,
    "local-path-provisioner": 235.9,
    "metrics-server": 204.2,
    "kwok": 137.0,
    "pause": 0.3,
}
"""Wall time with empty caches, two at a time in this order: `cold_build.json` of 2026-11-26 on 2 cores.

1003 s in total on a busy machine; 890 s on 2026-11-21 with less other work. Only the ratios matter.
"""
IMAGE_SECONDS: Mapping[str, float] = {
    "base image": 49.2,
    "localhost/rtx-operator:dev": 25.0,
    "localhost/rtx-operator:0.9.0": 25.0,  # not measured: as the one before it
    "localhost/rtx-engine:1.0.0": 28.0,
    "localhost/rtx-engine:1.1.0": 18.3,
    "localhost/rtx-engine:1.2.0-broken": 31.1,
    "localhost/rtx-postgres:17": 35.4,
    "localhost/rtx-redis:8": 12.5,
    "localhost/rtx-traffic:dev": 22.1,
}
"""Wall time of the first build of each, sequential in this order, in the same run after the programs."""


@dataclass(frozen=True)
class Builds:
    """A snapshot of builds, `concurrency` at a time. All are seconds of wall time; `seconds` are the measured ones.

    `before` is this machine's slowness in an earlier run, as a multiple of the measured machine's; 1.0 when unknown.
    """

    seconds: Mapping[str, float]
    concurrency: int
    pending: tuple[str, ...] = ()  # in starting order
    running: Mapping[str, float] = field(default_factory=dict)  # seconds since each began
    built: Mapping[str, float] = field(default_factory=dict)  # seconds each took
    before: float = 1.0

    @property
    def total(self) -> int:
        return len(self.pending) + len(self.running) + len(self.built)

    def slowness(self) -> float:
        """Build time as a multiple of the measured one, by the finished builds or by a running one that is late."""
        late = [elapsed / self.seconds[name] for name, elapsed in self.running.items() if name in self.seconds]
        return max([slowness(self.seconds, self.built) or self.before, *late])

    def remaining_s(self) -> float | None:
        """Seconds until all are built; None when an unfinished one has no measurement."""
        if not all(name in self.seconds for name in (*self.pending, *self.running)):
            return None
        slowness = self.slowness()
        free_at = [self.seconds[name] * slowness - elapsed for name, elapsed in self.running.items()]
        free_at += [0.0] * (self.concurrency - len(free_at))
        heapq.heapify(free_at)
        for name in self.pending:
            heapq.heapreplace(free_at, free_at[0] + self.seconds[name] * slowness)
        return max(free_at)


def slowness(seconds: Mapping[str, float], took: Mapping[str, float]) -> float | None:
    """Total build time as a multiple of the measured one; None when no build has a measurement."""
    known = [name for name in took if name in seconds]
    return sum(took[name] for name in known) / sum(seconds[name] for name in known) if known else None


def about(seconds: float) -> str:
    """The seconds in words: "about 6 min"."""
    return "less than a minute" if seconds < 60 else f"about {seconds / 60:.0f} min"


def announcement(what: str, remaining_s: float | None, *, cores: int, measured_here: bool, later: str) -> str:
    """The sentence before builds: `what`, the estimate and its origin, and `later`, which explains later runs."""
    if remaining_s is None:
        return f"{what}; {later}"
    where = "as measured on this machine" if measured_here else f"on {MEASURED_CORES} cores"
    if not measured_here and cores != MEASURED_CORES:
        where += f" (this machine has {cores})"
    return f"{what}, {about(remaining_s)} {where}; {later}"


def state(builds: Builds, noun: str) -> str:
    """The progress line during builds: "3 of 8 programs built, about 6 min left (kubernetes 210 s)"."""
    seconds = builds.remaining_s()
    left = "" if seconds is None else f", {about(seconds)} left"
    running = ", ".join(f"{name} {elapsed:.0f} s" for name, elapsed in builds.running.items())
    return f"{len(builds.built)} of {builds.total} {noun} built{left}" + (f" ({running})" if running else "")
