"""The record of a colour that runs, should its ControllerRevision be lost: as its live objects show it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rtx_operator.api.enums import Colour
from rtx_operator.api.names import REFRESH, Label
from rtx_operator.desired.engine.colour import rendered
from rtx_operator.desired.engine.migration import migration_spec
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.pods import CREDENTIALS
from rtx_operator.desired.record import Record
from rtx_operator.desired.render import Object
from rtx_operator.desired.revision import RevisionSpec
from rtx_operator.observation import Observation, engine_container, revision_of


def refresh_of(deployment: Object) -> str:
    """The value of the refresh annotation for which the revision of a Deployment was made."""
    return str((deployment["metadata"].get("annotations") or {}).get(REFRESH, ""))


def running(
    inputs: BuildInput, colour: Colour, revision: str, wanted: RevisionSpec, seen: Observation
) -> Record | None:
    """The record of the revision; None unless the colour's Deployment is of it, and its ConfigMap is there.

    Its pods stay as they are: the API server's defaults, which are now in the record, change nothing. What spec asked
    for then is known when it is what spec asks for now; its migration Jobs are those of the `wanted` revision, with its
    image.
    """
    deployment = seen.child("Deployment", inputs.names.colour(colour))
    if deployment is None or revision_of(deployment) != revision:
        return None
    spec = {field: value for field, value in deployment["spec"].items() if field != "replicas"}
    container = engine_container(spec["template"])
    config = seen.child("ConfigMap", container["envFrom"][0]["configMapRef"]["name"])
    if config is None:
        return None
    version = str(deployment["metadata"]["labels"][Label.APP_VERSION.value])
    image, pin = _by_tag(container["image"], version)
    record = Record(
        revision=revision,
        inputs={"version": version, "image": _spec_image(image, version)},
        refresh=refresh_of(deployment),
        config_name=config["metadata"]["name"],
        config=config["data"],
        deployment={**spec, "template": _as_recorded(spec["template"], image)},
        migration=_with_image(migration_spec(inputs, wanted), image, container["imagePullPolicy"], version),
        pin=pin,
    )
    if wanted.hash != revision:
        return record
    made = rendered(inputs, colour, wanted)
    is_as_made = _has(record.deployment, made.deployment) and record.config == made.config
    # Another release of the operator, with other templates, may have made what runs.
    return replace(made, pin=pin) if is_as_made else replace(record, inputs=wanted.inputs)


def _has(value: Any, part: Any) -> bool:
    """Whether all that stands in `part` stands in `value`. The API server adds defaults, and drops what is empty."""
    if isinstance(value, Mapping) and isinstance(part, Mapping):
        return all(_has(value[key], one) if key in value else one in ([], {}) for key, one in part.items())
    if isinstance(value, list) and isinstance(part, list):
        return len(value) == len(part) and all(map(_has, value, part))
    return bool(value == part)


def _by_tag(image: str, version: str) -> tuple[str, str]:
    """The image as spec names it, and the digest to which the operator resolved its tag."""
    name, _, digest = image.partition("@")
    return (name, digest) if name.endswith(f":{version}") else (image, "")


def _spec_image(image: str, version: str) -> Object:
    """spec.image of an image as spec names it."""
    name, _, digest = image.partition("@")
    return {"repository": name.removesuffix(f":{version}"), **({"digest": digest} if digest else {})}


def _as_recorded(template: Object, image: str) -> Object:
    """Without the passwords' fingerprint and the digest, which no record has in it, and what others put there."""
    kept = {field: value for field, value in template["metadata"].items() if value is not None}
    asked = {key: value for key, value in kept.pop("annotations", {}).items() if key != CREDENTIALS}
    pod = {**template["spec"], "containers": [{**engine_container(template), "image": image}]}
    return {**template, "metadata": {**kept, **({"annotations": asked} if asked else {})}, "spec": pod}


def _with_image(migration: Object, image: str, pull_policy: str, version: str) -> Object:
    template = migration["template"]
    pulled = {"image": image, "imagePullPolicy": pull_policy}
    containers = [{**container, **pulled} for container in template["spec"]["containers"]]
    labels = {**template["metadata"]["labels"], Label.APP_VERSION.value: version}
    metadata = {**template["metadata"], "labels": labels}
    return {
        **migration,
        "template": {**template, "metadata": metadata, "spec": {**template["spec"], "containers": containers}},
    }
