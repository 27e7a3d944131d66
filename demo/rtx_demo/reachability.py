"""Whether a connection from a pod is let through: the only proof of a NetworkPolicy."""

from dataclasses import dataclass

from .errors import DemoError
from .kubectl import Kubectl

CONNECT_DEADLINE_SECONDS = 3  # seconds; a policy drops packets, so a refusal is silence
_CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3])).close()
except OSError as error:
    print(type(error).__name__)
else:
    print("connected")
"""


@dataclass(frozen=True)
class Place:
    """A container that can be spoken from. All our images have a Python."""

    kubectl: Kubectl
    namespace: str
    pod: str

    def reaches(self, host: str, port: int) -> bool:
        """Whether a TCP connection to host:port comes about. Raises DemoError when that cannot be tried."""
        said = self.kubectl.run(
            "exec",
            self.pod,
            "--namespace",
            self.namespace,
            "--",
            "python3",
            "-c",
            _CONNECT,
            host,
            str(port),
            str(CONNECT_DEADLINE_SECONDS),
        ).strip()
        if said not in {"connected", "TimeoutError", "ConnectionRefusedError", "OSError"}:
            raise DemoError(f"{self.pod} could not try {host}:{port}: {said}")
        return said == "connected"
