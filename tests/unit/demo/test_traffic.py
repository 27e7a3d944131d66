"""Output of several pods read concurrently: their sum is shown, and a failed pod ends the wait."""

from pathlib import Path

import pytest
from rtx_demo import traffic as traffic_module
from rtx_demo.engine import Engine
from rtx_demo.errors import DemoError
from rtx_demo.kubectl import Kubectl
from rtx_demo.traffic import Settings, Traffic
from rtx_traffic.progress import Progress

PROGRESS = '{"event":"progress","progress":{"second":3,"requests":100,"sockets":5,"p99_ms":7.5}}'
END = '{"event":"end","progress":{"second":4,"requests":150,"sockets":5}}'


def traffic(tmp_path: Path, *pods: str) -> Traffic:
    """A kubectl whose logs are the given scripts', one for each pod."""
    program = tmp_path / "kubectl"
    cases = "\n".join(f"*' rtx-traffic-{part} '*) {script} ;;" for part, script in enumerate(pods))
    program.write_text(f'#!/bin/sh\ncase "$*" in\n{cases}\nesac\n')
    program.chmod(0o755)
    kubectl = Kubectl((str(program),))
    return Traffic(
        kubectl,
        Engine(kubectl, "rtx", "ns"),
        Settings(duration=0, pods=len(pods)),
        poll_seconds=0.05,
        retry_seconds=0.1,
    )


def script_of(*lines: str, then: str = "exec sleep 60") -> str:
    return "; ".join([*(f"echo '{line}'" for line in lines), then])


def test_the_counts_of_all_pods_are_shown_until_each_has_ended(tmp_path: Path) -> None:
    # given two pods, of which the second ends later
    run = traffic(tmp_path, script_of(END), script_of(PROGRESS, then=f"sleep 0.5; echo '{END}'"))

    # when they are followed, then the last that is shown is the sum of both last lines
    shown: list[Progress] = []
    run.follow(shown.append)
    assert shown[-1] == Progress(second=4, requests=300, sockets=10)
    assert len(shown) > 1


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (script_of('{"event":"error","message":"no admin"}'), "Traffic pod rtx-traffic-1 failed: no admin"),
        (script_of("Traceback"), "printed an unknown line: Traceback"),
        (script_of(PROGRESS, then="exit 0"), "Traffic pod rtx-traffic-1 ended before its run"),
    ],
)
def test_failed_pod_raises_without_waiting_for_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, sentence: str
) -> None:
    # given two pods, of which one runs on and the other fails, when they are followed, then that is the error
    monkeypatch.setattr(traffic_module, "MAX_ATTEMPTS", 1)
    with pytest.raises(DemoError, match=sentence):
        traffic(tmp_path, script_of(PROGRESS), script).follow(lambda _: None)


def test_broken_log_stream_is_opened_again(tmp_path: Path) -> None:
    # given a pod whose log stream breaks once, as they do when the API server is restarted
    once = f"{tmp_path}/once"
    run = traffic(tmp_path, f"if [ -e {once} ]; then echo '{END}'; else touch {once}; echo '{PROGRESS}'; exit 1; fi")

    # when it is followed, then its end is still observed
    run.follow(lambda _: None)


def test_counts_of_a_second_wait_until_every_pod_has_reported_it(tmp_path: Path) -> None:
    # given two pods whose lines of before are read again, and of which one reports a failure in second 5, later
    late = '{"event":"progress","progress":{"second":5,"requests":120,"failed":1}}'
    first = '{"event":"progress","progress":{"second":5,"requests":110}}'
    run = traffic(
        tmp_path, script_of(PROGRESS, first), script_of(PROGRESS, then=f"sleep 0.5; echo '{late}'; exec sleep 60")
    )

    # when the counts of that second are requested, then they include the failure
    with run.watching() as watch:
        assert watch.progress_at(4.3).failed == 1
