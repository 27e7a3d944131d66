"""Where things that outlive the cluster are kept."""

import os
from pathlib import Path


def cache_home() -> Path:
    """The lab's folder in the user's cache (`$XDG_CACHE_HOME/rtx-lab`): binaries, images, logs of builds."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "rtx-lab"
