"""What the builders are given: one TradingEngine and the little they need to know of its surroundings."""

from dataclasses import dataclass

from rtx_operator.api.names import GROUP, KIND, VERSION, Names
from rtx_operator.api.spec import TradingEngineSpec
from rtx_operator.desired.render import Object


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Stand for the passwords that pods were started with; a pod whose fingerprint changes is started anew.

    Empty where nothing is known of the passwords.
    """

    engine: str = ""
    database: str = ""
    cache: str = ""


@dataclass(frozen=True, slots=True)
class BuildInput:
    """A TradingEngine and its surroundings."""

    namespace: str
    name: str
    uid: str
    spec: TradingEngineSpec
    postgres_image: str  # used unless spec.database.image says otherwise
    redis_image: str  # used unless spec.cache.image says otherwise
    operator_namespace: str
    orders_metric: bool = False  # the cluster serves rtx_orders_per_second to autoscalers
    fingerprints: Fingerprints = Fingerprints()

    @property
    def names(self) -> Names:
        return Names(self.name)

    @property
    def credentials(self) -> str:
        """The Secret with the engine's credentials, the user's or the generated one."""
        given = self.spec.credentials_secret_ref
        return given.name if given else self.names.credentials

    @property
    def credentials_are_ours(self) -> bool:
        return self.spec.credentials_secret_ref is None

    @property
    def pull_secrets(self) -> list[Object]:
        return [{"name": secret.name} for secret in self.spec.image_pull_secrets]

    @property
    def placement(self) -> Object:
        """Where the pods of engine, database and cache may run."""
        scheduling = self.spec.scheduling
        tolerations = [one.model_dump(mode="json", by_alias=True, exclude_none=True) for one in scheduling.tolerations]
        return {"node_selector": dict(scheduling.node_selector), "tolerations": tolerations}

    @property
    def owners(self) -> list[Object]:
        """The reference by which a child goes when its TradingEngine goes."""
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
