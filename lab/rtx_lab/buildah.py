"""What we ask of buildah's image storage."""

import contextlib

from rtx_lab.errors import LabError
from rtx_lab.processes import run

KEY_LABEL = "rtx-lab.key"
DEADLINE_SECONDS = 180.0


def key_of(reference: str) -> str:
    """What the image says it was made from; empty when it does not say, or is not in storage."""
    return _inspect(reference, f'{{{{index .OCIv1.Config.Labels "{KEY_LABEL}"}}}}')


def id_of(reference: str) -> str:
    """The image's id; empty when it is not in storage."""
    return _inspect(reference, "{{.FromImageID}}")


def prune(replaced: str, *, keep_unnamed: int) -> None:
    """Removes an image that lost its name to a newer one, and of the other unnamed ones all but the newest."""
    command = ["buildah", "images", "--filter=dangling=true", "--format={{.CreatedAtRaw}}\t{{.ID}}"]
    listed = sorted(run(command, deadline_s=DEADLINE_SECONDS).splitlines(), reverse=True)
    unnamed = [line.rpartition("\t")[2] for line in listed]
    nameless = [identity for identity in unnamed if replaced and replaced.startswith(identity)]
    for identity in nameless + [one for one in unnamed if one not in nameless][keep_unnamed:]:
        with contextlib.suppress(LabError):  # it may be in use as a layer of another
            run(["buildah", "rmi", identity], deadline_s=DEADLINE_SECONDS)


def _inspect(reference: str, template: str) -> str:
    try:
        command = ["buildah", "inspect", "--type=image", "--format", template, reference]
        return run(command, deadline_s=DEADLINE_SECONDS).strip()
    except LabError:
        return ""
