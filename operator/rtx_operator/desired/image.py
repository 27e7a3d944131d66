"""The digest to which an image's tag was resolved when its cutover began. Pure.

A tag may lead elsewhere tomorrow. So all pods of a colour are made by the digest that the first pod of the release ran,
which is that of its migration Job: what migrated the database is what executes.
"""

import re

from rtx_operator.api.spec.image import DIGEST
from rtx_operator.desired.state import JOB_LABEL
from rtx_operator.observation import Object, Observation

DOCKER_HUB = "docker.io"
HUB_ALIASES = frozenset({DOCKER_HUB, "index.docker.io"})  # as container runtimes know it


def with_digest(image: str, digest: str) -> str:
    """The image with this digest, beside its tag; as it is without one, or when it has one already."""
    return f"{image}@{digest}" if digest and "@" not in image else image


def resolved(seen: Observation, job: Object) -> str:
    """The digest of the image that a pod of the Job ran, by which any node can pull it.

    Empty when the image is named by its digest already, or when a node could not pull it by one: images that were
    loaded onto the nodes have an id that no registry knows, and with pullPolicy Never no registry is asked.
    """
    (container,) = job["spec"]["template"]["spec"]["containers"]
    if "@" in container["image"] or container.get("imagePullPolicy") == "Never":
        return ""
    repository = _full_name(container["image"])
    pods = seen.pods_of({JOB_LABEL: job["metadata"]["name"]})
    for pod in sorted(pods, key=lambda pod: pod.get("status", {}).get("phase") != "Succeeded"):
        for status in pod.get("status", {}).get("containerStatuses") or []:
            name, _, digest = status.get("imageID", "").removeprefix("docker-pullable://").partition("@")
            if status["name"] == container["name"] and _full_name(name) == repository and re.fullmatch(DIGEST, digest):
                return str(digest)
    return ""


def _full_name(image: str) -> str:
    """Registry and repository of the image, without its tag, as container runtimes write them."""
    head, slash, last = image.rpartition("/")
    repository = f"{head}{slash}{last.partition(':')[0]}"
    first, slash, path = repository.partition("/")
    if slash and (first == "localhost" or "." in first or ":" in first):
        if first not in HUB_ALIASES:
            return repository
        repository = path
    return f"{DOCKER_HUB}/{repository}" if "/" in repository else f"{DOCKER_HUB}/library/{repository}"
