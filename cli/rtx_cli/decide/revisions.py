"""The revisions that were recorded, and the change of spec that goes back to one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rtx_operator.api.names import REFRESH, Label

from rtx_cli.decide.engine import Engine, Object, Operation, instant
from rtx_cli.exits import CliError

# The fields of spec that engine pods are made from, as a manifest writes them; a test compares with the operator's.
POD_FIELDS = (
    "version",
    "image",
    "environment",
    "broker",
    "credentialsSecretRef",
    "resources",
    "scheduling",
    "podLabels",
    "podAnnotations",
    "podSecurityContext",
    "extraEnv",
    "extraVolumes",
    "extraVolumeMounts",
    "trustedCA",
    "imagePullSecrets",
    "serviceAccount",
    "config",
)


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision in a colour, from its ControllerRevision."""

    revision: str
    version: str
    colour: str
    made: datetime | None
    inputs: Mapping[str, Any]  # what spec said of engine pods, without defaults
    refresh: str  # value of the refresh annotation

    def state(self, engine: Engine) -> str:
        """What it is to the engine now."""
        if engine.active and (engine.active.revision, engine.active.colour) == (self.revision, self.colour):
            return "active"
        if engine.previous and engine.previous.revision == self.revision:
            return "previous"
        cutover = engine.cutover
        if cutover and not cutover.is_over and cutover.target_revision == self.revision:
            return "coming"
        return "recorded"


def recorded(records: Iterable[Object]) -> list[Revision]:
    """The engine's revisions out of all its ControllerRevisions, the newest first."""
    found = [
        Revision(
            revision=record["data"]["revision"],
            version=str(record["data"]["inputs"].get("version", "")),
            colour=(record["metadata"].get("labels") or {}).get(Label.COLOUR.value, ""),
            made=instant(record["metadata"].get("creationTimestamp")),
            inputs=record["data"]["inputs"],
            refresh=record["data"].get("refresh", ""),
        )
        for record in records
        if "inputs" in (record.get("data") or {})  # those of database and cache have none
    ]
    return sorted(found, key=lambda one: (one.made is not None, one.made), reverse=True)


def chosen(engine: Engine, revisions: Sequence[Revision], wanted: str | None) -> Revision:
    """The revision to go back to: by the beginning of its hash, else the release before. Raises CliError."""
    if wanted:
        found = {one.revision: one for one in revisions if one.revision.startswith(wanted)}
        if len(found) == 1:
            return next(iter(found.values()))
        known = ", ".join(f"{one.revision} ({one.version})" for one in revisions) or "none"
        problem = "is of several revisions" if found else "is no recorded revision"
        raise CliError(f"{wanted} {problem} of {engine.name}: those are {known}")
    if engine.previous is None:
        raise CliError(
            f"no release before {engine.active.version if engine.active else 'the first'} is kept for {engine.name}: "
            "name a revision of `history` with --to, or set the version with `upgrade`"
        )
    found_previous = next((one for one in revisions if one.revision == engine.previous.revision), None)
    if found_previous is None:
        raise CliError(
            f"the ControllerRevision of version {engine.previous.version} is gone; `upgrade {engine.name} "
            f"{engine.previous.version}` goes back to the version"
        )
    return found_previous


def source(engine: Engine, cutover: Operation, revisions: Sequence[Revision]) -> Revision:
    """The revision from which the cutover began. Raises CliError."""
    found = next((one for one in revisions if one.revision == cutover.source_revision), None)
    if found is None:
        raise CliError(
            f"the ControllerRevision of version {cutover.source}, from which {engine.name} came, is gone: set "
            "spec back by hand"
        )
    return found


def change_to(engine: Engine, goal: Revision) -> Object:
    """The merge patch by which spec asks for the revision; empty when it does already."""
    wanted = {field: goal.inputs.get(field) for field in POD_FIELDS}
    present = {field: engine.spec.get(field) for field in POD_FIELDS}
    account = present["serviceAccount"] or {}
    if "annotations" in account:  # shape no pod
        wanted["serviceAccount"] = {**(wanted["serviceAccount"] or {}), "annotations": account["annotations"]}
    spec = _merge_patch(present, wanted)
    patch: Object = {"spec": spec} if spec else {}
    refresh = engine.annotations.get(REFRESH, "")
    if refresh and refresh != goal.refresh:
        # Without it spec asks for the release that was made first of these fields; another value would restart
        # database and cache, too.
        patch["metadata"] = {"annotations": {REFRESH: None}}
    return patch


def _merge_patch(present: Mapping[str, Any], wanted: Mapping[str, Any]) -> Object:
    """RFC 7386: null removes a field, and the API server writes its default there."""
    patch: Object = {}
    for field in {**present, **wanted}:
        old, new = present.get(field), wanted.get(field)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            if inner := _merge_patch(old, new):
                patch[field] = inner
        else:
            patch[field] = new
    return patch
