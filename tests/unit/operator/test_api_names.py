"""Names and labels are those of docs/architecture.md, and fit Kubernetes' limits."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from rtx_operator.api.enums import Colour, Component
from rtx_operator.api.names import MAX_NAME_LENGTH, Label, Names

ARCHITECTURE = (Path(__file__).parents[3] / "docs/architecture.md").read_text()
HASH = "0123456789"


def _all(names: Names) -> Iterator[str]:
    yield from (names.live_service, *map(names.colour, Colour), names.config(HASH), names.migration(HASH))
    yield from (names.engine_account, names.autoscaler, names.disruption_budget)
    yield from (names.postgres, names.postgres_headless, names.redis, names.redis_headless)
    yield from (names.credentials, names.internal, *map(names.network_policy, Component))


def test_every_name_is_in_the_contract() -> None:
    written = set(re.findall(r"`(NAME-[^`]+)`", ARCHITECTURE))

    named = {name.replace(HASH, "<hash>") for name in _all(Names("NAME"))}

    assert named == written


def test_the_longest_names_fit_what_kubernetes_makes_of_them() -> None:
    names = Names("a" * MAX_NAME_LENGTH)

    # Services and the labels that hold a Job's name take 63 characters; a StatefulSet's revisions append 11 more.
    assert max(map(len, _all(names))) <= 63
    assert len(names.postgres) + len("-0123456789") <= 63


@pytest.mark.parametrize("component", Component)
@pytest.mark.parametrize("colour", [None, *Colour])
def test_a_component_is_selected_by_labels_that_its_objects_carry(component: Component, colour: Colour | None) -> None:
    names = Names("rtx")

    labels = names.labels(component, version="1.0.0", colour=colour)

    assert names.selector(component, colour).items() <= labels.items()
    assert names.selector(component).items() <= labels.items()
    assert labels[Label.ENGINE] == "rtx"


def test_no_selector_picks_another_engine_or_component() -> None:
    picked = {
        tuple(sorted(Names(engine).selector(component).items())) for engine in ("a", "b") for component in Component
    }

    assert len(picked) == 2 * len(Component)
