"""The operator's replicas as tests look at them: who leads, what they logged, and what was written in whose reign."""

from rtx_demo import installation
from rtx_demo.kubectl import Kubectl, KubectlError


def holder(kubectl: Kubectl) -> str:
    """Who holds the Lease: POD_PROCESS, so that a container that was started anew is somebody else."""
    lease = kubectl.get("lease", installation.DEPLOYMENT, installation.NAMESPACE)
    identity: str = (lease or {}).get("spec", {}).get("holderIdentity") or ""
    return identity


def logs(kubectl: Kubectl, *, lines: int = 40) -> str:
    """The last lines of each replica, and of the process that ran before it in the same pod."""
    told = []
    for pod in installation.pods(kubectl):
        name = pod["metadata"]["name"]
        for which in ("--previous", "--previous=false"):
            try:
                said = kubectl.run(
                    "logs", name, "--namespace", installation.NAMESPACE, f"--tail={lines}", which, deadline=20
                )
            except KubectlError as error:  # most pods have no process before the first
                said = error.reason
            told.append(f"--- {name} {which}\n{said.rstrip()}")
    return "\n".join(told)
