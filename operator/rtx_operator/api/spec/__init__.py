"""The spec of a TradingEngine: what users write. The generated CRD makes the API server check the same rules.

One module per component, or per thing that components have in common; trading_engine.py has the whole. The generator
appends bounds and defaults to the descriptions (api/crd.py), because `kubectl explain` shows neither.
"""

from rtx_operator.api.spec.backup import Backup
from rtx_operator.api.spec.network import Dns, EgressRule, Peer
from rtx_operator.api.spec.pods import PodSecurityContext
from rtx_operator.api.spec.resources import Amounts, Resources
from rtx_operator.api.spec.rollout import Rollout, SmokeTest
from rtx_operator.api.spec.scaling import MAX_REPLICAS, Scaling
from rtx_operator.api.spec.scheduling import Scheduling
from rtx_operator.api.spec.stateful import StatefulServer
from rtx_operator.api.spec.trading_engine import TradingEngineSpec

__all__ = [
    "MAX_REPLICAS",
    "Amounts",
    "Backup",
    "Dns",
    "EgressRule",
    "Peer",
    "PodSecurityContext",
    "Resources",
    "Rollout",
    "Scaling",
    "Scheduling",
    "SmokeTest",
    "StatefulServer",
    "TradingEngineSpec",
]
