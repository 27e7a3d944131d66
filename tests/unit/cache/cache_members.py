"""Members of a cache with Sentinels: the image's own scripts with real processes, each on an address of its own."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from free_ports import free_port

ROOT = Path(__file__).parents[3]
TIMEOUT_SECONDS = 240.0


def eventually(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


class Member:
    """A pod: its volume, its Redis and its Sentinel. `alone`: Redis without Sentinels."""

    def __init__(self, cache: "Cache", host: str, folder: Path) -> None:
        self.cache, self.host, self.folder = cache, host, folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, *programs: str, alone: bool = False) -> None:
        for folder in ("data", "scratch"):
            (self.folder / folder).mkdir(parents=True, exist_ok=True)
        for program in programs or ("entrypoint", "sentinel"):
            with (self.folder / f"{program}.log").open("ab") as log:
                self.processes[program] = subprocess.Popen(
                    [self.cache.programs / program],
                    env=self.environment(alone=alone),
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )

    def environment(self, *, alone: bool = False) -> dict[str, str]:
        members = {} if alone else {"REDIS_MEMBERS": " ".join(self.cache.hosts), "REDIS_SELF": self.host}
        return {
            "PATH": f"{self.cache.programs}:{os.environ['PATH']}",
            "DATA": str(self.folder / "data"),
            "SCRATCH": str(self.folder / "scratch"),
            "CONFIG": str(self._configuration()),
            "REDIS_PASSWORD": self.cache.password,
            "REDIS_PORT": str(self.cache.port),
            "SENTINEL_PORT": str(self.cache.sentinel_port),
            "SENTINEL_BIND": self.host,
            **members,
        }

    def _configuration(self) -> Path:
        """The image's, at the folders and the address of this member."""
        text = (ROOT / "cache" / "redis.conf").read_text()
        text = text.replace("include /tmp", f"include {self.folder}/scratch")
        text = text.replace("aclfile /tmp", f"aclfile {self.folder}/scratch").replace("/data", f"{self.folder}/data")
        text = text.replace("port 6379", f"port {self.cache.port}").replace("* -::*", self.host)
        file = self.folder / "redis.conf"
        file.write_text(text)
        return file

    def kill(self, *programs: str) -> None:
        for program in programs or tuple(self.processes):
            process = self.processes.pop(program, None)
            if process is not None:
                _send(process, signal.SIGKILL)
                process.wait()

    def signal(self, number: signal.Signals) -> None:
        for process in self.processes.values():
            _send(process, number)

    def lose_volume(self) -> None:
        shutil.rmtree(self.folder / "data")

    def run(self, program: str) -> None:
        """One of the image's programs, as a hook of the kubelet runs it."""
        subprocess.run([self.cache.programs / program], env=self.environment(), check=True, capture_output=True)

    def ask(self, *words: str, sentinel: bool = False) -> str:
        port = self.cache.sentinel_port if sentinel else self.cache.port
        command = ["redis-cli", "-h", self.host, "-p", str(port), "-a", self.cache.password, "--no-auth-warning"]
        return subprocess.run([*command, *words], check=False, capture_output=True, text=True).stdout.strip()

    @property
    def role(self) -> str:
        return self.ask("role").partition("\n")[0]

    @property
    def is_ready(self) -> bool:
        """As the kubelet finds out."""
        probe = subprocess.run([self.cache.programs / "ping-redis", "synced"], env=self.environment(), check=False)
        return probe.returncode == 0

    @property
    def knows_quorum(self) -> bool:
        return self.ask("sentinel", "ckquorum", "engine", sentinel=True).startswith("OK 3")

    @property
    def log(self) -> str:
        return (self.folder / "entrypoint.log").read_text(errors="replace")


def _send(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """To the program and what it has started, as the runtime does to a container."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


class Cache:
    """Three members."""

    def __init__(self, folder: Path) -> None:
        self.port, self.sentinel_port = free_port(), free_port()
        self.password = 'a "pass\\word\n'  # as `echo` leaves it in a Secret
        self.programs = folder / "bin"
        self.programs.mkdir()
        for name, script in (("ping-redis", "ping.sh"), *_named_as_scripts()):
            (self.programs / name).symlink_to(ROOT / "cache" / script)
        self._write_client(self.programs / "redis-cli")
        self.hosts = [f"127.0.0.{number}" for number in (11, 12, 13)]
        self.members = [Member(self, host, folder / f"member-{place}") for place, host in enumerate(self.hosts)]

    def _write_client(self, file: Path) -> None:
        """Where it is not told a server it asks that of its member, as it does in a pod."""
        file.write_text(f'#!/bin/sh\nexec {shutil.which("redis-cli")} -h "$REDIS_SELF" -p "$REDIS_PORT" "$@"\n')
        file.chmod(0o755)

    def start(self) -> None:
        for member in self.members:
            member.start()

    def stop(self) -> None:
        for member in self.members:
            member.signal(signal.SIGCONT)
            member.kill()

    @property
    def master(self) -> Member | None:
        """The one member that says so, if all Sentinels that answer agree."""
        found = [one for one in self.members if one.role == "master"]
        answers = [one.ask("sentinel", "get-master-addr-by-name", "engine", sentinel=True) for one in self.members]
        names = {answer.partition("\n")[0] for answer in answers if answer}
        return found[0] if len(found) == 1 and names == {found[0].host} else None

    def settled(self) -> Member:
        """The master, once all members follow it and all Sentinels know each other."""

        def is_settled() -> bool:
            master = self.master
            return master is not None and all(one.is_ready for one in self.members) and self._know_each_other()

        eventually(is_settled, f"settles: {[(one.role, one.log[-600:]) for one in self.members]}")
        master = self.master
        assert master is not None
        return master

    def _know_each_other(self) -> bool:
        return all(one.knows_quorum for one in self.members)


def _named_as_scripts() -> list[tuple[str, str]]:
    scripts = ("entrypoint", "set-aside", "member", "members", "sentinel", "hand-over")
    return [(name, f"{name}.sh") for name in scripts]
