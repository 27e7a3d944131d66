"""The evidence by which a new release is judged while it is monitored: what its own pods answered to clients. Pure.

Unknown is never passed: with too few answers the smoke tests, which count in any case, are all the evidence, and
status says so.
"""

import math
from dataclasses import replace

from rtx_operator.api.enums import Judgement
from rtx_operator.api.status import ANSWERS_LIMIT, AnswersOfPod
from rtx_operator.operations.cutover.context import CutoverContext
from rtx_operator.pod_reports import EngineReport, ServedRequests

# Errors are blamed on the release when a version at its limit would have so many in fewer than this share of cases.
CHANCE = 0.001
NOTED = 1.1  # growth of a pod's counts from which status has them anew: some 150 writes for a million requests


def served(context: CutoverContext) -> ServedRequests:
    """What the pods of the new release answered since the fence named them, by its present epoch.

    Of a pod that does not report any more, what status has of it: its latency is not known.
    """
    reports, epoch = _reports(context), _epoch(context)
    reported = ServedRequests.total(reports.values(), epoch)
    gone = [one for one in context.cutover.answers if one.epoch == epoch and one.pod not in reports]
    return replace(
        reported,
        requests=reported.requests + sum(one.requests for one in gone),
        server_errors=reported.server_errors + sum(one.server_errors for one in gone),
    )


def answers(context: CutoverContext) -> list[AnswersOfPod]:
    """What status is to remember of the pods' answers: a pod that ends takes its own count with it.

    Nothing while no pod has failed a request: a version that is well makes no write of status.
    """
    epoch, reports = _epoch(context), _reports(context)
    known = {one.pod: one for one in context.cutover.answers if one.epoch == epoch}
    if not known and not any(executed.server_errors for executed in reports.values()):
        return []
    for name, executed in reports.items():
        if name not in known or _has_grown(known[name], executed):
            counts = {"requests": executed.requests, "server_errors": executed.server_errors}
            known[name] = AnswersOfPod(pod=name, epoch=epoch, **counts)
    most = sorted(known.values(), key=lambda one: (one.server_errors, one.requests), reverse=True)[:ANSWERS_LIMIT]
    return sorted(most, key=lambda one: one.pod)


def _has_grown(noted: AnswersOfPod, executed: ServedRequests) -> bool:
    return executed.server_errors > noted.server_errors * NOTED or executed.requests > noted.requests * NOTED


def _reports(context: CutoverContext) -> dict[str, ServedRequests]:
    """What the pods of the new release report that they answered by the fence's present epoch, by name."""
    epoch, revision = _epoch(context), context.new.revision
    reports = [report for report in context.reports(context.new) if isinstance(report, EngineReport)]
    ours = [report for report in reports if report.revision in {"", revision}]
    return {report.pod: report.executed for report in ours if report.executed and report.executed.epoch == epoch}


def _epoch(context: CutoverContext) -> int:
    return context.fence.epoch if context.fence else 0


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
