"""Debian packages that the lab requires: installed with apt as root, else named in the error."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from rtx_lab import lock, tasks
from rtx_lab.errors import LabError
from rtx_lab.processes import run
from rtx_lab.progress import Reporter

APT_DEADLINE_SECONDS = 600.0
APT_LOCK = "rtx-lab-apt"  # one installation at a time over all clusters, tests and threads

CLUSTER = {
    "containerd": "containerd",
    "ctr": "containerd",
    "crun": "crun",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "nft": "nftables",
    "iptables": "iptables",
    "ipset": "ipset",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "/usr/share/doc/busybox-static": "busybox-static",
}
"""Program or path → the Debian package that contains it."""

SERVERS = {
    "/usr/lib/postgresql": "postgresql",
    "redis-server": "redis-server",
    "pgbackrest": "pgbackrest",
    "zstd": "zstd",
}
"""Servers for the unit tests and `bench/orders`."""

IMAGES = {"buildah": "buildah", "debootstrap": "debootstrap"}


def missing(needs: dict[str, str]) -> list[str]:
    """The sorted packages of the missing programs and paths."""

    def is_present(thing: str) -> bool:
        return Path(thing).exists() if thing.startswith("/") else _which(thing) is not None

    return sorted({package for thing, package in needs.items() if not is_present(thing)})


def ensure(needs: dict[str, str], reporter: Reporter) -> None:
    """Installs missing packages. Raises LabError without root or apt, and when the installation fails."""
    packages = missing(needs)
    if not packages:
        return
    names = " ".join(packages)
    if os.geteuid() != 0:
        raise LabError(f"Debian packages are missing: as root, run apt-get install --no-install-recommends {names}")
    if not shutil.which("apt-get"):
        raise LabError(f"apt-get was not found: install these Debian packages by other means: {names}")
    # apt can wait for dpkg's lock, but not for that of the package lists.
    with reporter.step(f"installing {names}"), lock.held(APT_LOCK, wait=True):
        if packages := missing(needs):
            with tasks.shielded():  # cancelled, dpkg would need a repair by hand
                _install(packages)
    if incomplete := missing(needs):
        raise LabError(
            f"apt installed {names}, but {' '.join(incomplete)} lack expected files: check that this is Debian."
        )


def _install(packages: Iterable[str]) -> None:
    environment = ["env", "DEBIAN_FRONTEND=noninteractive"]
    run([*environment, "apt-get", "update", "-q"], deadline_s=APT_DEADLINE_SECONDS)
    wait = f"DPkg::Lock::Timeout={APT_DEADLINE_SECONDS:.0f}"
    command = ["apt-get", "install", "-q", "-y", "-o", wait, "--no-install-recommends", *packages]
    run([*environment, *command], deadline_s=APT_DEADLINE_SECONDS)


def _which(program: str) -> str | None:
    # A user's PATH may lack root's system folders.
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
