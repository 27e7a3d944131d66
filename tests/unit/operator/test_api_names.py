"""Names and labels equal those of docs/architecture.md, and stay within Kubernetes' limits."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from rtx_operator.api.enums import Colour, Component
from rtx_operator.api.names import MAX_NAME_LENGTH, Label, Names
from rtx_operator.desired.servers import SERVERS

ARCHITECTURE = (Path(__file__).parents[3] / "docs/architecture.md").read_text()
HASH = "0123456789"


def _all(names: Names) -> Iterator[str]:
    yield from (
        names.live_service,
        *map(names.colour, Colour),
        names.config(HASH),
        names.migration(HASH),
        names.check(HASH),
    )
    yield from (names.engine_account, names.autoscaler, *map(names.disruption_budget, Colour))
    yield from (names.postgres, names.postgres_read_only, names.postgres_headless, names.redis, names.redis_headless)
    yield from (names.database_configuration, names.database_leader, names.database_quorum, names.database_switchover)
    yield from (names.server_revision(component, HASH) for component in SERVERS)
    yield from (names.backup, names.full_backup, names.incremental_backup, names.backup_job(HASH))
    yield from (names.credentials, names.internal, *map(names.network_policy, Component))


def test_object_names_equal_those_in_the_architecture_document() -> None:
    documented = set(re.findall(r"`(NAME-[^`]+)`", ARCHITECTURE))

    records = [Names("NAME").record(colour, HASH) for colour in Colour]
    names = {name.replace(HASH, "<hash>") for name in (*_all(Names("NAME")), *records)}

    assert names == documented


def test_longest_names_stay_within_63_characters() -> None:
    names = Names("a" * MAX_NAME_LENGTH)

    # A Service's name and the label with a Job's name have at most 63; a StatefulSet's revisions append 11.
    assert max(map(len, _all(names))) <= 63
    assert len(names.postgres) + len("-0123456789") <= 63


@pytest.mark.parametrize("component", Component)
@pytest.mark.parametrize("colour", [None, *Colour])
def test_labels_of_a_component_include_its_selector(component: Component, colour: Colour | None) -> None:
    names = Names("rtx")

    labels = names.labels(component, version="1.0.0", colour=colour)

    assert names.selector(component, colour).items() <= labels.items()
    assert names.selector(component).items() <= labels.items()
    assert labels[Label.ENGINE] == "rtx"


def test_selectors_of_engines_and_components_are_distinct() -> None:
    selectors = {
        tuple(sorted(Names(engine).selector(component).items())) for engine in ("a", "b") for component in Component
    }

    assert len(selectors) == 2 * len(Component)
