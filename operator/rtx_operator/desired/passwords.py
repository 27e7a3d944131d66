"""Which passwords a database or engine pod has: those of which Secret, and whether those of today (ADR 0057)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rtx_operator.api.names import CredentialKey
from rtx_operator.api.status import Asked, Maintenance
from rtx_operator.desired.inputs import Fingerprints
from rtx_operator.observation import Object, is_ready


def secret_of(pod: Mapping[str, Any]) -> str:
    """The name of the Secret from which a pod, or the template of pods, has DB_PASSWORD; empty when it names none."""
    variable = _variable(pod, CredentialKey.DB_PASSWORD) or {}
    return str(((variable.get("valueFrom") or {}).get("secretKeyRef") or {}).get("name", ""))


def fingerprint_of(template: Mapping[str, Any], fingerprints: Fingerprints) -> str:
    """The fingerprint of the passwords that engine pods of this template have."""
    has_standby = _variable(template, CredentialKey.JWT_SECRET_STANDBY) is not None
    return fingerprints.engine_with_standby if has_standby else fingerprints.engine


def took_at_start(pod: Object, secret: str, maintenance: Maintenance | None, asked: Asked) -> bool:
    """Whether a database pod set the passwords of today at its start, whatever template it was made from.

    They are those for which the maintenance began, so a pod of that Secret which started later has them.
    """
    if maintenance is None or maintenance.asked != asked or not is_ready(pod) or secret_of(pod) != secret:
        return False
    started = _started(pod)
    return started is not None and started > maintenance.started_at


def _variable(pod: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    for container in pod["spec"].get("containers") or []:
        for variable in container.get("env") or []:
            if variable["name"] == name:
                found: Mapping[str, Any] = variable
                return found
    return None


def _started(pod: Object) -> datetime | None:
    """When its container was started, else the pod made, which was earlier."""
    containers = pod.get("status", {}).get("containerStatuses") or []
    running = [(one.get("state") or {}).get("running") or {} for one in containers]
    at = next((one["startedAt"] for one in running if one.get("startedAt")), None)
    at = at or pod["metadata"].get("creationTimestamp")
    return datetime.fromisoformat(at) if at else None
