"""Another release of the operator, for a test: its templates, and what it gives every engine, differ from today's."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import desired_states
import jinja2
import pytest
from rtx_operator.api.spec import TradingEngineSpec
from rtx_operator.desired import render, revision, wanted

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
    with _release() as patch:
        patch.setattr(environment, "loader", jinja2.ChoiceLoader([edited, environment.loader]))
        yield


@contextmanager
def another_variable() -> Iterator[None]:
    """A release that gives engines one more environment variable."""
    config = revision._config
    with _release() as patch:
        patch.setattr(revision, "_config", lambda inputs: {**config(inputs), "NEW_VARIABLE": "1"})
        yield


@contextmanager
def another_field(**value: Any) -> Iterator[None]:
    """A release that knows one more field of spec that shapes pods; every spec has this value in it."""
    known = revision.pod_inputs

    def pod_inputs(spec: TradingEngineSpec) -> dict[str, Any]:
        return {**known(spec), **value}

    with _release() as patch:
        patch.setattr(revision, "pod_inputs", pod_inputs)
        patch.setattr(wanted, "pod_inputs", pod_inputs)
        yield


@contextmanager
def _release() -> Iterator[pytest.MonkeyPatch]:
    """What was built by one release is forgotten by the other."""
    _forget()
    with pytest.MonkeyPatch.context() as patch:
        try:
            yield patch
        finally:
            _forget()


def _forget() -> None:
    if render._ENVIRONMENT.cache is not None:
        render._ENVIRONMENT.cache.clear()
    render._rendered.cache_clear()
    desired_states.forget_desired_states()
