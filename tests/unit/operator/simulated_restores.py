"""A simulated repository and the data on the database's volumes: what the Jobs of a restore do to them."""

import json
from dataclasses import dataclass, field, replace

from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.names import Label
from rtx_operator.desired.state import JOB_LABEL
from rtx_operator.observation import Fence, Object
from rtx_operator.operations.restore.asked import Asked, shown
from simulated_api import timestamp
from simulated_engines import Engines

RESTORE = "TradingEngineRestore"
MADE = {"label": "20260101-110000F", "finished": 1767261600, "lsn_stop": "0/3000100"}


@dataclass
class Restores(Engines):
    """The data are told by their fence. With the fault `target` no target can be restored, with `restore` the Job that
    restores fails, with `swap` those that swap.
    """

    log_switches: int = 0
    data_before: Fence | None = None  # on the first volume, set aside
    data_restored: Fence | None = None  # on the first volume, beside the data
    restored_from: Fence | None = None  # what the repository has
    restore_jobs: list[str] = field(default_factory=list)  # the steps that ran, one after the other

    def manifest(self) -> Object:
        """The TradingEngine."""
        raise NotImplementedError

    # --- the user ---

    def ask_restore(self, name: str = "monday", **source: object) -> None:
        """Create a TradingEngineRestore, of data whose fence was as it was before the last move."""
        self.restored_from = self.earlier_fences[-1] if self.earlier_fences else self.fence
        labels = {Label.ENGINE.value: "rtx"}  # which its controller gives it
        meta = {"name": name, "namespace": "trading", "uid": f"uid-{name}-{self.next_version()}", "labels": labels}
        meta |= {"creationTimestamp": timestamp(self.now), "generation": 1}
        spec = {"engine": "rtx", "source": source or {"newest": True}}
        self._store((RESTORE, name), {"kind": RESTORE, "metadata": meta, "spec": spec, "status": {}})

    def withdraw_restore(self, name: str = "monday") -> None:
        """Delete it."""
        del self.children[RESTORE, name]

    # --- the cluster ---

    def run_restores(self) -> None:
        """The controller of TradingEngineRestores."""
        engine = TradingEngine.parse(self.manifest())
        for key, live in list(self.children.items()):
            if key[0] == RESTORE and not self.has_fault("restores late"):
                status = shown(Asked.parse(live), engine, self.now)
                self._store(key, {**live, "status": status.model_dump(mode="json", by_alias=True, exclude_none=True)})

    def run_restore_job(self, job: Object) -> None:
        """The Job's pod, its volume and what it says. The volume is another pod's while that runs."""
        name, (container,) = job["metadata"]["name"], job["spec"]["template"]["spec"]["containers"]
        step = container["command"][1]
        if step != "check" and self.servers():
            return
        self.restore_jobs.append(step)
        fault = {"check": "target", "restore": "restore", "swap": "swap", "set-aside": "swap"}.get(step, "")
        error = f"{fault} cannot be done" if fault and self.has_fault(fault) else ""
        said = {"error": error} if error else self._restored(step, name.endswith("-0"))
        ended = {"terminated": {"exitCode": 1 if error else 0, "message": json.dumps(said)}}
        labels = {**job["spec"]["template"]["metadata"]["labels"], JOB_LABEL: name}
        status = {
            "phase": "Failed" if error else "Succeeded",
            "containerStatuses": [{"name": "restore", "state": ended}],
        }
        self.pods[f"{name}-x"] = {"metadata": {"name": f"{name}-x", "labels": labels}, "spec": {}, "status": status}
        condition = {"type": "Failed" if error else "Complete", "status": "True", "message": "PodFailurePolicy"}
        self._store(("Job", name), {**job, "status": {"conditions": [condition]}})

    def _restored(self, step: str, is_first: bool) -> Object:
        if step == "check":
            return {"check": {"backup": MADE, "last_commit": self.now.timestamp()}}
        if step == "restore" and self.restored_from:
            self.data_restored = replace(self.restored_from, executors=())
            return {"restored": {"label": MADE["label"], "position": "0/5000110", "last_commit": "2026-01-01 11:59:59"}}
        if step == "swap" and self.data_restored:
            self.data_before, self.fence, self.data_restored = self.fence, self.data_restored, None
        elif step == "undo" and is_first and self.data_before:
            self.fence, self.data_before = self.data_before, None
        return {}
