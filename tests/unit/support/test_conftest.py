"""Which cluster a test run takes down, and when: inner pytest runs with a fake cluster."""

import os
import tempfile
from pathlib import Path

import pytest

CONFTEST = (Path(__file__).parents[2] / "conftest.py").read_text()
FAKE_CLUSTER = """

import pytest as _pytest
from rtx_lab.provider import ProviderName

class Cluster:
    name = ProviderName.NATIVE
    ups, up_already, up_by_another = 0, False, False

    def is_up(self):
        return self.up_already or self.ups > 0

    def prepare(self, root, reporter):
        Cluster.up_already = self.up_by_another

    def up(self, nodes, fake_nodes, reporter):
        if self.up_by_another == "while this run starts one":
            raise LabError("rtx-lab is held by another run")
        if not self.is_up():
            Cluster.ups += 1

    def down(self):
        print("the cluster is taken down")

CLUSTER = Cluster()
choose = lambda _: CLUSTER
packages.ensure = lambda *_: None

@_pytest.fixture(scope="session")
def engine(local_cluster):
    yield
    print("the engine is removed")
"""
INI = "[pytest]\nasyncio_default_fixture_loop_scope = function"


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.Pytester:
    monkeypatch.setenv("RTX_TEST_RUN", os.environ["RTX_TEST_RUN"])  # each run sets its own
    monkeypatch.setattr("rtx_lab.packages.ensure", lambda *_: None)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    pytester.makeini(INI)
    return pytester


def test_interrupted_run_removes_its_engine_before_the_cluster(run: pytest.Pytester) -> None:
    # Given a run that started the cluster, and a test that is interrupted.
    run.makeconftest(CONFTEST + FAKE_CLUSTER)
    run.makepyfile("def test_it(engine): raise KeyboardInterrupt")

    # When the run ends.
    output = run.runpytest_inprocess("-s", no_reraise_ctrlc=True).stdout

    # Then it removes the engine first, and then takes the cluster down.
    output.fnmatch_lines(["*the engine is removed*", "*the cluster is taken down*"])


@pytest.mark.parametrize("when", ["while this run prepares one", "while this run starts one"])
def test_run_keeps_a_cluster_that_another_run_started_meanwhile(run: pytest.Pytester, when: str) -> None:
    # Given another run that starts the cluster while this run is about to.
    run.makeconftest(CONFTEST + FAKE_CLUSTER + f"Cluster.up_by_another = {when!r}")
    run.makepyfile("def test_it(engine): pass")

    # When this run ends.
    output = run.runpytest_inprocess("-s").stdout

    # Then it does not take the cluster down.
    output.no_fnmatch_line("*the cluster is taken down*")


def test_run_without_tests_leaves_no_folder_behind(run: pytest.Pytester, tmp_path: Path) -> None:
    # Given the project's conftest.
    run.makeconftest(CONFTEST + FAKE_CLUSTER)

    # When pytest runs no test.
    run.runpytest_inprocess("--help")

    # Then the run's folder is gone.
    assert list(tmp_path.glob("rtx-test-run-*")) == []
