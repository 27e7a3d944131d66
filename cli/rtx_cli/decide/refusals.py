"""What kubectl's standard error means, in one sentence with a remedy."""

import re
from dataclasses import dataclass
from enum import StrEnum

_LOG_LINE = re.compile(r"^[EWIF]\d{4} ")  # of the libraries in kubectl
_FROM_SERVER = re.compile(r"^Error from server(?: \((?P<reason>\w+)\))?: (?P<message>.*)$", re.DOTALL)
_FORBIDDEN_KIND = re.compile(r'cannot (?:list|get|watch) resource "(?P<kind>[\w./-]+)"')
_UNREACHABLE = re.compile(
    r"unable to connect to the server|connection to the server .* was refused|connection refused|no such host|i/o timeout"
    r"|tls handshake timeout|context deadline exceeded|EOF|connection reset|ServiceUnavailable|TooManyRequests"
    r"|etcdserver|etcd leader|net/http: request canceled|server is currently unable",
    re.IGNORECASE,
)


class Refusal(StrEnum):
    """Why kubectl failed, as far as it matters for what to do."""

    NOT_FOUND = "NotFound"
    FORBIDDEN = "Forbidden"
    UNREACHABLE = "Unreachable"  # it may work when it is tried again
    NO_KIND = "NoKind"  # the cluster has no TradingEngines
    INVALID = "Invalid"  # the API server refuses a value
    OTHER = "Other"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why kubectl failed, and a sentence about it."""

    refusal: Refusal
    message: str


def explain(stderr: str) -> Explanation:
    """The meaning of kubectl's standard error."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not _LOG_LINE.match(line)]
    lines = [line for line in lines if not line.startswith("Warning:")] or lines
    text = " ".join(lines) or "kubectl failed without a word"
    found = _FROM_SERVER.match(text)
    reason, message = (found["reason"] or "", found["message"]) if found else ("", text.removeprefix("error: "))
    message = message.rstrip(".")
    if "the server doesn't have a resource type" in text or "could not find the requested resource" in text:
        return Explanation(
            Refusal.NO_KIND,
            "this cluster has no TradingEngines: choose another with --context, or install the operator, CRD first",
        )
    if reason == "NotFound":
        return Explanation(Refusal.NOT_FOUND, message)
    if reason == "Forbidden" and "is forbidden: User" in text:
        return Explanation(
            Refusal.FORBIDDEN, f"{message}; ask for the role view to read, or edit to change, in that namespace"
        )
    if reason in {"Invalid", "Forbidden", "BadRequest", "Conflict"}:
        return Explanation(Refusal.INVALID, message)
    if reason in {"ServiceUnavailable", "TooManyRequests", "Timeout", "ServerTimeout", "InternalError"} or (
        _UNREACHABLE.search(text)
    ):
        return Explanation(
            Refusal.UNREACHABLE, f"the API server does not answer ({message}); see `kubectl config current-context`"
        )
    if reason == "Unauthorized" or "must be logged in" in text:
        return Explanation(Refusal.OTHER, f"the API server does not know you ({message}); log in to the cluster again")
    return Explanation(Refusal.OTHER, message)


def forbidden_kinds(stderr: str) -> tuple[str, ...]:
    """The kinds that may not be listed, of a request for several."""
    return tuple(dict.fromkeys(match["kind"] for match in _FORBIDDEN_KIND.finditer(stderr)))
