"""The Job that tries a server's image and place, before the pod that runs is taken away.

The kubelet says whether the image can be pulled and run, the scheduler whether a node fits on which the volume can be.
"""

import itertools
from collections.abc import Mapping
from typing import Any

from rtx_operator.api.enums import Component
from rtx_operator.api.quantities import amount
from rtx_operator.desired.backup.pods import SERVER
from rtx_operator.desired.inputs import BuildInput
from rtx_operator.desired.render import Object, digest, render
from rtx_operator.desired.server_revision import ServerRevision

TIMEOUT_SECONDS = 600
# The program that the image is for must be there. `exec` returns its exit code.
_SCRIPTS = {Component.DATABASE: "exec postgres --version", Component.CACHE: "exec redis-server --version"}
_LEAST = {"cpu": "10m", "memory": "32Mi"}


def check_job(
    inputs: BuildInput, component: Component, new: ServerRevision, running: ServerRevision, volume: Object
) -> Object:
    """The Job for the pod of `new`, while that of `running` runs. `volume` is its PersistentVolume; empty: none yet."""
    pod = new.pod["spec"]
    job = render(
        "check-job",
        name="",
        namespace=inputs.namespace,
        labels=inputs.names.labels(Component.MAINTENANCE),
        owners=inputs.owners,
        timeout_seconds=TIMEOUT_SECONDS,
        account=pod.get("serviceAccountName", ""),
        pull_secrets=pod.get("imagePullSecrets", []),
        node_selector=pod.get("nodeSelector", {}),
        tolerations=pod.get("tolerations", []),
        node_affinity=_where_the_volume_can_be(pod.get("affinity") or {}, volume),
        priority_class=pod.get("priorityClassName", ""),
        security_context=pod["securityContext"],
        image=new.image,
        script=_script(component, new),
        resources=_additional(_requests(new), _requests(running)),
    )
    job["metadata"]["name"] = inputs.names.check(digest(job["spec"]))
    return job


def _script(component: Component, new: ServerRevision) -> str:
    """A container that the image cannot run would keep the pod from getting ready."""
    containers = {container["name"] for container in new.pod["spec"]["containers"]}
    return f"rtx-pgbackrest version && {_SCRIPTS[component]}" if SERVER in containers else _SCRIPTS[component]


def _where_the_volume_can_be(affinity: Mapping[str, Any], volume: Object) -> Object:
    """The pod's node affinity, and the volume's. Affinity to pods is left out: the pod that runs would be in its way.

    A node fits if it matches any of the terms; so each term of the one is joined with each of the other.
    """
    asked: Object = affinity.get("nodeAffinity") or {}
    volumes: Object = volume.get("spec", {}).get("nodeAffinity", {}).get("required") or {}
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    own = (asked.get(required) or {}).get("nodeSelectorTerms") or [{}]
    others = volumes.get("nodeSelectorTerms") or [{}]
    terms = [_joined(one, other) for one, other in itertools.product(own, others)]
    wanted = [term for term in terms if term]
    return {**asked, **({required: {"nodeSelectorTerms": wanted}} if wanted else {})}


def _joined(one: Object, other: Object) -> Object:
    fields = ("matchExpressions", "matchFields")
    both = {field: [*(one.get(field) or []), *(other.get(field) or [])] for field in fields}
    return {field: conditions for field, conditions in both.items() if conditions}


def _requests(revision: ServerRevision) -> Mapping[str, str]:
    resources: Object = revision.pod["spec"]["containers"][0].get("resources") or {}
    return resources.get("requests") or {}


def _additional(new: Mapping[str, str], running: Mapping[str, str]) -> Object:
    """What the new pod requests more than the running one, which makes room for it; at least a little."""
    requests = dict(_LEAST)
    for resource, least in _LEAST.items():
        more = amount(new.get(resource, "0")) - amount(running.get(resource, "0"))
        if more > amount(least):
            requests[resource] = f"{int(more * 1000)}m" if resource == "cpu" else str(int(more))
    return {"requests": requests, "limits": requests}
