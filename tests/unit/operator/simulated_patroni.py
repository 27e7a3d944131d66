"""A simulated Patroni: which server of the database leads, who streams from it, and what it keeps in ConfigMaps."""

import json
from dataclasses import dataclass, field

from rtx_operator.api.enums import Component
from rtx_operator.api.names import InternalKey, Label
from rtx_operator.members import REPORT
from rtx_operator.observation import Object, is_ready
from rtx_operator.operations.effects import SwitchOver
from rtx_operator.operations.restore.checks import INITIALIZE
from rtx_operator.patroni import CONFIGURATION
from simulated_api import SimulatedApi, label

FIRST = "rtx-postgres-0"  # only it begins a cluster
SECRET = ("Secret", "rtx-internal")
CONFIG, SYNC, FAILOVER = (("ConfigMap", f"rtx-postgres-{name}") for name in ("config", "sync", "failover"))


@dataclass
class Volume:
    """How far the data on a volume are."""

    timeline: int = 1
    position: int = 0


@dataclass
class Patroni(SimulatedApi):
    """One step a tick. With the fault `behind:NAME` a server does not stream, with `dead:NAME` it is not ready."""

    leader: str = ""
    timeline: int = 1
    volumes: dict[str, Volume] = field(default_factory=dict)
    acknowledged: int = 0  # the position up to which commits were acknowledged
    led: list[str] = field(default_factory=list)  # who led, one after the other
    started_with: dict[str, str] = field(default_factory=dict)  # password of replication at its start, by a pod's uid
    replication: str = ""  # that password in the database: a server sets it when it begins to lead
    lost: int = 0  # bytes that were acknowledged, and that a later primary lacks

    def run_patroni(self) -> None:
        """All servers do one loop."""
        alive = self.servers()
        for name in alive:
            self.started_with.setdefault(self._uid(name), self._password())
        if self.leader not in alive:
            self.leader = ""
            self._elect(alive)
        elif (wish := self._wish()) and wish in self._streaming(alive) and wish in (self.voters() or alive):
            self._lead(wish)  # one that has just come back is not up to date, and no voter
        if not self.leader:
            self._report(alive, [])
            return
        streaming = self._streaming(alive)
        self._write(streaming)
        self._confirm(streaming)
        self._report(alive, streaming)

    def servers(self) -> list[str]:
        """The servers that run."""
        pods = [(name, pod) for name, pod in self.pods.items() if label(pod, Label.COMPONENT) == Component.DATABASE]
        return [name for name, pod in pods if is_ready(pod) and "deletionTimestamp" not in pod["metadata"]]

    def configuration(self) -> Object:
        """Patroni's dynamic configuration, which the operator applies."""
        found: Object = json.loads(self.children[CONFIG]["metadata"]["annotations"][CONFIGURATION])
        return found

    def voters(self) -> set[str]:
        """Who may take over; empty: anybody. Without a quorum Patroni asks for none, whatever it kept."""
        if self.configuration().get("synchronous_mode") != "quorum":
            return set()
        annotations = self.children[SYNC]["metadata"]["annotations"] if SYNC in self.children else {}
        names = (annotations.get("leader") or "", *(annotations.get("sync_standby") or "").split(","))
        return {name for name in names if name}

    def switch_over(self, effect: SwitchOver) -> None:
        """The operator asks for a switchover."""
        self._keep(("ConfigMap", effect.config_map), {"leader": effect.leader, "member": effect.candidate})

    def _wish(self) -> str:
        """Who is to lead instead of the server that does."""
        asked = self.children[FAILOVER]["metadata"]["annotations"] if FAILOVER in self.children else {}
        return str(asked.get("member") or "") if asked.get("leader") == self.leader else ""

    def _elect(self, alive: list[str]) -> None:
        if not alive:
            return
        voters = self.voters()
        able = [name for name in alive if not voters or name in voters]
        if not self._is_initialised():
            able = [name for name in able if name == FIRST]
        if not able:
            return
        self._lead(max(able, key=lambda name: (self._volume(name).position, name == FIRST)))

    def _lead(self, name: str) -> None:
        if self.led:
            self.timeline += 1
        position = self._volume(name).position
        self.lost += max(0, self.acknowledged - position)
        self.leader, self.volumes[name] = name, Volume(self.timeline, position)
        self.led.append(name)
        self._keep(CONFIG, {INITIALIZE: "7000000000000000001"})
        self.replication = self.started_with[self._uid(name)]
        if FAILOVER in self.children:
            self._keep(FAILOVER, {"leader": None, "member": None})

    def forget_cluster(self) -> None:
        """The operator takes away what Patroni has written. Servers that copy the first one have its data."""
        self._keep(CONFIG, {INITIALIZE: None})
        for key in (SYNC, FAILOVER):
            if key in self.children:
                self._keep(key, dict.fromkeys(("leader", "member", "sync_standby")))
        self.acknowledged = 0
        self.volumes = {FIRST: Volume(self.timeline)}

    def _is_initialised(self) -> bool:
        return bool(self.children[CONFIG]["metadata"]["annotations"].get(INITIALIZE))

    def _volume(self, name: str) -> Volume:
        return self.volumes.setdefault(name, Volume())

    def _streaming(self, alive: list[str]) -> list[str]:
        standbys = [name for name in alive if name != self.leader and not self.has_fault("behind", name)]
        return [name for name in standbys if self.started_with[self._uid(name)] == self.replication]

    def _uid(self, name: str) -> str:
        return str(self.pods[name]["metadata"]["uid"])

    def _password(self) -> str:
        """As the internal Secret has it now."""
        secret = self.children.get(SECRET, {})
        return str((secret.get("data") or {}).get(InternalKey.DB_REPLICATION_PASSWORD, ""))

    def _write(self, streaming: list[str]) -> None:
        """Orders are written, and acknowledged once the quorum has them."""
        position = self.volumes[self.leader].position + 1000
        self.volumes[self.leader].position = position
        for name in streaming:
            self.volumes[name] = Volume(self.timeline, position)
        configuration = self.configuration()
        is_quorum = configuration.get("synchronous_mode") == "quorum"
        is_held = is_quorum and configuration.get("synchronous_mode_strict") and not streaming
        self.acknowledged = self.acknowledged if is_held else position

    def _confirm(self, streaming: list[str]) -> None:
        is_quorum = self.configuration().get("synchronous_mode") == "quorum"
        if is_quorum:
            self._keep(SYNC, {"leader": self.leader, "sync_standby": ",".join(streaming)})
        elif SYNC in self.children:
            self._keep(SYNC, {"leader": None, "sync_standby": None})

    def _keep(self, key: tuple[str, str], annotations: Object) -> None:
        known = self.children.get(key)
        meta = known["metadata"] if known else {"uid": f"uid-{self.next_version()}", "generation": 1}
        kept = {**meta, "name": key[1], "annotations": {**meta.get("annotations", {}), **annotations}}
        self._store(key, {"kind": "ConfigMap", **(known or {}), "metadata": kept})

    def _report(self, alive: list[str], streaming: list[str]) -> None:
        for name in alive:
            pod, is_primary = self.pods[name], name == self.leader
            volume = self._volume(name)
            report = {"state": "running", "timeline": volume.timeline, "xlog_location": volume.position}
            report |= {"replication_state": "streaming"} if name in streaming else {}
            labels = {**pod["metadata"]["labels"], Label.ROLE.value: "primary" if is_primary else "replica"}
            annotations = {**pod["metadata"].get("annotations", {}), REPORT: json.dumps(report)}
            self.pods[name] = {**pod, "metadata": {**pod["metadata"], "labels": labels, "annotations": annotations}}
