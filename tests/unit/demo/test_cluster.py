"""Order of the demo's calls to the local cluster's provider."""

from pathlib import Path

import pytest
from rtx_demo import cluster
from rtx_lab.errors import LabError
from rtx_lab.progress import Reporter
from rtx_lab.provider import Provider


class Recorded:
    """A fake provider that records the verbs called on it."""

    def __init__(self, *, is_up: bool = False, failing: str = "") -> None:
        self.calls: list[str] = []
        self._is_up = is_up
        self._failing = failing

    def is_up(self) -> bool:
        return self._is_up

    def kubectl(self) -> list[str]:
        return ["kubectl", "--kubeconfig=/nowhere"]

    def __getattr__(self, verb: str) -> object:
        def act(*_: object) -> None:
            self.calls.append(verb)
            if verb == self._failing:
                raise LabError(f"{verb} failed")

        return act


def use(provider: Recorded, *, keep: bool = False) -> None:
    fake: Provider = provider  # type: ignore[assignment]
    with cluster.local_cluster(fake, Path("/project"), Reporter(), keep=keep):
        provider.calls.append("block")


@pytest.fixture(autouse=True)
def _any_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster.Kubectl, "of_local_cluster", lambda command: command)


def test_programs_and_images_are_built_before_the_cluster_starts() -> None:
    # given
    provider = Recorded()
    # when
    use(provider)
    # then
    assert provider.calls == ["prepare", "up", "block", "down"]


def test_kept_cluster_is_not_stopped() -> None:
    # given
    provider = Recorded()
    # when
    use(provider, keep=True)
    # then
    assert provider.calls == ["prepare", "up", "block"]


def test_running_cluster_is_used_and_not_stopped() -> None:
    # given
    provider = Recorded(is_up=True)
    # when
    use(provider)
    # then
    assert provider.calls == ["block"]


def test_failed_build_neither_starts_nor_stops_a_cluster() -> None:
    # given
    provider = Recorded(failing="prepare")
    # when
    with pytest.raises(LabError, match="prepare failed"):
        use(provider)
    # then
    assert provider.calls == ["prepare"]


def test_failed_start_is_stopped() -> None:
    # given
    provider = Recorded(failing="up")
    # when
    with pytest.raises(LabError, match="up failed"):
        use(provider)
    # then
    assert provider.calls == ["prepare", "up", "down"]
