"""Settings from the environment."""

import pytest
from rtx_operator.settings import SettingsError, from_environment

IMAGES = {"POSTGRES_IMAGE": "postgres", "REDIS_IMAGE": "redis"}


@pytest.mark.parametrize(("operator_class", "lease"), [("", "rtx-operator"), ("desk-2", "rtx-operator-desk-2")])
def test_each_operator_class_has_a_lease_of_its_own(operator_class: str, lease: str) -> None:
    assert from_environment({**IMAGES, "OPERATOR_CLASS": operator_class}).lease_name == lease


def test_operator_class_that_names_no_lease_is_refused() -> None:
    with pytest.raises(SettingsError, match="OPERATOR_CLASS"):
        from_environment({**IMAGES, "OPERATOR_CLASS": "Desk 2"})


@pytest.mark.parametrize(("value", "namespaces"), [("", ()), ("a", ("a",)), (" a, b ,a,", ("a", "b"))])
def test_watched_namespaces_are_a_list_with_commas(value: str, namespaces: tuple[str, ...]) -> None:
    assert from_environment({**IMAGES, "WATCH_NAMESPACES": value}).watch_namespaces == namespaces


def test_namespace_that_cannot_exist_is_refused() -> None:
    with pytest.raises(SettingsError, match="WATCH_NAMESPACES"):
        from_environment({**IMAGES, "WATCH_NAMESPACES": "a b"})
