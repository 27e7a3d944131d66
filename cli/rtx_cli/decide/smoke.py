"""Smoke tests of a spec, and their results."""

from dataclasses import dataclass

from rtx_cli.decide.engine import Engine


@dataclass(frozen=True, slots=True)
class SmokeTest:
    """One GET request."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class SmokeResult:
    """The answer of a pod; `status` is None without one."""

    pod: str
    name: str
    path: str
    status: int | None
    seconds: float
    error: str

    @property
    def passed(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def smoke_tests(engine: Engine) -> tuple[SmokeTest, ...]:
    """Those of spec, into which the API server wrote the defaults."""
    written = (engine.spec.get("rollout") or {}).get("smoke") or [{"name": "health", "path": "/health"}]
    return tuple(SmokeTest(one["name"], one["path"]) for one in written)
