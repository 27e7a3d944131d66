"""The folders on a server's volume before, while and after its data are replaced by restored ones.

Each step is a rename, and done twice it is done once: a pod may end between any two.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

_BEFORE, _RESTORED = "data-before-", "data-restored-"


@dataclass(frozen=True, slots=True)
class Volume:
    """The volume at `folder`; `restore` names the restore."""

    folder: Path
    restore: str

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def restored(self) -> Path:
        """What was restored, until it becomes the data."""
        return self.folder / f"{_RESTORED}{self.restore}"

    @property
    def before(self) -> Path:
        """The data of before, until somebody confirms the restore."""
        return self.folder / f"{_BEFORE}{self.restore}"

    def clear_restored(self) -> None:
        """Takes away what this restore, or one that was given up, has left unfinished."""
        for left in self.folder.glob(f"{_RESTORED}*"):
            shutil.rmtree(left)

    def swap(self) -> None:
        """What was restored on this volume becomes the data; those of before are set aside."""
        if self.restored.exists():
            self._set_aside()
            self.restored.rename(self.data)
        os.sync()

    def set_aside(self) -> None:
        """Leaves no data: this server copies those of the one that was restored."""
        self._set_aside()
        os.sync()

    def undo(self) -> None:
        """Brings the data of before back, or the volume without any."""
        if self.before.exists():
            if self.data.exists():
                shutil.rmtree(self.data)
            if (self.before / "PG_VERSION").exists():
                self.before.rename(self.data)
            else:
                self.before.rmdir()
        self.clear_restored()
        os.sync()

    def _set_aside(self) -> None:
        """Once: an empty folder says that there were no data."""
        if self.before.exists():
            return
        if self.data.exists():
            self.data.rename(self.before)
        else:
            self.before.mkdir(mode=0o700)

    def forget(self) -> None:
        """Deletes the data of before this restore, and of before earlier ones."""
        for kept in self.folder.glob(f"{_BEFORE}*"):
            shutil.rmtree(kept)
        os.sync()
