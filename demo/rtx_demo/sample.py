"""The sample TradingEngine: applied by the demo, and varied by the tests."""

import copy
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from . import manifests
from .engine import Engine
from .kubectl import Kubectl, KubectlError, Object

NAMESPACE_FILE = Path("manifests/samples/namespace.yaml")
FILE = Path("manifests/samples/trading-engine.yaml")
REMOVAL_DEADLINE_SECONDS = 180.0


@dataclass(frozen=True)
class Sample:
    """The sample in the repository at `root`, for one cluster."""

    kubectl: Kubectl
    root: Path

    @property
    def manifest(self) -> Object:
        read: Object = yaml.safe_load((self.root / FILE).read_text())
        return read

    @property
    def engine(self) -> Engine:
        """The engine that the unchanged sample creates."""
        metadata = self.manifest["metadata"]
        return Engine(self.kubectl, metadata["name"], metadata["namespace"])

    def changed(self, namespace: str, **spec: Any) -> Object:
        """The sample in another namespace with fields of spec replaced; object fields are merged, one level deep."""
        manifest = copy.deepcopy(self.manifest)
        manifest["metadata"]["namespace"] = namespace
        for field, value in spec.items():
            old = manifest["spec"].get(field)
            manifest["spec"][field] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
        return manifest

    @contextmanager
    def temporary(self, *beforehand: Object, ready: bool = True, **spec: Any) -> Iterator[Engine]:
        """A changed sample in a new namespace, together with the objects `beforehand`; all are deleted at the end."""
        namespace = f"e2e-{secrets.token_hex(3)}"
        manifest = self.changed(namespace, **spec)
        self.kubectl.apply(manifests.namespace(namespace))
        try:
            placed = [{**item, "metadata": {**item["metadata"], "namespace": namespace}} for item in beforehand]
            self.kubectl.apply(*placed, manifest)
            engine = Engine(self.kubectl, manifest["metadata"]["name"], namespace)
            if ready:
                engine.wait_until_ready()
            yield engine
        finally:
            remove(self.kubectl, namespace, wait=False)


def remove(kubectl: Kubectl, namespace: str, *, wait: bool = True) -> None:
    """Delete a namespace and its engines; without `wait`, the namespace may exist for a few seconds more.

    Engines and their objects go first: a namespace that contains pods waits for half of their grace period.
    """
    engines = ("delete", "tradingengines", "--all", "--namespace", namespace, "--cascade=foreground")
    with suppress(KubectlError):  # an engine that is not deleted here is deleted with its namespace
        kubectl.run(*engines, deadline=REMOVAL_DEADLINE_SECONDS)
    kubectl.run("delete", "namespace", namespace, f"--wait={str(wait).lower()}", deadline=REMOVAL_DEADLINE_SECONDS)
