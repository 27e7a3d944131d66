"""What the pods of a restore's Jobs said at their end, as JSON in their termination messages (database/rtx_backup)."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rtx_operator.api.status import RestoredData
from rtx_operator.desired.state import JOB_LABEL
from rtx_operator.observation import Object, Observation


def said_by(seen: Observation, job: Object) -> Mapping[str, Any]:
    """What the Job's newest pod said that said anything; empty when none did, or it cannot be read."""
    pods = seen.pods_of({JOB_LABEL: job["metadata"]["name"]})
    newest_first = sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")), reverse=True)
    return next(filter(None, map(_said, newest_first)), {})


def error_of(said: Mapping[str, Any]) -> str:
    """Why it failed; empty when it did not say."""
    return str(said.get("error", ""))


def last_commit_of(said: Mapping[str, Any]) -> datetime | None:
    """The last commit in the repository, by the Job that checked it."""
    seconds = (said.get("check") or {}).get("last_commit")
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def label_of(said: Mapping[str, Any]) -> str:
    """The backup with which a restore begins, by the Job that checked it; empty while it is not known."""
    return str(((said.get("check") or {}).get("backup") or {}).get("label", ""))


def restored_by(said: Mapping[str, Any]) -> RestoredData | None:
    """What was restored; None while that is not known."""
    found: Mapping[str, Any] | None = said.get("restored")
    if not found:
        return None
    commit = str(found.get("last_commit") or "")
    return RestoredData(
        label=str(found.get("label", "")),
        lsn=str(found.get("position", "")),
        last_commit=datetime.fromisoformat(f"{commit}+00:00") if commit else None,
    )


def _said(pod: Object) -> Mapping[str, Any]:
    for container in pod.get("status", {}).get("containerStatuses") or []:
        message = ((container.get("state") or {}).get("terminated") or {}).get("message") or ""
        try:
            said = json.loads(message)
        except ValueError:
            continue
        if isinstance(said, dict):
            return said
    return {}
