"""The exit code of `bench/upgrade`: a broken promise fails the benchmark."""

import importlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from rtx_demo.report import Result
from rtx_demo.upgrades import STEPS
from rtx_traffic.stages import Count
from rtx_traffic.verdict import Verdict

BENCH = Path(__file__).parents[3] / "bench"
FIGURES = {name: 0 for name in Verdict.__struct_fields__ if name not in {"failures", "latency", "stages", "findings"}}
STAGES = {name: Count(0, 0, 0) for name in ("before", *(step.name for step in STEPS))}


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark without a cluster: one upgrade per call."""
    monkeypatch.syspath_prepend(str(BENCH))
    module = importlib.import_module("upgrade_benchmark")

    @contextmanager
    def local_cluster(*_: object, **__: object) -> Iterator[None]:
        yield

    monkeypatch.setattr(module.cluster, "local_cluster", local_cluster)
    monkeypatch.setattr(module, "choose", lambda _: None)
    monkeypatch.setattr(module.preparation, "install", lambda *_: None)
    monkeypatch.setattr(module.preparation, "configured_waits", lambda _: "")
    monkeypatch.setattr(module, "Sample", lambda *_: SimpleNamespace(engine=None))
    return module


def run(benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, **figures: int) -> None:
    verdict = Verdict(**FIGURES | figures, failures={}, latency={}, stages=STAGES, findings=())
    monkeypatch.setattr(benchmark, "_upgraded", lambda *_, **__: Result(verdict, ()))
    benchmark.measure(upgrade_count=2, rollback_count=0, ordinary_count=0, as_json=True)


@pytest.mark.parametrize("figure", ["failed_requests", "orders_lost", "fenced_executions"])
def test_broken_promise_exits_with_1_after_the_figures(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], figure: str
) -> None:
    # given upgrades that broke a promise, when they are measured
    with pytest.raises(SystemExit) as ended:
        run(benchmark, monkeypatch, **{figure: 1})

    # then the figures are printed, and one sentence and the exit code tell
    output = capsys.readouterr()
    assert ended.value.code == 1
    assert {row["id"]: row["value"] for row in json.loads(output.out)["rows"]}[figure] == 2
    assert output.err.startswith("bench/upgrade: A promise was broken in 2 of 2 runs: see ")
    assert output.err.count("\n") == 1


def test_kept_promises_exit_with_0(benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    # given upgrades that kept every promise, when they are measured, then nothing is raised
    run(benchmark, monkeypatch)
