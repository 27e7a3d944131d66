"""The operator's own settings, from its environment. Everything about an engine stands in its TradingEngine instead."""

import os
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class SettingsError(Exception):
    """The environment is wrong; the message says which variable, and what to do."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one operator process."""

    postgres_image: str
    redis_image: str
    identity: str  # of this process, as the Lease names it: a restarted container is another one
    namespace: str  # where the operator runs, and its Lease is
    operator_class: str  # serves the TradingEngines labelled with it; empty: those without the label
    database_host: str  # of an engine's database, with {name} and {namespace} of the TradingEngine
    database_port: int
    listen_port: int
    log_level: str
    workers: int  # engines reconciled at a time
    resync_seconds: float  # an engine at which nothing happens is looked at this often
    lease_seconds: float  # a leader that says nothing for this long is replaced
    crash_hook_file: Path | None  # cluster/crash.py; None, as everywhere but in tests: there is no such hook


def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings; raises SettingsError."""
    pod = environment.get("POD_NAME") or socket.gethostname()
    return Settings(
        postgres_image=_required(environment, "POSTGRES_IMAGE", "the image that serves engines' databases"),
        redis_image=_required(environment, "REDIS_IMAGE", "the image that serves engines' caches"),
        identity=f"{pod}_{uuid.uuid4().hex[:8]}",
        namespace=environment.get("POD_NAMESPACE", "rtx-system"),
        operator_class=environment.get("OPERATOR_CLASS", ""),
        database_host=environment.get("DATABASE_HOST", "{name}-postgres.{namespace}.svc"),
        database_port=_number(environment, "DATABASE_PORT", 5432),
        listen_port=_number(environment, "LISTEN_PORT", 8080),
        log_level=environment.get("LOG_LEVEL", "INFO").upper(),
        workers=_number(environment, "RECONCILE_WORKERS", 4),
        resync_seconds=_number(environment, "RESYNC_SECONDS", 300),
        lease_seconds=_number(environment, "LEASE_SECONDS", 15),
        crash_hook_file=Path(hook) if (hook := environment.get("CRASH_HOOK_FILE", "")) else None,
    )


def _required(environment: Mapping[str, str], variable: str, what: str) -> str:
    value = environment.get(variable, "")
    if not value:
        raise SettingsError(f"{variable} is not set: give {what}, for example in manifests/operator/deployment.yaml")
    return value


def _number(environment: Mapping[str, str], variable: str, default: int) -> int:
    value = environment.get(variable, str(default))
    if not value.isdecimal() or int(value) == 0:
        raise SettingsError(f"{variable} is {value!r}: give a whole number above 0")
    return int(value)
