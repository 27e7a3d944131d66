import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from backup_system import BUCKET, HOST, BackupSystem
from free_ports import free_port
from rtx_lab import binaries
from rtx_lab.errors import LabError
from rtx_operator.desired.backup.pgbackrest import Bucket


@pytest.fixture
def backup_system() -> Iterator[BackupSystem]:
    with running() as system:
        yield system


@pytest.fixture
def system_with_bucket() -> Iterator[BackupSystem]:
    """Its repository is in a bucket of an S3 server over TLS."""
    try:
        binaries.find_go()
    except LabError as error:
        pytest.skip(f"needs an S3 server, which is built here: {error}")
    store = Bucket(BUCKET, HOST, free_port(), "us-east-1", "path", has_own_ca=True)
    with running(store) as system:
        yield system


@contextmanager
def running(store: Bucket | None = None) -> Iterator[BackupSystem]:
    if shutil.which("pgbackrest") is None:
        pytest.skip("needs pgBackRest: apt-get install pgbackrest")
    folder = Path(tempfile.mkdtemp(prefix="rtx-backup-"))
    try:
        with BackupSystem(folder, store=store).running() as system:
            yield system
    finally:
        shutil.rmtree(folder, ignore_errors=True)
