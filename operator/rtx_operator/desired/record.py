"""The record of a revision in a colour: all that its pods were made from, as it was rendered when they were first made.

What runs is repaired from its record. So another release of the operator, with other templates, variables and
defaults, changes no pod until the next cutover (ADR 0031). A ControllerRevision cannot change: what one holds is never
written anew, and a record is read as it is, also where an earlier or later release wrote more into it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from rtx_operator.api.engine import OperatorTooOldError
from rtx_operator.api.enums import Colour
from rtx_operator.api.names import DIGEST, Names
from rtx_operator.desired.image import with_digest
from rtx_operator.desired.render import Object
from rtx_operator.observation import Observation

KIND = "ControllerRevision"  # Kubernetes' own kind for a snapshot of what a workload was
LAYOUT = 1  # of the data; a release raises it when earlier ones cannot read what it writes


@dataclass(frozen=True, slots=True)
class Record:
    """A revision in a colour.

    `deployment` is the spec of its Deployment, `migration` that of its migration Jobs without what differs from Job to
    Job (arguments, resources, time limit). `inputs` and `refresh` are what the user asked for (revision.py).
    """

    revision: str  # the hash
    inputs: Mapping[str, Any]
    refresh: str
    config_name: str
    config: Mapping[str, str]
    deployment: Mapping[str, Any]
    migration: Mapping[str, Any]
    # To which the image's tag was resolved; empty: it was not. An annotation holds it: it is known only after the
    # record was made, and what a ControllerRevision holds cannot change.
    pin: str = ""
    made: str = field(default="", compare=False)  # when the API server stored it; empty: not yet

    @property
    def image(self) -> str:
        """The image of the colour's pods."""
        return with_digest(self.deployment["template"]["spec"]["containers"][0]["image"], self.pin)

    @property
    def by_tag(self) -> "Record":
        """The record as it was before its tag was resolved."""
        return replace(self, pin="")

    @property
    def version(self) -> str:
        """The engine's version."""
        return str(self.inputs["version"])

    @property
    def digest(self) -> str:
        """The digest of the image; empty when the image has a tag only."""
        return self.image.partition("@")[2]

    @property
    def config_hash(self) -> str:
        """Ends the name of the ConfigMap."""
        return self.config_name.rpartition("-")[2]

    def makes_the_pods_of(self, other: "Record") -> bool:
        """Whether both make the same pods, in one colour."""
        mine, theirs = (
            (self.config_name, self.config, self.deployment),
            (other.config_name, other.config, other.deployment),
        )
        return mine == theirs

    def data(self) -> Object:
        """The record as the data of a ControllerRevision, the inverse of `of`."""
        refresh = {"refresh": self.refresh} if self.refresh else {}
        return {
            "layout": LAYOUT,
            "revision": self.revision,
            "inputs": dict(self.inputs),
            **refresh,
            "configMap": {"name": self.config_name, "data": dict(self.config)},
            "deployment": dict(self.deployment),
            "migration": dict(self.migration),
        }

    @classmethod
    def of(cls, name: str, data: Object, pin: str = "", made: str = "") -> Self:
        """The record in a ControllerRevision. Raises OperatorTooOldError for a layout that a later release wrote."""
        if data["layout"] > LAYOUT:
            raise OperatorTooOldError(f"data.layout of {KIND} {name} is {data['layout']}")
        return cls(
            revision=data["revision"],
            inputs=data["inputs"],
            refresh=data.get("refresh", ""),
            config_name=data["configMap"]["name"],
            config=data["configMap"]["data"],
            deployment=data["deployment"],
            migration=data["migration"],
            pin=pin,
            made=made,
        )


def recorded(names: Names, seen: Observation, colour: Colour, revision: str) -> Record | None:
    """The record of a colour that was made earlier; None when there is none. Raises OperatorTooOldError."""
    name = names.record(colour, revision)
    found = seen.children.get((KIND, name))  # also while it is being deleted
    if found is None:
        return None
    meta = found["metadata"]
    pin = (meta.get("annotations") or {}).get(DIGEST, "")
    return Record.of(name, found["data"], pin, meta.get("creationTimestamp", ""))
