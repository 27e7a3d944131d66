"""spec.database.parameters: what PostgreSQL takes over while it runs, and what it reads only at its start."""

import json
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from cutover_walks import reconciled
from cutover_world import World
from maintenance_walks import taken_away, until
from rtx_operator.api.crd import structural
from rtx_operator.api.enums import MaintenancePhase
from rtx_operator.api.schema import BOUNDS
from rtx_operator.api.spec.parameters import Parameters

STATE = ("ConfigMap", "rtx-postgres-config")
CONFIGURATION = ("ConfigMap", "rtx-postgres")


POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))


def extremes() -> Iterator[Parameters]:
    """Each parameter at both of its bounds."""
    for name, schema in structural(Parameters)["properties"].items():
        bounds = schema.get(BOUNDS) or [schema.get("minimum"), schema.get("maximum")]
        for value in (False, True) if schema.get("type") == "boolean" else bounds:
            yield Parameters.model_validate({name: value})


def in_force(world: World) -> dict[str, str]:
    """What Patroni is to give to every server."""
    written = json.loads(world.children[STATE]["metadata"]["annotations"]["config"])
    found: dict[str, str] = written["postgresql"]["parameters"]
    return found


def test_parameters_are_written_as_postgresql_reads_them() -> None:
    written = Parameters(
        work_mem="16Mi",
        random_page_cost=1.1,
        checkpoint_timeout=timedelta(minutes=5),
        log_lock_waits=False,
        autovacuum_max_workers=5,
    )

    assert written.live == {
        "work_mem": "16384kB",
        "random_page_cost": "1.1",
        "checkpoint_timeout": "300000ms",
        "log_lock_waits": "off",
    }
    assert written.at_start == {"autovacuum_max_workers": "5"}


@pytest.mark.skipif(not POSTGRES, reason="needs PostgreSQL: apt-get install postgresql")
@pytest.mark.parametrize("parameters", list(extremes()), ids=lambda one: str({**one.live, **one.at_start}))
def test_postgresql_takes_every_parameter_at_its_bounds(tmp_path: Path, parameters: Parameters) -> None:
    # Given what it would refuse, and then not start with
    ((name, value),) = {**parameters.live, **parameters.at_start}.items()
    (tmp_path / "postgresql.conf").touch()

    # When it is asked for the value, then it has understood it
    command = [POSTGRES[-1], "-C", name, "-D", tmp_path, "-c", f"{name}={value}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


def test_parameter_of_a_running_server_costs_no_restart_and_is_taken_back(world: World) -> None:
    before, away = in_force(world), taken_away(world)

    world.set_spec(database={"parameters": {"work_mem": "16Mi"}})
    reconciled(world, 5)

    assert in_force(world) == {**before, "work_mem": "16384kB"}
    assert "maintenance" not in world.stored

    world.set_spec(database={})
    reconciled(world, 5)

    assert (in_force(world), away) == (before, [])


def test_parameter_that_is_read_at_the_start_waits_for_a_maintenance(world: World) -> None:
    before = in_force(world)

    world.set_spec(database={"parameters": {"wal_buffers": "16Mi"}})

    assert until(world, MaintenancePhase.SUCCEEDED)
    own = yaml.safe_load(world.children[CONFIGURATION]["data"]["patroni.yml"])
    assert own["postgresql"]["parameters"]["wal_buffers"] == "16384kB"
    assert in_force(world) == before
