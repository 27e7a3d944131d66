"""The Jobs that ran migrations."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from rtx_operator.api.names import Label

from rtx_cli.decide.engine import Object, instant


@dataclass(frozen=True, slots=True)
class MigrationJob:
    """A migration Job."""

    name: str
    version: str
    command: str  # such as `up --half expand`
    cutover: str  # empty: of the installation
    state: str
    started: datetime | None
    seconds: float | None  # None: it is not complete
    message: str


def jobs_of(manifests: Iterable[Object]) -> list[MigrationJob]:
    """The newest first."""
    jobs = [_job(one) for one in manifests]
    return sorted(jobs, key=lambda job: (job.started is not None, job.started), reverse=True)


def _job(manifest: Object) -> MigrationJob:
    meta, status = manifest["metadata"], manifest.get("status") or {}
    container = manifest["spec"]["template"]["spec"]["containers"][0]
    words = [*(container.get("command") or []), *(container.get("args") or [])]
    conditions = {one["type"]: one for one in status.get("conditions") or [] if one["status"] == "True"}
    ended = conditions.get("Complete") or conditions.get("Failed") or {}
    started, done = instant(status.get("startTime")), instant(status.get("completionTime"))
    labels = meta.get("labels") or {}
    return MigrationJob(
        name=meta["name"],
        version=labels.get(Label.APP_VERSION.value, ""),
        command=" ".join(words[words.index("migrate") + 1 :]) if "migrate" in words else " ".join(words),
        cutover=labels.get(Label.CUTOVER.value, ""),
        state=ended.get("type", "Running" if status.get("active") else "Pending"),
        started=started,
        seconds=(done - started).total_seconds() if started and done else None,
        message=ended.get("message", "") if "Failed" in conditions else "",
    )
