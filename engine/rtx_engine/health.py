"""`python -m rtx_engine.health`: Docker's HEALTHCHECK. A module of its own, since it runs often and must start fast."""

import http.client
import os
import sys

TIMEOUT = 1.5  # seconds


def healthy(port: int) -> bool:
    """Whether the server of this container answers that it lives."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if healthy(int(os.environ.get("PORT", "7999"))) else 1)
