"""Builds upstream programs once from the Go module proxy and caches them.

A cache entry is a folder named by program, version and a hash of its inputs. It appears by one rename when the build is
complete, and is used only while its checksum matches. A killed build, a full disk or a flipped bit costs a rebuild.
"""

import datetime as dt
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rtx_lab import estimate
from rtx_lab.errors import LabError
from rtx_lab.estimate import Builds
from rtx_lab.paths import cache_home
from rtx_lab.progress import Reporter
from rtx_lab.tasks import Command, run_concurrently, run_program
from rtx_lab.tracker import Tracker

MODULES = Path(__file__).parent / "go"
MIN_GO_VERSION = (1, 26)
BUILD_DEADLINE_SECONDS = 1800
MAX_PARALLEL_BUILDS = 2  # while one links on one core or downloads, the other compiles
CHECKSUM = "SHA256"


@dataclass(frozen=True)
class Program:
    """One program, pinned by `go/NAME/{go.mod,go.sum}`; go.mod holds its version."""

    name: str
    module: str = ""  # empty for our own sources
    package: str = "."
    commands: tuple[str, ...] = ()  # names of a multi-call binary; empty: the program's own
    tags: str = ""
    version_variables: tuple[str, ...] = ()  # Go packages whose gitVersion the linker sets

    @property
    def sources(self) -> Path:
        return MODULES / self.name

    @property
    def version(self) -> str:
        if not self.module:
            return "v1.0"
        match = re.search(rf"{re.escape(self.module)} (v\S+)", (self.sources / "go.mod").read_text())
        if not match:
            raise LabError(f"{self.sources}/go.mod does not require {self.module}: restore the file.")
        return match[1]


KUBERNETES = Program(
    name="kubernetes",
    module="k8s.io/kubernetes",
    commands=("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl"),
    tags="selinux,notest,grpcnotrace",
    version_variables=("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"),
)
ETCD = Program("etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3")
COREDNS = Program("coredns", "github.com/coredns/coredns", "github.com/coredns/coredns")
METRICS_SERVER = Program(
    "metrics-server", "sigs.k8s.io/metrics-server", "sigs.k8s.io/metrics-server/cmd/metrics-server"
)
KUBE_ROUTER = Program("kube-router", "github.com/cloudnativelabs/kube-router/v2")
LOCAL_PATH = Program(
    "local-path-provisioner", "github.com/rancher/local-path-provisioner", "github.com/rancher/local-path-provisioner"
)
KWOK = Program("kwok", "sigs.k8s.io/kwok", "sigs.k8s.io/kwok/cmd/kwok")
PAUSE = Program("pause")
VERSITYGW = Program("versitygw", "github.com/versity/versitygw", "github.com/versity/versitygw/cmd/versitygw")
"""An S3 server, for the tests of backups."""
PROGRAMS = (KUBERNETES, ETCD, COREDNS, KUBE_ROUTER, LOCAL_PATH, METRICS_SERVER, KWOK, PAUSE)

Build = Callable[[Program, Path, Path], None]
"""Builds a program: (program, file to write, file for the log)."""


def build_arguments(program: Program, version: str) -> list[str]:
    """The arguments of `go` that build the program as one static binary, without `-o`."""
    ldflags = "-s -w"
    major, minor = version.removeprefix("v").split(".")[:2]
    for variable in program.version_variables:
        values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
        ldflags += "".join(f" -X {variable}.{key}={value}" for key, value in values.items())
    arguments = ["build", "-trimpath", "-buildvcs=false", "-ldflags", ldflags]
    return [*arguments, "-tags", program.tags] if program.tags else arguments


def entry_name(program: Program) -> str:
    """NAME-VERSION-HASH; the hash covers the pinned sources, the build arguments and the architecture."""
    digest = hashlib.sha256()
    version = program.version
    digest.update(json.dumps([build_arguments(program, version), program.package, platform.machine()]).encode())
    for file in sorted(program.sources.iterdir()):
        digest.update(f"{file.name}\0".encode() + file.read_bytes())
    return f"{program.name}-{version}-{digest.hexdigest()[:12]}"


def is_intact(entry: Path, program: Program) -> bool:
    """Whether the entry is complete and its binary matches the stored checksum."""
    binary, checksum = entry / program.name, entry / CHECKSUM
    if not (binary.is_file() and checksum.is_file()):
        return False
    with binary.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == checksum.read_text().strip()


def go_build(program: Program, output: Path, log: Path) -> None:
    """Builds with the host's Go and its configured module proxy. Raises LabError."""
    with tempfile.TemporaryDirectory(prefix="rtx-lab-go-") as scratch, log.open("wb") as stream:
        work = shutil.copytree(program.sources, Path(scratch) / program.name)
        words = [find_go(), *build_arguments(program, program.version), "-o", str(output), program.package]
        # A cancelled build leaves gigabytes in GOTMPDIR, so it is inside the temporary folder.
        environment = os.environ | {"CGO_ENABLED": "0", "GOTMPDIR": scratch}
        result = run_program(
            Command(words, BUILD_DEADLINE_SECONDS, folder=work, environment=environment, output=stream)
        )
    if result.returncode:
        last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["no output"]
        raise LabError(f"Building {program.name} {program.version} failed ({last[0]}); see {log}.")


def find_go() -> str:
    """The path of a Go of at least MIN_GO_VERSION. Raises LabError."""
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    needed = ".".join(map(str, MIN_GO_VERSION))
    if not go:
        raise LabError(f"Go was not found: install Go {needed} or later from go.dev; it builds the cluster's programs.")
    found = subprocess.run([go, "version"], capture_output=True, text=True, timeout=30, check=True).stdout
    match = re.search(r"go(\d+)\.(\d+)", found)
    if not match or (int(match[1]), int(match[2])) < MIN_GO_VERSION:
        raise LabError(f"{go} is {found.strip()}, but Go {needed} or later is required: install it from go.dev.")
    return go


def ensure(programs: Iterable[Program], reporter: Reporter, build: Build = go_build) -> dict[str, Path]:
    """Builds the programs missing in the cache; returns the path of every command.

    Prints an estimate before and the remaining time during the build. Raises LabError when Go is missing or a build
    fails; the other builds are cancelled. A full build with an empty Go cache saves its times in `cold_build.json`.
    """
    programs = list(programs)
    store = cache_home() / "bin"
    store.mkdir(parents=True, exist_ok=True)
    entries = {program: store / entry_name(program) for program in programs}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        sound = dict(
            zip(programs, pool.map(lambda program: is_intact(entries[program], program), programs), strict=True)
        )
    missing = [program for program in programs if not sound[program]]
    if missing:
        cold = len(missing) == len(PROGRAMS) and build is go_build and go_cache_is_empty()
        began = time.monotonic()
        seconds = _build({program: entries[program] for program in missing}, reporter, build)
        if cold:
            _save_cold_build(seconds, time.monotonic() - began)
    return {name: entry / name for program, entry in entries.items() for name in program.commands or (program.name,)}


def _build(entries: Mapping[Program, Path], reporter: Reporter, build: Build) -> Mapping[str, float]:
    """Builds all entries in this order; returns the seconds of each by name."""
    before = estimate.slowness(estimate.PROGRAM_SECONDS, _recorded_seconds())
    names = tuple(program.name for program in entries)
    planned = Builds(estimate.PROGRAM_SECONDS, MAX_PARALLEL_BUILDS, pending=names, before=before or 1.0)
    if len(names) == len(PROGRAMS):
        what = f"First run on this machine: building {len(names)} cluster programs"
    else:
        what = f"Building {', '.join(names)} for the cluster"
    later = "they are cached for later runs"
    cores = os.cpu_count() or 1
    reporter.print_line(
        estimate.announcement(what, planned.remaining_s(), cores=cores, measured_here=before is not None, later=later)
    )
    tracker = Tracker(planned, "programs", reporter)

    def one(program: Program) -> None:
        title = f"building {program.name} {program.version}"
        with tracker.building(program.name), reporter.step(title, reminders=False):
            _build_entry(program, entries[program], build)

    with tracker.displayed():
        run_concurrently([partial(one, program) for program in entries], concurrency=MAX_PARALLEL_BUILDS)
    return tracker.snapshot().built


def go_cache_is_empty() -> bool:
    """Whether Go's build cache holds no compiled package."""
    cache = subprocess.run([find_go(), "env", "GOCACHE"], capture_output=True, text=True, timeout=30, check=True).stdout
    return not any(Path(cache.strip()).glob("??/*-d"))


def last_cold_build() -> dict[str, object]:
    """The last cold build: end time, seconds in total and by program; empty when none is recorded."""
    try:
        record = json.loads((cache_home() / "cold_build.json").read_text())
    except (OSError, ValueError):  # no record, or an incomplete one
        return {}
    return record if isinstance(record, dict) else {}


def _recorded_seconds() -> dict[str, float]:
    """Seconds by program of the last cold build on this machine; empty without one."""
    programs = last_cold_build().get("programs", {})
    return {str(name): float(seconds) for name, seconds in programs.items()} if isinstance(programs, dict) else {}


def _build_entry(program: Program, entry: Path, build: Build) -> None:
    logs = cache_home() / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{program.name}-", dir=entry.parent))
    try:
        binary = unfinished / program.name
        build(program, binary, logs / f"{program.name}.log")
        binary.chmod(0o755)
        with binary.open("rb") as stream:
            (unfinished / CHECKSUM).write_text(hashlib.file_digest(stream, "sha256").hexdigest())
        for command in program.commands:
            (unfinished / command).symlink_to(program.name)
        unfinished.chmod(0o755)
        shutil.rmtree(entry, ignore_errors=True)
        unfinished.rename(entry)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _save_cold_build(seconds: Mapping[str, float], total: float) -> None:
    when = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    programs = {name: round(took, 1) for name, took in seconds.items()}
    record = {"when": when, "total_s": round(total, 1), "programs": programs}
    (cache_home() / "cold_build.json").write_text(json.dumps(record, indent=1))
