"""The record of a colour that runs, should its ControllerRevision be lost: as its live objects show it."""

from rtx_operator.api.enums import Colour
from rtx_operator.api.names import Label
from rtx_operator.desired.engine.migration import migration_spec
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.record import Record
from rtx_operator.desired.render import Object
from rtx_operator.desired.revision import RevisionSpec
from rtx_operator.observation import Observation, revision_of


def running(
    inputs: BuildInput, colour: Colour, revision: str, wanted: RevisionSpec, seen: Observation
) -> Record | None:
    """The record of the revision; None unless the colour's Deployment is of it, and its ConfigMap is there.

    Its pods stay as they are: the API server's defaults, which are now in the record, change nothing. What else spec
    asked for then is not known any more; its migration Jobs are those of the `wanted` revision, with its image.
    """
    deployment = seen.child("Deployment", inputs.names.colour(colour))
    if deployment is None or revision_of(deployment) != revision:
        return None
    spec = {field: value for field, value in deployment["spec"].items() if field != "replicas"}
    container = spec["template"]["spec"]["containers"][0]
    config = seen.child("ConfigMap", container["envFrom"][0]["configMapRef"]["name"])
    if config is None:
        return None
    version = str(deployment["metadata"]["labels"][Label.APP_VERSION.value])
    return Record(
        revision=revision,
        inputs={"version": version, "image": _image(container["image"], version)},
        refresh="",
        config_name=config["metadata"]["name"],
        config=config["data"],
        deployment={**spec, "template": _without_nulls(spec["template"])},
        migration=_with_image(migration_spec(inputs, wanted), container, version),
    )


def _image(image: str, version: str) -> Object:
    """spec.image of a container's image."""
    name, _, digest = image.partition("@")
    is_tagged = name.endswith(f":{version}")  # then the operator found the digest, not the user
    return {"repository": name.removesuffix(f":{version}"), **({"digest": digest} if digest and not is_tagged else {})}


def _without_nulls(template: Object) -> Object:
    """The API server writes `creationTimestamp: null`."""
    kept = {field: value for field, value in template["metadata"].items() if value is not None}
    return {**template, "metadata": kept}


def _with_image(migration: Object, running: Object, version: str) -> Object:
    template = migration["template"]
    pulled = {"image": running["image"], "imagePullPolicy": running["imagePullPolicy"]}
    containers = [{**container, **pulled} for container in template["spec"]["containers"]]
    labels = {**template["metadata"]["labels"], Label.APP_VERSION.value: version}
    metadata = {**template["metadata"], "labels": labels}
    return {
        **migration,
        "template": {**template, "metadata": metadata, "spec": {**template["spec"], "containers": containers}},
    }
