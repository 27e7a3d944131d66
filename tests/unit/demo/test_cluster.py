"""What the demo asks of the local cluster, and when."""

from pathlib import Path

import pytest
from rtx_demo import cluster
from rtx_lab.errors import LabError
from rtx_lab.progress import Reporter
from rtx_lab.provider import Provider


class Recorded:
    """Stands in for a provider; remembers what it was asked to do."""

    def __init__(self, *, is_up: bool = False, failing: str = "") -> None:
        self.asked: list[str] = []
        self._is_up = is_up
        self._failing = failing

    def is_up(self) -> bool:
        return self._is_up

    def kubectl(self) -> list[str]:
        return ["kubectl", "--kubeconfig=/nowhere"]

    def __getattr__(self, verb: str) -> object:
        def act(*_: object) -> None:
            self.asked.append(verb)
            if verb == self._failing:
                raise LabError(f"{verb} failed")

        return act


def use(provider: Recorded, *, keep: bool = False) -> None:
    asked: Provider = provider  # type: ignore[assignment]
    with cluster.local_cluster(asked, Path("/project"), Reporter(), keep=keep):
        provider.asked.append("block")


@pytest.fixture(autouse=True)
def _any_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster.Kubectl, "of_local_cluster", lambda command: command)


def test_everything_is_built_before_anything_starts() -> None:
    # given
    provider = Recorded()
    # when
    use(provider)
    # then
    assert provider.asked == ["prepare", "up", "block", "down"]


def test_a_kept_cluster_stays_up() -> None:
    # given
    provider = Recorded()
    # when
    use(provider, keep=True)
    # then
    assert provider.asked == ["prepare", "up", "block"]


def test_a_cluster_that_was_up_is_used_and_stays() -> None:
    # given
    provider = Recorded(is_up=True)
    # when
    use(provider)
    # then
    assert provider.asked == ["block"]


def test_a_build_that_fails_starts_nothing_and_takes_nothing_down() -> None:
    # given
    provider = Recorded(failing="prepare")
    # when
    with pytest.raises(LabError, match="prepare failed"):
        use(provider)
    # then
    assert provider.asked == ["prepare"]


def test_a_start_that_fails_is_taken_down() -> None:
    # given
    provider = Recorded(failing="up")
    # when
    with pytest.raises(LabError, match="up failed"):
        use(provider)
    # then
    assert provider.asked == ["prepare", "up", "down"]
