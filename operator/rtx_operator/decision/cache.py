"""What an engine lacks while its cache is away. Nothing waits for the cache once the engine has served (ADR 0143)."""

from dataclasses import replace

from rtx_operator.api.enums import Reason
from rtx_operator.decision.context import DecisionContext
from rtx_operator.decision.database import server_ready
from rtx_operator.observation import replicas
from rtx_operator.results import Unmet

COST = (
    "Until then orders and reads go on. Clients get the events of other engine pods from the database, up to a second "
    "late. Each engine pod limits logins by itself, so that a guesser has a budget at each"
)


def without_cache(context: DecisionContext) -> Unmet | None:
    """Why the cache is not whole, and what that costs an engine that has served; None: it is.

    One with Sentinels has a master, and so serves, while most of its pods are ready.
    """
    unmet = server_ready(context, context.desired.cache, Reason.CACHE_STARTING, "the cache")
    if unmet is None or not context.desired.has_served:
        return unmet
    size, ready = replicas(context.seen.child(context.desired.cache.kind, context.desired.cache.name))
    if ready > size // 2:
        return replace(unmet, message=f"the cache serves. {unmet.message}", reason=Reason.CACHE_DEGRADED)
    return replace(unmet, message=f"{unmet.message}. {COST}")
