"""Findings in what belongs to an engine: pods, traffic, scaling, volumes, Jobs, Events."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

from rtx_operator.api.enums import Colour, Component, CutoverPhase
from rtx_operator.api.names import Label, Names

from rtx_cli.decide.children import Pod
from rtx_cli.decide.doctor.findings import Evidence, Finding, Severity
from rtx_cli.decide.engine import Object, instant

_RECENT = timedelta(hours=1)  # as long as the API server keeps Events
_MANY_RESTARTS = 3
_MAX_EVENTS = 5
_EVENT_LENGTH = 160
_TIME_TO_START = timedelta(minutes=2)


def of_pods(evidence: Evidence) -> Iterator[Finding]:
    """Pods that do not start, or restart again and again."""
    for pod in evidence.children.pods():
        age = evidence.now - pod.created if pod.created else _TIME_TO_START
        if pod.is_ending:
            continue
        if pod.problem:
            detail = f": {pod.detail}" if pod.detail else ""
            yield Finding(Severity.PROBLEM, f"pod {pod.name}", f"{pod.problem}{detail}", _remedy_of_pod(pod))
        elif not pod.is_ready and pod.component != Component.MIGRATION and age >= _TIME_TO_START:
            yield Finding(
                Severity.WARNING, f"pod {pod.name}", "it is not ready, and gives no reason", f"kubectl logs {pod.name}"
            )
        elif pod.restarts >= _MANY_RESTARTS:
            yield Finding(
                Severity.WARNING,
                f"pod {pod.name}",
                f"its containers restarted {pod.restarts} times",
                f"kubectl logs {pod.name} --previous shows how the last one ended",
            )


def of_placement(evidence: Evidence) -> Iterator[Finding]:
    """A single node whose loss takes all pods that serve."""
    active = evidence.engine.active
    pods = [pod for pod in evidence.children.pods(Component.ENGINE, active.colour) if pod.is_ready] if active else []
    nodes = {pod.node for pod in pods}
    if len(pods) > 1 and len(nodes) == 1:
        yield Finding(
            Severity.WARNING,
            f"colour {active.colour if active else ''}",
            f"all {len(pods)} pods that serve are on node {next(iter(nodes))}: its loss takes the engine down",
            "give the cluster another node, or spec.scheduling room on others",
        )
    if len(pods) == 1:
        yield Finding(
            Severity.NOTE,
            f"colour {active.colour if active else ''}",
            "one pod serves: while it is replaced, requests wait or fail",
            "set spec.scaling.minReplicas to 2 or more",
        )


def of_traffic(evidence: Evidence) -> Iterator[Finding]:
    """The live Service names the active colour and has ready endpoints."""
    engine, names = evidence.engine, Names(evidence.engine.name)
    service = evidence.children.find("Service", names.live_service)
    if "services" in evidence.children.unreadable or engine.active is None:
        return
    where = f"Service {names.live_service}"
    if service is None:
        yield Finding(Severity.PROBLEM, where, "the live Service is gone", "the operator makes it again unless paused")
        return
    selected = (service["spec"].get("selector") or {}).get(Label.COLOUR.value)
    cutover = engine.cutover
    switches = cutover is not None and cutover.phase in {CutoverPhase.SWITCHING, CutoverPhase.ROLLING_BACK}
    if selected != engine.active.colour and not switches:
        yield Finding(
            Severity.PROBLEM,
            where,
            f"it selects {selected or 'no colour'}, and {engine.active.colour} is active",
            "`kubectl get svc -o yaml --show-managed-fields` tells who did it; the operator restores it unless paused",
        )
    may_read = "endpointslices" not in evidence.children.unreadable
    if may_read and not _ready_addresses(evidence, names.live_service):
        yield Finding(
            Severity.PROBLEM,
            where,
            "it has no ready endpoint, so no client is served",
            "see the pods and conditions here",
        )


def _ready_addresses(evidence: Evidence, service: str) -> int:
    slices = (
        one
        for one in evidence.children.of_kind("EndpointSlice")
        if (one["metadata"].get("labels") or {}).get("kubernetes.io/service-name") == service
    )
    return sum(
        1
        for one in slices
        for endpoint in one.get("endpoints") or []
        if (endpoint.get("conditions") or {}).get("ready")
    )


def of_scaling(evidence: Evidence) -> Iterator[Finding]:
    """An autoscaler that cannot measure, or is at its limit."""
    names = Names(evidence.engine.name)
    found = evidence.children.find("HorizontalPodAutoscaler", names.autoscaler)
    conditions = {one["type"]: one for one in ((found or {}).get("status") or {}).get("conditions") or []}
    where = f"HorizontalPodAutoscaler {names.autoscaler}"
    active, limited = conditions.get("ScalingActive", {}), conditions.get("ScalingLimited", {})
    if active.get("status") == "False":
        yield Finding(
            Severity.WARNING,
            where,
            f"it does not scale: {active.get('message', active.get('reason', ''))}",
            "the cluster needs metrics-server: kubectl top pods must work",
        )
    if limited.get("status") == "True" and limited.get("reason") == "TooManyReplicas":
        yield Finding(
            Severity.WARNING,
            where,
            f"it would start more pods than the {found['spec'].get('maxReplicas') if found else ''} that it may",
            "raise spec.scaling.maxReplicas, if the database has room for their connections",
        )


def of_volumes(evidence: Evidence) -> Iterator[Finding]:
    for claim in evidence.children.of_kind("PersistentVolumeClaim"):
        phase = (claim.get("status") or {}).get("phase", "Pending")
        if phase != "Bound":
            yield Finding(
                Severity.PROBLEM,
                f"PersistentVolumeClaim {claim['metadata']['name']}",
                f"it is {phase}, so its pod does not start",
                "kubectl describe pvc names the cause: mostly a StorageClass that is missing or full",
            )


def of_jobs(evidence: Evidence) -> Iterator[Finding]:
    for job in evidence.children.of_kind("Job"):
        name = job["metadata"]["name"]
        for condition in (job.get("status") or {}).get("conditions") or []:
            if (condition["type"], condition["status"]) == ("Failed", "True"):
                yield Finding(
                    Severity.WARNING,
                    f"Job {name}",
                    f"it failed: {condition.get('message', condition.get('reason', ''))}",
                    f"kubectl logs job/{name}",
                )


def of_budgets(evidence: Evidence) -> Iterator[Finding]:
    """A disruption budget that lets no node be drained although all pods are ready."""
    for colour in Colour:
        name = Names(evidence.engine.name).disruption_budget(colour)
        budget = evidence.children.find("PodDisruptionBudget", name)
        status = (budget or {}).get("status") or {}
        is_whole = status.get("currentHealthy", 0) >= status.get("expectedPods", 0) > 0
        if is_whole and status.get("disruptionsAllowed") == 0:
            yield Finding(
                Severity.NOTE,
                f"PodDisruptionBudget {name}",
                "it lets no pod be evicted, so a drain of its node waits",
                "set spec.scaling.minReplicas to 2 or more",
            )


def of_events(evidence: Evidence) -> Iterator[Finding]:
    """What went wrong in the last hour: the Warnings about the engine's objects, the most frequent first."""
    mine = {item["metadata"]["name"] for item in evidence.children.items} | {evidence.engine.name}
    counted: Counter[tuple[str, str, str]] = Counter()
    texts: dict[tuple[str, str, str], str] = {}
    for event in evidence.warnings:
        about = event.get("involvedObject") or {}
        if about.get("name") in mine and _is_recent(event, evidence):
            key = (about.get("kind", ""), about["name"], event.get("reason", ""))
            counted[key] += max(1, event.get("count") or (event.get("series") or {}).get("count") or 1)
            texts[key] = " ".join(str(event.get("message", "")).split())
    for key, times in counted.most_common(_MAX_EVENTS):
        (kind, name, reason), often = key, f", {times} times" if times > 1 else ""
        text = texts[key] if len(texts[key]) <= _EVENT_LENGTH else f"{texts[key][:_EVENT_LENGTH]}…"
        yield Finding(Severity.NOTE, f"Event of {kind} {name}", f"{reason}{often} in the last hour: {text}")


def _is_recent(event: Object, evidence: Evidence) -> bool:
    series = (event.get("series") or {}).get("lastObservedTime")
    at = instant(
        series or event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp")
    )
    return at is None or evidence.now - at <= _RECENT


def _remedy_of_pod(pod: Pod) -> str:
    match pod.problem:
        case "ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" | "ErrImageNeverPull":
            return "correct the image or its tag, or spec.imagePullSecrets"
        case "CrashLoopBackOff":
            return f"kubectl logs {pod.name} --previous shows how it ended; OOMKilled needs a higher memory limit"
        case "Unschedulable":
            return "free room on the nodes or add one, or correct requests and scheduling in spec"
        case "CreateContainerConfigError" | "CreateContainerError":
            return "create the Secret or ConfigMap that the message names"
        case _:
            return f"kubectl describe pod {pod.name}"
