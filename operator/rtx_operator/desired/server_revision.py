"""Database or cache as it is made, recorded in a ControllerRevision of its own (ADR 0033).

What runs is repaired from its record, never from today's templates: a newer release of the operator restarts nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from rtx_operator.api.engine import OperatorTooOldError
from rtx_operator.api.enums import Component
from rtx_operator.api.names import CACHE_MEMBERS, Label
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.pods import credentials_of
from rtx_operator.desired.render import Object, digest, render

# Fields of a StatefulSet that Kubernetes lets nobody change: they stay as they were first made.
FIXED = ("serviceName", "podManagementPolicy", "selector", "volumeClaimTemplates")
LAYOUT = 1  # of a record; a release raises it when earlier ones cannot read what it writes


@dataclass(frozen=True, slots=True)
class ServerRevision:
    """All that a server is made from. `hash` identifies pod and configuration, and ends its ControllerRevision's name.

    `asked` is the hash of what the user asked for when it was first made.
    """

    hash: str
    asked: str
    pod: Object  # the StatefulSet's template, without the label that names the revision
    configuration: Mapping[str, str]  # the ConfigMap's data
    fixed: Mapping[str, Any]  # of the StatefulSet's spec, by FIXED

    @classmethod
    def rendered(cls, stateful_set: Object, config_map: Object, asked: str) -> Self:
        """What today's templates make of a spec."""
        spec, configuration = stateful_set["spec"], config_map["data"]
        pod = spec["template"]
        return cls(
            hash=digest({"pod": pod, "configuration": configuration}),
            asked=asked,
            pod=pod,
            configuration=configuration,
            fixed={field: spec[field] for field in FIXED},
        )

    @classmethod
    def recorded(cls, revision: Object) -> Self:
        """What a ControllerRevision records. Raises OperatorTooOldError for a layout that a later release wrote."""
        data = revision["data"]["server"]
        if data["layout"] > LAYOUT:
            name = revision["metadata"]["name"]
            raise OperatorTooOldError(f"data.server.layout of ControllerRevision {name} is {data['layout']}")
        return cls(data["hash"], data["asked"], data["pod"], data["configuration"], data["fixed"])

    @classmethod
    def running(cls, stateful_set: Object, config_map: Object, asked: str) -> Self:
        """What runs, should its record be lost: with the API server's defaults, which change nothing."""
        spec = stateful_set["spec"]
        metadata = spec["template"]["metadata"]
        labels = {key: value for key, value in metadata["labels"].items() if key != Label.REVISION}
        kept = {key: value for key, value in metadata.items() if value is not None}
        return cls(
            hash=stateful_set["metadata"]["labels"][Label.REVISION.value],
            asked=asked,
            pod={**spec["template"], "metadata": {**kept, "labels": labels}},
            configuration=config_map["data"],
            fixed={field: spec[field] for field in FIXED},
        )

    @property
    def image(self) -> str:
        return str(self.pod["spec"]["containers"][0]["image"])

    @property
    def size(self) -> int:
        """How many pods it has: three where a Sentinel stands beside the server."""
        has_sentinel = any(container["name"] == "sentinel" for container in self.pod["spec"]["containers"])
        return CACHE_MEMBERS if has_sentinel else 1

    @property
    def pull_secrets(self) -> list[Object]:
        return list(self.pod["spec"].get("imagePullSecrets") or [])

    @property
    def credentials(self) -> str:
        """The fingerprint of the passwords; empty while they were not known."""
        return credentials_of(self.pod)

    def record(self) -> Object:
        """The inverse of `recorded`."""
        return {
            "layout": LAYOUT,
            "hash": self.hash,
            "asked": self.asked,
            "pod": self.pod,
            "configuration": dict(self.configuration),
            "fixed": dict(self.fixed),
        }


def controller_revision(inputs: BuildInput, component: Component, revision: ServerRevision) -> Object:
    """The ControllerRevision that records a server."""
    return render(
        "server-revision",
        name=inputs.names.server_revision(component, revision.hash),
        namespace=inputs.namespace,
        labels=inputs.names.labels(component),
        owners=inputs.owners,
        server=revision.record(),
    )


def as_made(stateful_set: Object, revision: ServerRevision, *, size: int) -> Object:
    """The StatefulSet with `size` pods of the revision. Pods that run stay until they are evicted (ADR 0122)."""
    named = {Label.REVISION.value: revision.hash}
    pod, meta = revision.pod, stateful_set["metadata"]
    labelled = {**pod["metadata"], "labels": {**pod["metadata"]["labels"], **named}}
    spec = {
        **stateful_set["spec"],
        **revision.fixed,
        "replicas": size,
        "updateStrategy": {"type": "OnDelete"},
        "template": {**pod, "metadata": labelled},
    }
    return {**stateful_set, "metadata": {**meta, "labels": {**meta["labels"], **named}}, "spec": spec}
