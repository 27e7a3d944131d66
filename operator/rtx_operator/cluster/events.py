"""Kubernetes Events about a TradingEngine, which `kubectl describe` shows.

The operator emits an Event only for a change. An Event that cannot be written is logged; the reconcile continues.
"""

import asyncio
import secrets
from datetime import UTC, datetime
from enum import StrEnum

import structlog

from rtx_operator.cluster.client import ApiError, Client, Object
from rtx_operator.cluster.resources import EVENT

COMPONENT = "rtx-operator"
DEADLINE_SECONDS = 2.0  # the fence has moved, and the Service is to follow it: an Event must not delay that
MAX_MESSAGE_LENGTH = 1024  # characters; the API server refuses more


class EventReason(StrEnum):
    """Reasons of Events that are no reasons of conditions. Events about Ready have the condition's reason."""

    REPAIRED = "Repaired"  # another writer had changed or deleted a child
    DELETED = "Deleted"  # the operator deleted a child that is no longer needed
    FENCE_MOVED = "FenceMoved"  # another epoch, or other executors


log = structlog.get_logger(__name__)


async def record(client: Client, engine: Object, reason: str, message: str, *, warning: bool = False) -> None:
    """Write one Event about `engine`, a whole object. An ApiError, or a write that hangs, is logged and not raised."""
    meta = engine["metadata"]
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    body: Object = {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {"namespace": meta["namespace"], "name": f"{meta['name']}.{secrets.token_hex(8)}"},
        "involvedObject": {
            "apiVersion": engine["apiVersion"],
            "kind": engine["kind"],
            "namespace": meta["namespace"],
            "name": meta["name"],
            "uid": meta["uid"],
            "resourceVersion": meta["resourceVersion"],
        },
        "type": "Warning" if warning else "Normal",
        "reason": reason,
        "message": message[:MAX_MESSAGE_LENGTH],
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": "",
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await client.create(EVENT, body)
    except (ApiError, TimeoutError) as error:
        engine_name, cause = f"{meta['namespace']}/{meta['name']}", str(error) or "no answer in time"
        log.warning("cannot write an Event; the reconcile continues", engine=engine_name, error=cause)
