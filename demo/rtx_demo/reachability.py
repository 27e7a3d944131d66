"""Tests whether a pod can open a connection: the only proof of a NetworkPolicy."""

from dataclasses import dataclass

from .errors import DemoError
from .kubectl import Kubectl

CONNECT_DEADLINE_SECONDS = 3  # a policy drops packets, so a blocked connection times out
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
    """A pod to open connections from. All our images have Python."""

    kubectl: Kubectl
    namespace: str
    pod: str

    def reaches(self, host: str, port: int) -> bool:
        """Whether a TCP connection to host:port succeeds. Raises DemoError when the attempt itself fails."""
        output = self.kubectl.run(
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
        if output not in {"connected", "TimeoutError", "ConnectionRefusedError", "OSError"}:
            raise DemoError(f"Pod {self.pod} could not attempt a connection to {host}:{port}: {output}")
        return output == "connected"
