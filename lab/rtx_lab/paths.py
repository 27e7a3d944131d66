"""Paths of files that outlive the cluster."""

import os
from pathlib import Path


def cache_home() -> Path:
    """The lab's folder in the user's cache (`$XDG_CACHE_HOME/rtx-lab`): programs, images, build logs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "rtx-lab"
