"""Reads the fence of one engine from its database."""

import asyncio
from dataclasses import replace

from rtx_operator.api.enums import Component
from rtx_operator.api.names import DATABASE_NAME, InternalKey, Names
from rtx_operator.cluster.observe.objects import Children, internal_secret_value
from rtx_operator.cluster.postgres import READ_DEADLINE_SECONDS, Address, FenceUnreachableError, Reader
from rtx_operator.cluster.resources import STATEFUL_SET
from rtx_operator.observation import FenceReport, Object, replicas


def can_answer(children: Children, names: Names) -> bool:
    """Whether the database can be queried: one of its pods is ready, and the operator's password exists."""
    _, ready = replicas(children.get((STATEFUL_SET.kind, names.postgres)))
    return bool(ready and operator_password(children, names))


async def read_fence(reader: Reader, password: str, address: Address, *, migrates: bool) -> FenceReport:
    """The fence, or the error of the database; while a pod `migrates`, also the sessions that keep it waiting.

    The fence counts for itself: these sessions are known when the database tells them in the rest of the time.
    """
    until = asyncio.get_running_loop().time() + READ_DEADLINE_SECONDS
    try:
        report = await reader.read(address, password)
    except FenceUnreachableError as error:
        return FenceReport(error=f"{DATABASE_NAME} at {error}")
    if not migrates:
        return report
    try:
        async with asyncio.timeout_at(until):
            return replace(report, blocking=await reader.find_blocking(address, password))
    except (FenceUnreachableError, TimeoutError):
        return report


def runs_migration(pod: Object, names: Names) -> bool:
    """Whether it is a pod of a migration Job, and runs."""
    labels, phase = pod["metadata"].get("labels", {}), pod.get("status", {}).get("phase")
    return bool(phase == "Running" and names.selector(Component.MIGRATION).items() <= labels.items())


def operator_password(children: Children, names: Names) -> str:
    """The password of the role rtx_operator, from the engine's internal Secret; empty while it is missing."""
    return internal_secret_value(children, names, InternalKey.DB_OPERATOR_PASSWORD)
