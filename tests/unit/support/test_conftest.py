"""Whose cluster a run of tests takes down, and when: runs of their own, on a stand-in for the cluster."""

import os
import tempfile
from pathlib import Path

import pytest

CONFTEST = (Path(__file__).parents[2] / "conftest.py").read_text()
STAND_IN = """

import pytest as _pytest
from rtx_lab.provider import ProviderName

class Cluster:
    name = ProviderName.NATIVE
    ups, downs, up_already, up_by_another, said = 0, 0, False, False, []

    def is_up(self):
        return self.up_already or self.ups > 0

    def prepare(self, root, reporter):
        Cluster.up_already = self.up_by_another

    def up(self, nodes, fake_nodes, reporter):
        if self.up_by_another == "while ours starts":
            raise LabError("rtx-lab is held by another run")
        if not self.is_up():
            Cluster.ups += 1

    def down(self):
        print("the cluster goes down")

CLUSTER = Cluster()
choose = lambda _: CLUSTER
packages.ensure = lambda *_: None

@_pytest.fixture(scope="session")
def engine(local_cluster):
    yield
    print("the engine goes")
"""
INI = "[pytest]\nasyncio_default_fixture_loop_scope = function"


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.Pytester:
    monkeypatch.setenv("RTX_TEST_RUN", os.environ["RTX_TEST_RUN"])  # each run sets its own
    monkeypatch.setattr("rtx_lab.packages.ensure", lambda *_: None)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    pytester.makeini(INI)
    return pytester


def test_an_interrupted_run_ends_its_fixtures_before_the_cluster_that_they_need(run: pytest.Pytester) -> None:
    # given a run that brought the cluster up, when it is interrupted in a test
    run.makeconftest(CONFTEST + STAND_IN)
    run.makepyfile("def test_it(engine): raise KeyboardInterrupt")
    said = run.runpytest_inprocess("-s", no_reraise_ctrlc=True).stdout

    # then the engine goes first, and the cluster after it
    said.fnmatch_lines(["*the engine goes*", "*the cluster goes down*"])


@pytest.mark.parametrize("when", ["while ours is prepared", "while ours starts"])
def test_a_cluster_that_another_run_brought_up_meanwhile_stays(run: pytest.Pytester, when: str) -> None:
    # given that another run brings the cluster up while this one is about to
    run.makeconftest(CONFTEST + STAND_IN + f"Cluster.up_by_another = {when!r}")
    run.makepyfile("def test_it(engine): pass")

    # when this one ends, then the cluster stays
    run.runpytest_inprocess("-s").stdout.no_fnmatch_line("*the cluster goes down*")


def test_a_run_that_only_collects_leaves_no_folder_behind(run: pytest.Pytester, tmp_path: Path) -> None:
    # given a run of no test, as of --help, when it has ended, then its folder is gone
    run.makeconftest(CONFTEST + STAND_IN)
    run.runpytest_inprocess("--help")
    assert list(tmp_path.glob("rtx-test-run-*")) == []
