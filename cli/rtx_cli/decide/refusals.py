"""What kubectl's standard error means, in one sentence with a remedy."""

import re
from dataclasses import dataclass
from enum import StrEnum

_LOG_LINE = re.compile(r"^[EWIF]\d{4} ")  # of the libraries in kubectl
_FROM_SERVER = re.compile(r"^Error from server(?: \((?P<reason>\w+)\))?: (?P<message>.*)$", re.DOTALL)
_FORBIDDEN_KIND = re.compile(r'cannot (?:list|get|watch) resource "(?P<kind>[\w./-]+)"')


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


@dataclass(frozen=True, slots=True)
class _Rule:
    """What a text means. `{}` in the sentence stands for kubectl's own words."""

    refusal: Refusal
    pattern: re.Pattern[str]
    sentence: str = "{}"


def _rule(refusal: Refusal, pattern: str, sentence: str = "{}") -> _Rule:
    return _Rule(refusal, re.compile(pattern, re.IGNORECASE | re.DOTALL), sentence)


_RULES = (
    _rule(
        Refusal.NO_KIND,
        r"the server doesn't have a resource type|could not find the requested resource \(\w+ tradingengines",
        "this cluster has no TradingEngines: choose another with --context, or install the operator, CRD first",
    ),
    _rule(Refusal.NOT_FOUND, r"^Error from server \(NotFound\)"),
    _rule(
        Refusal.FORBIDDEN,
        r"^Error from server \(Forbidden\).* is forbidden: User .* cannot (get|list|watch) ",
        "{}; ask for the role view there",
    ),
    _rule(
        Refusal.FORBIDDEN,
        r"^Error from server \(Forbidden\).* is forbidden: User ",
        "{}; ask for the role edit there",
    ),
    _rule(
        Refusal.INVALID,
        r"^Error from server \((Invalid|Forbidden|BadRequest|Conflict)\)|^The TradingEngine .* is invalid",
    ),
    _rule(
        Refusal.OTHER,
        r"\(Unauthorized\)|must be logged in|provide credentials",
        "the API server does not know you ({}); log in to the cluster again",
    ),
    _rule(
        Refusal.UNREACHABLE,
        r"^Error from server \((ServiceUnavailable|TooManyRequests|Timeout|ServerTimeout|InternalError)\)"
        r"|unable to connect to the server|was refused|connection refused|no such host|i/o timeout|handshake timeout"
        r"|deadline exceeded|\bEOF\b|connection reset|etcdserver|leader changed|request canceled|currently unable",
        "the API server does not answer ({}); `kubectl config current-context` says which it is",
    ),
    _rule(Refusal.OTHER, ""),
)


def explain(stderr: str) -> Explanation:
    """The meaning of kubectl's standard error."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not _LOG_LINE.match(line)]
    text = " ".join([line for line in lines if not line.startswith("Warning:")] or lines)
    if not text:
        return Explanation(Refusal.OTHER, "kubectl failed without a word; its program may be broken")
    found = _FROM_SERVER.match(text)
    message = (found["message"] if found else text.removeprefix("error: ")).rstrip(".")
    rule = next(one for one in _RULES if one.pattern.search(text))
    return Explanation(rule.refusal, rule.sentence.format(message))


def forbidden_kinds(stderr: str) -> tuple[str, ...]:
    """The kinds that may not be listed, of a request for several."""
    return tuple(dict.fromkeys(match["kind"] for match in _FORBIDDEN_KIND.finditer(stderr)))
