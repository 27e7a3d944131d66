"""The figures and the exit code of `bench/failover`."""

import importlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from rtx_traffic.verdict import Verdict

BENCH = Path(__file__).parents[3] / "bench"
FIGURES = {name: 0 for name in Verdict.__struct_fields__ if name not in {"failures", "latency", "stages", "findings"}}


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark without a cluster."""
    monkeypatch.syspath_prepend(str(BENCH))
    module = importlib.import_module("failover_benchmark")

    @contextmanager
    def nothing(*_: object, **__: object) -> Iterator[None]:
        yield

    monkeypatch.setattr(module.cluster, "local_cluster", nothing)
    monkeypatch.setattr(module, "choose", lambda _: None)
    monkeypatch.setattr(module.preparation, "install", lambda *_: None)
    monkeypatch.setattr(module.members, "wait_until_formed", lambda *_, **__: None)
    monkeypatch.setattr(module, "Sample", lambda *_: SimpleNamespace(temporary=nothing))
    return module


def run(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, seconds: list[float], *, failed: int = 0, **figures: int
) -> None:
    """Measure outages of these seconds, each with these figures."""
    verdict = Verdict(**FIGURES | figures, failures={}, latency={}, stages={}, findings=())
    outages = iter(seconds)
    monkeypatch.setattr(benchmark, "_outage", lambda *_: benchmark.Outage(next(outages), failed, verdict))
    benchmark.measure(times=2, as_json=True)


def test_figures_are_those_of_the_faults(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # given two kills, two deleted pods, a node that was cut off, and an API server that was frozen
    run(benchmark, monkeypatch, [2.0, 4.0, 3.0, 9.0, 22.0, 0.5], failed=7)

    # then each figure is of its faults
    values = {row["id"]: (row["value"], row["runs"]) for row in json.loads(capsys.readouterr().out)["rows"]}
    assert values == {
        "kill_p50_s": (3.5, 4),
        "kill_max_s": (9.0, 4),
        "partition_s": (22.0, 1),
        "two_primaries": (0, 1),
        "api_frozen_failed": (7, 1),
        "lost": (0, 6),
        "doubled": (0, 6),
    }


@pytest.mark.parametrize(("figure", "names"), [("orders_lost", "two_primaries, lost"), ("orders_doubled", "doubled")])
def test_broken_promise_exits_with_1_after_the_figures(
    benchmark: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    figure: str,
    names: str,
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(benchmark, monkeypatch, [1.0] * 6, **{figure: 1})

    output = capsys.readouterr()
    assert ended.value.code == 1
    assert json.loads(output.out)["rows"]
    assert output.err.splitlines()[-1] == f"bench/failover: A promise was broken: {names}; see the findings above."
