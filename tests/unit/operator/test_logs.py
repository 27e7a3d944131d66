"""A logged exception has its place in the code, and no secret."""

import json
import subprocess
import sys

FAILS = """
import structlog
from {module} import logs

logs.configure("INFO"{more})

def fails(password):
    raise RuntimeError("it failed")

try:
    fails("a secret")
except RuntimeError:
    structlog.get_logger("test").exception("failed")
"""


def test_logged_exception_has_no_local_variables() -> None:
    # Given a function with a password as argument that raises an error, when the error is logged
    program = FAILS.format(module="rtx_operator", more="")
    process = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    # Then the record has the error and its place, but not the password
    line = json.loads(process.stdout)
    [error] = line["exception"]
    assert (error["exc_type"], error["exc_value"]) == ("RuntimeError", "it failed")
    assert error["frames"][-1]["name"] == "fails"
    assert "a secret" not in process.stdout
