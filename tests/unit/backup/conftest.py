import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from backup_system import BackupSystem


@pytest.fixture
def backup_system() -> Iterator[BackupSystem]:
    if shutil.which("pgbackrest") is None:
        pytest.skip("needs pgBackRest: apt-get install pgbackrest")
    folder = Path(tempfile.mkdtemp(prefix="rtx-backup-"))
    try:
        with BackupSystem(folder).running() as system:
            yield system
    finally:
        shutil.rmtree(folder, ignore_errors=True)
