"""PostgreSQL, a repository and backups as real processes, with the configuration that the operator makes.

What differs from the cluster: folders are in a temporary one, and ports are free ones of this machine.
"""

import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from engine_postgres import postgres_programs
from engine_servers import as_unprivileged, stop, wait_until
from free_ports import free_port
from rtx_lab import binaries
from rtx_lab.progress import Reporter
from rtx_operator.desired.backup import pgbackrest
from rtx_operator.desired.backup.certificates import Party, TlsKey, certificates

PROGRAMS = Path(__file__).parents[3] / "database"
HOST = "localhost"
BUCKET, ACCESS_KEY, SECRET_KEY = "backups", "an-access-key", "a-secret-key"
DATABASE, REPOSITORY = "database", "repository"  # the folders of the containers' configuration
_PAIRS = {DATABASE: (TlsKey.DATABASE, TlsKey.DATABASE_KEY), REPOSITORY: (TlsKey.BACKUP, TlsKey.BACKUP_KEY)}


@dataclass
class BackupSystem:
    """A database whose log goes to a repository over TLS, and what makes a backup of it."""

    folder: Path
    passphrase: str = "correct horse battery staple"
    incarnation: str = "first"  # the database's folder in the repository
    postgres_port: int = field(default_factory=free_port)
    database_port: int = field(default_factory=free_port)
    repository_port: int = field(default_factory=free_port)
    seed: bytes = bytes(range(32))
    store: pgbackrest.Bucket | None = None  # None: a volume
    queue_max_bytes: int = 1 << 30
    options: dict[str, str] = field(default_factory=dict)  # more of pgBackRest's for the Jobs, as variables
    _postgres: "subprocess.Popen[bytes]" = field(init=False, repr=False)

    def write_configuration(self, seed: bytes = b"", only: str = "") -> None:
        """What the operator puts into ConfigMap and Secret, in the folders of the containers, or of `only` one."""
        store = self.store or pgbackrest.Volume(HOST)
        setup = pgbackrest.Setup([HOST], store, self.incarnation, 30, self.queue_max_bytes)
        texts = {DATABASE: pgbackrest.of_database(setup), REPOSITORY: pgbackrest.of_repository(setup)}
        tls = certificates({}, {party: [HOST] for party in Party}, seed or self.seed, datetime.now(UTC))
        for name, text in texts.items():
            if only not in {"", name}:
                continue
            container = self.folder / name
            (container / "tls").mkdir(parents=True, exist_ok=True)
            (container / "secret").mkdir(exist_ok=True)
            certificate, key = _PAIRS[name]
            self._write(container / "pgbackrest.conf", self._here(text, container))
            self._write(container / "place", self.incarnation)
            self._write(container / "tls/ca.crt", tls[TlsKey.CA])
            self._write(container / "tls/tls.crt", tls[certificate])
            self._write(container / "tls/tls.key", tls[key])
        opening = (DATABASE, REPOSITORY) if self.store else (REPOSITORY,)
        for name in opening:
            self._write(self.folder / name / "secret/PGBACKREST_REPO1_CIPHER_PASS", self.passphrase)
        if self.store:
            self._write_access(tls)
        (self.folder / "store").mkdir(exist_ok=True)
        self._chown()

    def _write_access(self, tls: Mapping[str, str]) -> None:
        """What the user's Secret and ConfigMap have, and the store's own certificate."""
        for name in (DATABASE, REPOSITORY):
            (self.folder / name / "store").mkdir(exist_ok=True)
            self._write(self.folder / name / "store/ca.crt", tls[TlsKey.CA])
            self._write(self.folder / name / "secret/PGBACKREST_REPO1_S3_KEY", ACCESS_KEY)
            self._write(self.folder / name / "secret/PGBACKREST_REPO1_S3_KEY_SECRET", SECRET_KEY)
        self._write(self.folder / "store.crt", tls[TlsKey.BACKUP])
        self._write(self.folder / "store.key", tls[TlsKey.BACKUP_KEY])

    def _here(self, text: str, container: Path) -> str:
        places = {
            pgbackrest.FOLDER: container,
            pgbackrest.DATA_FOLDER: self.folder / "data",
            pgbackrest.SOCKET_FOLDER: self.folder,
            pgbackrest.REPOSITORY_FOLDER: self.folder / "store",
            "/tmp/pgbackrest": self.folder / "lock",  # noqa: S108 - what is replaced
        }
        for place, here in places.items():
            text = text.replace(f"={place}", f"={here}")
        return text

    def _write(self, file: Path, text: str) -> None:
        file.write_text(text)
        file.chmod(0o600)

    def _chown(self) -> None:
        if os.getuid() == 0:
            for path in (self.folder, *self.folder.rglob("*")):
                shutil.chown(path, "postgres", "postgres")

    def environment(self, container: str) -> dict[str, str]:
        other, there = ("REPO1", REPOSITORY) if container == DATABASE else ("PG1", DATABASE)
        return {
            "PATH": f"{self.folder / 'programs'}:{postgres_programs()}:{os.environ['PATH']}",
            "RTX_BACKUP_FOLDER": str(self.folder / container),
            "RTX_BACKUP_PROGRAM": str(self.folder / "programs"),
            "PGBACKREST_TLS_SERVER_PORT": str(self._port(container)),
            f"PGBACKREST_{other}_HOST_PORT": str(self._port(there)),
            f"PGBACKREST_{other}_HOST_CONFIG": str(self.folder / there / "pgbackrest.conf"),
            "PGBACKREST_PG1_PORT": str(self.postgres_port),
        }

    @contextmanager
    def running(self) -> Iterator["BackupSystem"]:
        """PostgreSQL and both servers."""
        shutil.copytree(PROGRAMS, self.folder / "programs")
        self.write_configuration()
        binaries, data = postgres_programs(), self.folder / "data"
        initdb = [binaries / "initdb", f"--pgdata={data}", "--username=postgres", "--auth=trust", "--no-sync"]
        subprocess.run(as_unprivileged(*initdb, "--data-checksums"), check=True, capture_output=True)
        with ExitStack() as stack:
            if self.store:
                stack.enter_context(self._bucket(self.store))
            stack.enter_context(self.postgres())
            for container in (DATABASE, REPOSITORY):
                stack.enter_context(self._server(container))
            yield self

    @contextmanager
    def postgres(self, environment: Mapping[str, str] | None = None) -> Iterator[None]:
        binaries, data, log = postgres_programs(), self.folder / "data", self.folder / "postgres.log"
        settings = {
            "port": self.postgres_port,
            "unix_socket_directories": self.folder,
            "listen_addresses": "127.0.0.1",
            "fsync": "off",
            "archive_mode": "on",
            "archive_command": "rtx-pgbackrest --stanza=main archive-push %p",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        command = as_unprivileged(binaries / "postgres", "-D", data, *options)
        with log.open("ab") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=output, env=environment or {**os.environ, **self.environment(DATABASE)}
            )
        self._postgres = process
        try:
            probe = [str(binaries / "pg_isready"), f"--host={self.folder}", f"--port={self.postgres_port}", "--quiet"]
            wait_until(process, probe, log)
            yield
        finally:
            stop(process, signal.SIGQUIT)

    def shut_down(self) -> None:
        """PostgreSQL ends as when its pod ends: it sends the rest of its log first."""
        stop(self._postgres, signal.SIGINT)

    @contextmanager
    def _server(self, container: str) -> Iterator[None]:
        log = self.folder / f"{container}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                as_unprivileged(self.folder / "programs/rtx-backup", "serve"),
                stdout=output,
                stderr=output,
                env=self.environment(container),
            )
        try:
            probe = ["sh", "-c", f"pgbackrest server-ping --tls-server-port={self._port(container)} {HOST}"]
            wait_until(process, probe, log)
            yield
        finally:
            stop(process, signal.SIGTERM)

    @contextmanager
    def _bucket(self, store: pgbackrest.Bucket) -> Iterator[None]:
        """An S3 server with the bucket, over TLS."""
        program = binaries.ensure([binaries.VERSITYGW], Reporter())["versitygw"]
        (self.folder / "buckets" / BUCKET).mkdir(parents=True)
        log = self.folder / "store.log"
        access = [f"--access={ACCESS_KEY}", f"--secret={SECRET_KEY}", f"--port=127.0.0.1:{store.port}"]
        certificate = [f"--cert={self.folder / 'store.crt'}", f"--key={self.folder / 'store.key'}"]
        command = [str(program), *access, *certificate, "posix", str(self.folder / "buckets")]
        with log.open("ab") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            probe = [sys.executable, "-c", f"import socket; socket.create_connection(('127.0.0.1', {store.port}))"]
            wait_until(process, probe, log)
            yield
        finally:
            stop(process, signal.SIGTERM)

    def _port(self, container: str) -> int:
        return self.database_port if container == DATABASE else self.repository_port

    def presented_certificates(self) -> set[str]:
        """Those with which the servers answer."""
        ports = (self.database_port, self.repository_port)
        return {ssl.get_server_certificate((HOST, port), timeout=10) for port in ports}

    def back_up(self, kind: str = "full", pod: str = "pod") -> tuple[int, Any]:
        """What the Job's container does: its exit code, and the message that the kubelet finds."""
        environment = {**self.environment(REPOSITORY), "PGBACKREST_LOCK_PATH": str(self.folder / f"{pod}-lock")}
        return self._run_program(environment, pod, "run", f"--type={kind}", "--log-retention-days=7")

    @property
    def repository(self) -> str:
        """The folder of this database in the repository."""
        if self.store:
            return pgbackrest.folder_of(self.store, self.incarnation)
        return str(self.folder / "store" / self.incarnation)

    def check(self, *target: str, repository: str = "", wait: float = 0) -> tuple[int, Any]:
        """What the Job that checks a restore does."""
        where = f"--repository={repository or self.repository}"
        return self._run_program(self.environment(DATABASE), "check", "check", where, f"--wait={wait}", *target)

    def restore(self, *target: str, repository: str = "", restore: str = "r1") -> tuple[int, Any]:
        """What the Job that restores does, on the volume of the database's pod, which has ended."""
        where = (f"--repository={repository or self.repository}", *self._volume(restore))
        configuration = self.folder / "restore.conf"
        configuration.write_text("fsync = off\n")
        words = ("restore", *where, f"--configuration={configuration}", *target)
        return self._run_program(self.environment(DATABASE), "restore", *words)

    def step(self, name: str, restore: str = "r1") -> None:
        """What a Job does with the volume: swap, set-aside, undo or forget."""
        command = as_unprivileged(self.folder / "programs/rtx-backup", name, *self._volume(restore))
        subprocess.run(command, check=True, env={**os.environ, **self.environment(DATABASE)})

    def _volume(self, restore: str) -> tuple[str, str]:
        return f"--volume={self.folder}", f"--id={restore}"

    def _run_program(self, environment: Mapping[str, str], pod: str, *words: str) -> tuple[int, Any]:
        message = self.folder / f"{pod}-message"
        message.write_text("")
        self._chown()
        reports = (f"--message={message}", f"--heartbeat={self.folder / pod}-heartbeat")
        done = subprocess.run(
            as_unprivileged(self.folder / "programs/rtx-backup", *words, *reports),
            env={**environment, **self.options},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        said = message.read_text()
        return done.returncode, json.loads(said) if said else pytest.fail(done.stdout + done.stderr)

    @contextmanager
    def restored(self, port: int) -> Iterator["BackupSystem"]:
        """Another server, on the newest backup and all the log since, read from the repository over TLS."""
        there = replace(self, folder=self.folder / "restored", postgres_port=port)
        shutil.copytree(self.folder / "programs", there.folder / "programs")
        environment = {**os.environ, **self.environment(DATABASE), "PGBACKREST_PG1_PATH": str(there.folder / "data")}
        self._chown()
        # pgBackRest would write its own name, and the log of a bucket is read with the keys that ours has.
        fetches = "restore_command=rtx-pgbackrest --stanza=main archive-get %f %p"
        words = ["--stanza=main", "--archive-mode=off", f"--recovery-option={fetches}", "restore"]
        subprocess.run(as_unprivileged(self.folder / "programs/rtx-pgbackrest", *words), check=True, env=environment)
        with there.postgres(environment):
            there.until("SELECT pg_is_in_recovery()", "f")
            yield there

    def query(self, sql: str, database: str = "postgres") -> str:
        """What psql prints, as the superuser."""
        psql = [postgres_programs() / "psql", f"--host={self.folder}", f"--port={self.postgres_port}"]
        command = as_unprivileged(
            *psql, "--username=postgres", f"--dbname={database}", "--no-psqlrc", "--tuples-only", "--no-align"
        )
        done = subprocess.run([*command, f"--command={sql}"], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def until(self, sql: str, wanted: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while self.query(sql) != wanted:
            if time.monotonic() > deadline:
                pytest.fail(f"{sql} is {self.query(sql)}, not {wanted}: {(self.folder / 'postgres.log').read_text()}")
            time.sleep(0.1)
