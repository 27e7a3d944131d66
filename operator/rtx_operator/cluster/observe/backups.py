"""Reads what a backup depends on, and tells which backups the watches have news of."""

import asyncio
from collections.abc import Iterator

from rtx_operator.api.enums import BackupPhase, Component
from rtx_operator.api.names import Label
from rtx_operator.cluster.client import Client, Object
from rtx_operator.cluster.resources import BACKUP, ENGINE, JOB, POD, SECRET, STATEFUL_SET
from rtx_operator.cluster.watched import WatchedObjects
from rtx_operator.observation import Observation
from rtx_operator.operations.backup.context import backup_of, is_backup_job


async def read_backups(client: Client, namespace: str, engine: str) -> tuple[Object | None, Observation]:
    """The TradingEngine, its StatefulSets, the Jobs of all its backups with their pods, and the Secret of its bucket.

    Raises ApiError.
    """
    labels = {Label.ENGINE.value: engine}
    of_backups = {**labels, Label.COMPONENT.value: Component.BACKUP.value}
    manifest, sets, jobs, pods = await asyncio.gather(
        client.get(ENGINE, namespace, engine),
        client.list(STATEFUL_SET, namespace, labels=labels),
        client.list(JOB, namespace, labels=of_backups),
        client.list(POD, namespace, labels=of_backups),
    )
    children = {(one["kind"], one["metadata"]["name"]): one for one in (*jobs, *sets)}
    if name := _secret_of(manifest):
        secret = await client.get(SECRET, namespace, name)
        children |= {(SECRET.kind, name): secret} if secret else {}
    return manifest, Observation(children=children, pods=tuple(pods))


def _secret_of(engine: Object | None) -> str:
    """The name of the user's Secret for a bucket; empty without one."""
    store = ((engine or {}).get("spec", {}).get("backup") or {}).get("s3") or {}
    return str((store.get("credentialsSecretRef") or {}).get("name", ""))


def backups_with_news(watched: WatchedObjects, scope: tuple[str, str]) -> Iterator[str]:
    """The names of an engine's backups that have a Job and are not over, or have no TradingEngineBackup yet."""
    found = watched.of(scope, [JOB, BACKUP])
    over = {one["metadata"]["name"] for one in found if one["kind"] == BACKUP.kind and _is_over(one)}
    jobs = (one for one in found if one["kind"] == JOB.kind and is_backup_job(one))
    yield from (name for job in jobs if (name := backup_of(job)) not in over)


def _is_over(backup: Object) -> bool:
    phase = (backup.get("status") or {}).get("phase")
    return any(phase == known for known in BackupPhase if known.is_terminal)
