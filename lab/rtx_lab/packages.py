"""What the lab needs from Debian: found, installed by apt as root, or named in one sentence."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from rtx_lab import lock, tasks
from rtx_lab.errors import LabError
from rtx_lab.processes import run
from rtx_lab.progress import Reporter

APT_DEADLINE_SECONDS = 600.0
APT_LOCK = "rtx-lab-apt"  # one installation of ours at a time, whichever cluster, test or thread it is for

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
"""Program, or path, to the Debian package that brings it."""

SERVERS = {"/usr/lib/postgresql": "postgresql", "redis-server": "redis-server"}
"""What the unit tests and `bench/orders` run the engine on."""

IMAGES = {"buildah": "buildah", "debootstrap": "debootstrap"}


def missing(needs: dict[str, str]) -> list[str]:
    """The packages of which something is not there."""

    def is_there(thing: str) -> bool:
        return Path(thing).exists() if thing.startswith("/") else _which(thing) is not None

    return sorted({package for thing, package in needs.items() if not is_there(thing)})


def ensure(needs: dict[str, str], reporter: Reporter) -> None:
    """Installs what is missing; raises LabError when that takes root, apt, or a package source we do not have."""
    packages = missing(needs)
    if not packages:
        return
    names = " ".join(packages)
    if os.geteuid() != 0:
        raise LabError(f"Debian packages are missing; as root, run: apt-get install --no-install-recommends {names}")
    if not shutil.which("apt-get"):
        raise LabError(f"The native cluster takes Debian's packages and apt-get was not found; needed are: {names}")
    # apt waits for dpkg's lock when told to, but never for that of the package lists.
    with reporter.step(f"installing {names}"), lock.held(APT_LOCK, wait=True):
        if packages := missing(needs):
            with tasks.shielded():  # ended in the middle, dpkg would want to be repaired by hand
                _install(packages)
    if still := missing(needs):
        raise LabError(f"apt installed {names}, but {' '.join(still)} brought not what was expected; is this Debian?")


def _install(packages: Iterable[str]) -> None:
    environment = ["env", "DEBIAN_FRONTEND=noninteractive"]
    run([*environment, "apt-get", "update", "-q"], deadline_s=APT_DEADLINE_SECONDS)
    wait = f"DPkg::Lock::Timeout={APT_DEADLINE_SECONDS:.0f}"
    command = ["apt-get", "install", "-q", "-y", "-o", wait, "--no-install-recommends", *packages]
    run([*environment, *command], deadline_s=APT_DEADLINE_SECONDS)


def _which(program: str) -> str | None:
    # A user's PATH may lack the system folders that root's daemons use.
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
