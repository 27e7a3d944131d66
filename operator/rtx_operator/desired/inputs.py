"""The input of all builders: one TradingEngine, and what they need to know of its cluster."""

from dataclasses import dataclass

from rtx_operator.api.names import GROUP, KIND, VERSION, Names
from rtx_operator.api.spec import TradingEngineSpec
from rtx_operator.desired.render import Object


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Hashes of the passwords in a component's pods, as an annotation: a new fingerprint restarts the pods.

    `database_engine` and `database_internal` are parts of `database`, which has that of engine pods and those of the
    other roles. Those by peer are of the same password by another key, as either key may change. Empty while the
    passwords are not known.
    """

    engine: str = ""
    engine_with_standby: str = ""  # of pods that have the second signing key, too
    database: str = ""
    cache: str = ""
    database_engine: str = ""
    database_engine_by_peer: str = ""
    cache_by_peer: str = ""
    database_internal: str = ""


@dataclass(frozen=True, slots=True)
class BuildInput:
    """A TradingEngine, the operator's settings for it, and facts about its cluster."""

    namespace: str
    name: str
    uid: str
    spec: TradingEngineSpec
    postgres_image: str  # default of spec.database.image
    redis_image: str  # default of spec.cache.image
    operator_namespace: str
    refresh: str = ""  # value of the refresh annotation
    orders_metric: bool = False  # the cluster serves rtx_orders_per_second to autoscalers
    fingerprints: Fingerprints = Fingerprints()

    @property
    def names(self) -> Names:
        return Names(self.name)

    @property
    def credentials(self) -> str:
        """The name of the Secret with the engine's credentials: the user's, else the generated one."""
        given = self.spec.credentials_secret_ref
        return given.name if given else self.names.credentials

    @property
    def credentials_are_generated(self) -> bool:
        return self.spec.credentials_secret_ref is None

    @property
    def pull_secrets(self) -> list[Object]:
        return [{"name": secret.name} for secret in self.spec.image_pull_secrets]

    @property
    def owners(self) -> list[Object]:
        """The owner reference by which Kubernetes deletes a child after its TradingEngine."""
        return [
            {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": KIND,
                "name": self.name,
                "uid": self.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ]
