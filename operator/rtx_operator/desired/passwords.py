"""Which passwords the process of a database or cache has: those of its Secrets at its last start (ADR 0095)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rtx_operator.api.names import CredentialKey
from rtx_operator.api.status import ServerStart
from rtx_operator.desired.inputs import Fingerprints
from rtx_operator.observation import Object, is_ready

_KEYS = frozenset({CredentialKey.DB_PASSWORD, CredentialKey.REDIS_PASSWORD})  # a server has one, an engine pod both


@dataclass(frozen=True, slots=True)
class PasswordsToTake:
    """Fingerprints of the passwords that a server would take if it started now; empty while they are not known."""

    secret: str  # name of the Secret of spec, which has `password`
    password: str  # of engine pods
    by_peer: str  # the same by another key
    internal: str = ""  # of the database's other roles

    def is_that_of(self, start: ServerStart) -> bool:
        """Whether engine pods have the password that the server took. One of the two keys may have changed since."""
        return bool(self.password) and (start.password == self.password or start.by_peer == self.by_peer)


def secret_of(pod: Mapping[str, Any]) -> str:
    """The name of the Secret from which a pod, or the template of pods, has its passwords; empty when it names none."""
    return next((secret for _, secret in _named(pod)), "")


def fingerprint_of(template: Mapping[str, Any], fingerprints: Fingerprints) -> str:
    """The fingerprint of the passwords that engine pods of this template have."""
    names = {variable["name"] for _, variable in _variables(template)}
    has_standby = CredentialKey.JWT_SECRET_STANDBY in names
    return fingerprints.engine_with_standby if has_standby else fingerprints.engine


def last_start(known: ServerStart | None, pods: Iterable[Object], today: PasswordsToTake) -> ServerStart | None:
    """The last start of a server that is known; one that status does not know took the passwords of today.

    What is in another Secret than spec names is not known: a pod of that one is taken to have the password that the
    pod before had.
    """
    for pod in pods:
        restarts = _running_since_restart(pod)
        if restarts is None or not today.password:
            continue
        uid = pod["metadata"].get("uid", "")
        if known and (known.pod, known.restarts) == (uid, restarts):
            started, is_todays = known, today.is_that_of(known)
        else:
            kept = {"password": known.password, "by_peer": known.by_peer} if known else {}
            started = ServerStart(pod=uid, restarts=restarts, internal=today.internal, **kept)
            is_todays = secret_of(pod) == today.secret
        of_today = {"password": today.password, "by_peer": today.by_peer}
        return started.model_copy(update=of_today) if is_todays else started
    return known


def _named(pod: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """(container, Secret) of each variable with such a password."""
    for container, variable in _variables(pod):
        secret = ((variable.get("valueFrom") or {}).get("secretKeyRef") or {}).get("name")
        if secret and variable["name"] in _KEYS:
            yield container, secret


def _variables(pod: Mapping[str, Any]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """(container, variable) of each variable of a pod, or of the template of pods."""
    for container in pod["spec"].get("containers") or []:
        for variable in container.get("env") or []:
            yield container["name"], variable


def _running_since_restart(pod: Object) -> int | None:
    """How often the server's container was restarted before it runs as it does now; None when it does not run."""
    container = next((name for name, _ in _named(pod)), "")
    statuses = pod.get("status", {}).get("containerStatuses") or []
    status = next((one for one in statuses if one["name"] == container), None)
    if status is None:
        return 0 if is_ready(pod) else None
    return int(status.get("restartCount", 0)) if (status.get("state") or {}).get("running") is not None else None
