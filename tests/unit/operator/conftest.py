"""Fixtures of the operator's tests."""

import pytest
from cutover_walks import lose, until_retiring, upgraded
from cutover_world import World, copied, installed
from rtx_operator.api.enums import CutoverPhase

INSTALLED = installed()


@pytest.fixture
def world() -> World:
    """An engine of version 1.0.0 in blue."""
    return copied(INSTALLED)


@pytest.fixture
def retiring(world: World) -> World:
    """1.1.0 in green; the retirement of 1.0.0 in blue has begun."""
    until_retiring(upgraded(world))
    return world


@pytest.fixture
def stuck(world: World) -> World:
    """A rollback begins that cannot be: 1.1.0 executes in green with errors, and no pod of 1.0.0 in blue is ready."""
    world.faults.add("errors:1.1.0")
    world.set_spec(version="1.1.0")
    assert world.run_until(CutoverPhase.MONITORING)
    lose(world, "blue", "1.0.0")
    assert world.run_until(CutoverPhase.ROLLING_BACK)
    return world
