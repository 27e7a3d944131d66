"""The evidence by which a new release is judged while it is monitored: what its own pods answered to clients. Pure.

Unknown is never passed: with too few answers the smoke tests, which count in any case, are all the evidence, and
status says so.
"""

import math

from rtx_operator.api.enums import Judgement
from rtx_operator.operations.cutover.context import CutoverContext
from rtx_operator.pod_reports import EngineReport, ServedRequests

# Errors are blamed on the release when a version at its limit would have so many in fewer than this share of cases.
CHANCE = 0.001


def served(context: CutoverContext) -> ServedRequests:
    """What the pods of the new release answered since the fence named them, by its present epoch."""
    epoch, revision = context.fence.epoch if context.fence else 0, context.new.revision
    reports = [report for report in context.reports(context.new) if isinstance(report, EngineReport)]
    return ServedRequests.total((one.executed for one in reports if one.revision in {"", revision}), epoch)


def judgement(context: CutoverContext) -> Judgement:
    """By what the release is judged by now. Enough answers stay enough: pods that end take their counts with them."""
    minimum = context.engine.spec.rollout.monitor.minimum_requests
    enough = context.cutover.judged is Judgement.TRAFFIC or served(context).requests >= minimum
    return Judgement.TRAFFIC if enough else Judgement.PROBES


def in_words(judged: str, requests: int) -> str:
    """The evidence as the predicate of a sentence about the version."""
    if judged == Judgement.TRAFFIC:
        return f"kept its limits over {requests:,} requests"
    return f"passed its smoke tests; the {requests:,} requests that it answered are too few to judge its limits"


def exceeds(served: ServedRequests, max_error_percent: float, minimum: int) -> bool:
    """Whether more answers are 5xx than are allowed; of fewer than `minimum`, more than chance explains."""
    if served.requests >= minimum:
        return served.error_percent() > max_error_percent
    return is_beyond_chance(served.server_errors, served.requests, max_error_percent / 100)


def is_beyond_chance(failed: int, total: int, share: float) -> bool:
    """Whether a version that fails this `share` of requests (0 to 1) would fail so many only with less than CHANCE.

    The upper tail of the binomial distribution.
    """
    if failed <= total * share:
        return False
    if share == 0:
        return True
    ways = math.lgamma(total + 1) - math.lgamma(failed + 1) - math.lgamma(total - failed + 1)
    term = math.exp(ways + failed * math.log(share) + (total - failed) * math.log1p(-share))
    tail = 0.0
    for count in range(failed, total + 1):
        tail += term
        if tail >= CHANCE or term < tail * 1e-9:
            break
        term *= (total - count) / (count + 1) * share / (1 - share)
    return tail < CHANCE
