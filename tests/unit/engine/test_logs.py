"""A logged exception has its location and no secrets."""

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
    structlog.get_logger("test").exception("told")
"""


def test_logged_exception_contains_no_local_variables() -> None:
    # given a function that fails and was given a password, when the error is logged
    program = FAILS.format(module="rtx_engine", more=", colour='blue'")
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    # then the line says what failed and where, and not the password
    line = json.loads(said.stdout)
    [error] = line["exception"]
    assert (error["exc_type"], error["exc_value"]) == ("RuntimeError", "it failed")
    assert error["frames"][-1]["name"] == "fails"
    assert "a secret" not in said.stdout
