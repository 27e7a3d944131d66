"""The demo's command line: what it refuses before it starts a cluster."""

import pytest
from rtx_demo import main
from rtx_demo.traffic import Settings
from typer.testing import CliRunner


def test_a_rate_below_that_of_new_connections_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_cluster(*_: object) -> None:
        pytest.fail("a cluster was requested")

    monkeypatch.setattr(main, "choose", no_cluster)

    result = CliRunner().invoke(main.app, ["run", f"--rate={Settings.new_per_second - 1}"])

    assert result.exit_code == 2
    assert "Invalid value for '--rate'" in result.output
