"""Another release of the operator, for a test: its templates, and what it gives every engine, differ from today's."""

from collections.abc import Iterator
from contextlib import contextmanager

import cutover_world
import jinja2
import pytest
from rtx_operator.desired import render, revision

DEPLOYMENT = "engine/deployment-spec"
JOB = "engine/migration-job-spec"


@contextmanager
def edited_template(template: str, old: str, new: str) -> Iterator[None]:
    """A release in which `old` in templates/`template`.yaml.j2 is `new`."""
    environment, name = render._ENVIRONMENT, f"{template}.yaml.j2"
    assert environment.loader
    source = environment.loader.get_source(environment, name)[0]
    assert old in source, f"{name} does not have {old!r}"
    edited = jinja2.DictLoader({name: source.replace(old, new)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environment, "loader", jinja2.ChoiceLoader([edited, environment.loader]))
        _forget(environment)
        yield
    _forget(environment)


@contextmanager
def another_variable() -> Iterator[None]:
    """A release that gives engines one more environment variable."""
    config = revision._config
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(revision, "_config", lambda inputs: {**config(inputs), "NEW_VARIABLE": "1"})
        cutover_world.forget_desired_states()
        yield
    cutover_world.forget_desired_states()


def _forget(environment: jinja2.Environment) -> None:
    if environment.cache is not None:
        environment.cache.clear()
    render._rendered.cache_clear()
    cutover_world.forget_desired_states()
