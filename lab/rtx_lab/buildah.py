"""Queries and cleans up buildah's image storage."""

import contextlib

from rtx_lab.errors import LabError
from rtx_lab.processes import run

KEY_LABEL = "rtx-lab.key"
DEADLINE_SECONDS = 180.0


def key_of(reference: str) -> str:
    """The image's content hash from its label; empty without a label or an image."""
    return _inspect(reference, f'{{{{index .OCIv1.Config.Labels "{KEY_LABEL}"}}}}')


def id_of(reference: str) -> str:
    """The image's id; empty when storage does not hold it."""
    return _inspect(reference, "{{.FromImageID}}")


def prune(replaced: str, *, keep_unnamed: int) -> None:
    """Removes image id `replaced` if it is unnamed, and all but the newest `keep_unnamed` other unnamed images."""
    command = ["buildah", "images", "--filter=dangling=true", "--format={{.CreatedAtRaw}}\t{{.ID}}"]
    listed = sorted(run(command, deadline_s=DEADLINE_SECONDS).splitlines(), reverse=True)
    unnamed = [line.rpartition("\t")[2] for line in listed]
    replaced_ids = [identity for identity in unnamed if replaced and replaced.startswith(identity)]
    for identity in replaced_ids + [one for one in unnamed if one not in replaced_ids][keep_unnamed:]:
        with contextlib.suppress(LabError):  # it may be a layer of another image
            run(["buildah", "rmi", identity], deadline_s=DEADLINE_SECONDS)


def _inspect(reference: str, template: str) -> str:
    try:
        command = ["buildah", "inspect", "--type=image", "--format", template, reference]
        return run(command, deadline_s=DEADLINE_SECONDS).strip()
    except LabError:
        return ""
