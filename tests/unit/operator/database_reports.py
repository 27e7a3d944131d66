"""Pods of the database with Patroni's reports, for tests."""

import json
from typing import Any

from rtx_operator.api.names import Label
from rtx_operator.members import REPORT
from rtx_operator.observation import Object


def pod(ordinal: int, role: str = "", *, ready: bool = True, ending: bool = False, **report: Any) -> Object:
    """A pod of the database as Patroni labels it."""
    labels = {"component": "database", Label.REVISION.value: "s1", **({Label.ROLE.value: role} if role else {})}
    name = f"rtx-postgres-{ordinal}"
    annotations = {REPORT: json.dumps({"state": "running", **report})}
    meta: Object = {"name": name, "uid": f"uid-{ordinal}", "labels": labels, "annotations": annotations}
    if ending:
        meta["deletionTimestamp"] = "2026-01-01T12:00:00Z"
    return {"metadata": meta, "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}}


def primary(ordinal: int = 0, *, position: int = 1000, timeline: int = 1, **more: Any) -> Object:
    return pod(ordinal, "primary", xlog_location=position, timeline=timeline, **more)


def replica(ordinal: int, *, position: int = 1000, timeline: int = 1, streams: bool = True, **more: Any) -> Object:
    streaming = {"replication_state": "streaming"} if streams else {}
    return pod(ordinal, "replica", xlog_location=position, timeline=timeline, **streaming, **more)
