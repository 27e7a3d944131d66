"""Kubernetes Events about a TradingEngine, which `kubectl describe` shows.

The operator emits an Event only for a change. An Event that cannot be written is logged; the reconcile continues.
"""

import asyncio
import hashlib
from datetime import UTC, datetime
from enum import StrEnum

import structlog

from rtx_operator.api.foreign_text import cut_bytes
from rtx_operator.cluster.client import ApiError, Client, ConflictError, Object
from rtx_operator.cluster.resources import EVENT

COMPONENT = "rtx-operator"
DEADLINE_SECONDS = 2.0  # the fence has moved, and the Service is to follow it: an Event must not delay that
MAX_MESSAGE_BYTES = 1024  # the API server refuses more


class EventReason(StrEnum):
    """Reasons of Events that are no reasons of conditions. Events about Ready have the condition's reason."""

    REPAIRED = "Repaired"  # another writer had changed or deleted a child
    SCALED = "Scaled"  # the size of a colour was outside of its bounds
    DELETED = "Deleted"  # the operator deleted a child that is no longer needed
    EVICTED = "Evicted"  # a pod of database or cache is replaced
    SWITCHED_OVER = "SwitchedOver"  # another server of the database is to lead
    FENCE_MOVED = "FenceMoved"  # another epoch, or other executors


log = structlog.get_logger(__name__)


async def record(client: Client, engine: Object, reason: str, message: str, *, warning: bool = False) -> None:
    """Write one Event about `engine`, a whole object; one that repeats counts up.

    An ApiError, or a write that hangs, is logged and not raised.
    """
    event = _event(engine, reason, cut_bytes(message, MAX_MESSAGE_BYTES), "Warning" if warning else "Normal")
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await _create_or_count_up(client, event)
    except (ApiError, TimeoutError) as error:
        meta, cause = engine["metadata"], str(error) or "no answer in time"
        engine_name = f"{meta['namespace']}/{meta['name']}"
        log.warning("cannot write an Event; the reconcile continues", engine=engine_name, error=cause)


async def _create_or_count_up(client: Client, event: Object) -> None:
    """Its name stands for its content, so that also the next leader finds the one to count up."""
    meta = event["metadata"]
    try:
        await client.create(EVENT, event)
    except ConflictError:
        before = await client.get(EVENT, meta["namespace"], meta["name"])
        if before is None:
            return  # the API server has expired it meanwhile: it is old news
        count = {"count": int(before.get("count") or 1) + 1, "lastTimestamp": event["lastTimestamp"]}
        await client.merge(EVENT, before, count)


def _event(engine: Object, reason: str, message: str, kind: str) -> Object:
    meta, now = engine["metadata"], datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    content = "\0".join((meta["uid"], reason, message, kind))
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {
            "namespace": meta["namespace"],
            "name": f"{meta['name']}.{hashlib.sha256(content.encode()).hexdigest()[:16]}",
        },
        "involvedObject": {
            "apiVersion": engine["apiVersion"],
            "kind": engine["kind"],
            "namespace": meta["namespace"],
            "name": meta["name"],
            "uid": meta["uid"],
            "resourceVersion": meta["resourceVersion"],
        },
        "type": kind,
        "reason": reason,
        "message": message,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": "",
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
