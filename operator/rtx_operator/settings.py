"""The operator's settings, from its environment. Settings of one engine are in its TradingEngine."""

import os
import re
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class SettingsError(Exception):
    """A variable of the environment is missing or invalid; the message names it and the remedy."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one operator process."""

    postgres_image: str
    redis_image: str
    identity: str  # of this process, the Lease's holderIdentity; new after each start of the container
    namespace: str  # of the operator and its Lease
    operator_class: str  # reconciles the TradingEngines with this label value; empty: those without the label
    watch_namespaces: tuple[str, ...]  # the only ones with TradingEngines to serve; empty: all
    database_host: str  # host of an engine's database; {name} and {namespace} stand for the TradingEngine's
    database_port: int
    listen_port: int
    log_level: str
    workers: int  # engines that are reconciled at a time
    max_maintenance: int  # engines whose database or cache is in maintenance at a time
    max_cutovers: int  # engines that are in a cutover at a time
    resync_seconds: float  # between two reconciles of an engine without events
    lease_seconds: float  # without a renewal, after which another replica takes the Lease
    crash_hook_file: Path | None  # for tests (cluster/crash.py); None: no crash hook

    @property
    def lease_name(self) -> str:
        """Each operator class has a Lease of its own, so that two classes in one namespace both serve."""
        return f"rtx-operator-{self.operator_class}" if self.operator_class else "rtx-operator"


def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings; raises SettingsError."""
    pod = environment.get("POD_NAME") or socket.gethostname()
    return Settings(
        postgres_image=_required(environment, "POSTGRES_IMAGE", "the image of the engines' databases"),
        redis_image=_required(environment, "REDIS_IMAGE", "the image of the engines' caches"),
        identity=f"{pod}_{uuid.uuid4().hex[:8]}",
        namespace=environment.get("POD_NAMESPACE", "rtx-system"),
        operator_class=_operator_class(environment),
        watch_namespaces=_namespaces(environment),
        database_host=environment.get("DATABASE_HOST", "{name}-postgres.{namespace}.svc"),
        database_port=_number(environment, "DATABASE_PORT", 5432),
        listen_port=_number(environment, "LISTEN_PORT", 8080),
        log_level=environment.get("LOG_LEVEL", "INFO").upper(),
        workers=_number(environment, "RECONCILE_WORKERS", 4),
        max_maintenance=_number(environment, "MAX_MAINTENANCE", 2),
        max_cutovers=_number(environment, "MAX_CUTOVERS", 20),
        resync_seconds=_number(environment, "RESYNC_SECONDS", 300),
        lease_seconds=_number(environment, "LEASE_SECONDS", 15),
        crash_hook_file=Path(hook) if (hook := environment.get("CRASH_HOOK_FILE", "")) else None,
    )


def _operator_class(environment: Mapping[str, str]) -> str:
    value = environment.get("OPERATOR_CLASS", "")
    if value and not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?", value):
        raise SettingsError(
            f"OPERATOR_CLASS is {value!r}: set it to lower case letters, digits and dashes, 42 characters at most"
        )
    return value


def _namespaces(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Each once, in the order given."""
    value = environment.get("WATCH_NAMESPACES", "")
    names = tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
    if wrong := [name for name in names if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name)]:
        raise SettingsError(f"WATCH_NAMESPACES names {wrong[0]!r}: set it to names of namespaces, with commas between")
    return names


def _required(environment: Mapping[str, str], variable: str, meaning: str) -> str:
    value = environment.get(variable, "")
    if not value:
        raise SettingsError(f"{variable} is not set: name {meaning}, for example in manifests/operator/deployment.yaml")
    return value


def _number(environment: Mapping[str, str], variable: str, default: int) -> int:
    value = environment.get(variable, str(default))
    if not value.isdecimal() or int(value) == 0:
        raise SettingsError(f"{variable} is {value!r}: set it to a whole number above 0")
    return int(value)
