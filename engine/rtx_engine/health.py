"""`python -m rtx_engine.health`: Docker's HEALTHCHECK. A separate module because it must start fast."""

import http.client
import os
import sys

TIMEOUT_SECONDS = 1.5


def healthy(port: int) -> bool:
    """Whether /health on this host answers 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if healthy(int(os.environ.get("PORT", "7999"))) else 1)
