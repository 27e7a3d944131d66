"""Kubernetes Events about a TradingEngine: what `kubectl describe` shows, in plain words.

An Event tells of a change, so it is written when something changed and never otherwise. It is a courtesy: when it
cannot be written, the log says so and the reconcile goes on.
"""

import secrets
from datetime import UTC, datetime
from enum import StrEnum

import structlog

from rtx_operator.cluster.client import ApiError, Client, Object
from rtx_operator.cluster.resources import EVENT

COMPONENT = "rtx-operator"
MAX_MESSAGE_LENGTH = 1024  # the API server refuses more


class EventReason(StrEnum):
    """Reasons of Events that no condition has; a change of Ready is told under the condition's own reason."""

    REPAIRED = "Repaired"  # somebody had changed or deleted a child
    DELETED = "Deleted"  # a child that is not wanted any more
    FENCE_MOVED = "FenceMoved"  # another epoch, or other executors


log = structlog.get_logger(__name__)


async def record(client: Client, engine: Object, reason: str, message: str, *, warning: bool = False) -> None:
    """Write one Event that concerns `engine`."""
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
        await client.create(EVENT, body)
    except ApiError as error:
        log.warning("an Event could not be written", engine=f"{meta['namespace']}/{meta['name']}", error=error.message)
