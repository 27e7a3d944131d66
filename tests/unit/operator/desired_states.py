"""What the operator desires of the small world's engine, kept by what that depends on: to build it takes longest."""

from datetime import UTC, datetime

from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.names import Names
from rtx_operator.desired import build
from rtx_operator.desired.served import has_served
from rtx_operator.desired.state import JOB_LABEL, DesiredState
from rtx_operator.members import POSITIONS, report_of
from rtx_operator.observation import Object, Observation, revision_of
from rtx_operator.settings import from_environment
from simulated_patroni import CONFIG, SYNC

SETTINGS = from_environment({"POSTGRES_IMAGE": "postgres", "REDIS_IMAGE": "redis"})
SEED = bytes(32)
CERTIFIED = datetime(2026, 11, 27, tzinfo=UTC)  # of the certificates: no walk lasts until they are renewed

_DESIRED_STATES: dict[str, DesiredState] = {}


def forget_desired_states() -> None:
    """Another release of the operator builds from now on."""
    _DESIRED_STATES.clear()


def desired_state(engine: TradingEngine, observation: Observation) -> DesiredState:
    """The desired state, cached by its inputs: building it is the slowest part of a reconcile."""
    known = [
        (one["metadata"]["name"], one["metadata"]["uid"], one["metadata"].get("annotations"))
        for kind in ("ControllerRevision", "PersistentVolumeClaim")
        for one in observation.children_of(kind)
    ]
    secrets = [repr(one.get("data")) for one in observation.children_of("Secret")]
    secrets.append(repr(observation.credentials))
    status = engine.status
    cutover = status.cutover and status.cutover.model_copy(update={"message": "", "deadline": None})
    maintenance = status.maintenance and status.maintenance.model_copy(update={"message": "", "deadline": None})
    servers = (maintenance, status.database, status.cache, observation.volumes, _server_pods(observation))
    jobs = [pod.get("status") for pod in observation.pods if JOB_LABEL in pod["metadata"].get("labels", {})]
    schema = observation.database.schema if observation.database else None
    restore = status.restore and status.restore.model_copy(update={"message": "", "deadline": None})
    remembered = (restore, status.active, status.earlier_data, cutover, status.previous, status.retirement)
    made = (engine.uid, engine.given, engine.refresh, remembered)
    served = status.active is None and has_served(Names(engine.name), engine.uid, observation)
    deployments = [
        (revision_of(one), one["spec"]["template"]["metadata"].get("annotations"))
        for one in observation.children_of("Deployment")
    ]
    key = repr((made, servers, known, jobs, secrets, schema, served, deployments))
    if key not in _DESIRED_STATES:
        _DESIRED_STATES[key] = build.build(engine, observation, SETTINGS, SEED, CERTIFIED)
    return _DESIRED_STATES[key]


def _server_pods(observation: Observation) -> list[Object]:
    """What the desired state of database and cache depends on besides status; all standbys are close behind."""
    names = ("rtx-postgres", "rtx-redis")
    sets = [observation.child("StatefulSet", name) or {} for name in names]
    pods = [pod for pod in observation.pods if pod["metadata"]["name"].rpartition("-")[0] in names]
    return [
        {
            "sets": [(one.get("metadata"), one.get("spec", {}).get("replicas"), one.get("status")) for one in sets],
            "pods": [(_without_positions(pod), pod["status"]) for pod in pods],
            "patroni": [observation.child(*key) for key in (CONFIG, SYNC)],
            "answers": observation.database is not None and not observation.database.error,
        }
    ]


def _without_positions(pod: Object) -> Object:
    report = {name: value for name, value in report_of(pod).items() if name not in POSITIONS}
    return {**pod["metadata"], "annotations": report}
