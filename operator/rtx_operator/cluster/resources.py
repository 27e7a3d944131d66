"""The kinds of objects that the operator reads and writes, with their paths at the API server."""

from rtx_operator.api.kinds import KINDS, TRADING_ENGINE, TRADING_ENGINE_BACKUP, TRADING_ENGINE_RESTORE
from rtx_operator.api.names import GROUP, VERSION
from rtx_operator.cluster.client import Resource

OURS = {kind.name: Resource(f"{GROUP}/{VERSION}", kind.name, kind.plural) for kind in KINDS}
ENGINE = OURS[TRADING_ENGINE.name]
BACKUP = OURS[TRADING_ENGINE_BACKUP.name]
RESTORE = OURS[TRADING_ENGINE_RESTORE.name]

DEPLOYMENT = Resource("apps/v1", "Deployment", "deployments")
STATEFUL_SET = Resource("apps/v1", "StatefulSet", "statefulsets")
CONTROLLER_REVISION = Resource("apps/v1", "ControllerRevision", "controllerrevisions")
JOB = Resource("batch/v1", "Job", "jobs")
CRON_JOB = Resource("batch/v1", "CronJob", "cronjobs")
SERVICE = Resource("v1", "Service", "services")
CONFIG_MAP = Resource("v1", "ConfigMap", "configmaps")
SECRET = Resource("v1", "Secret", "secrets")
VOLUME_CLAIM = Resource("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
SERVICE_ACCOUNT = Resource("v1", "ServiceAccount", "serviceaccounts")
AUTOSCALER = Resource("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
DISRUPTION_BUDGET = Resource("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
ROLE = Resource("rbac.authorization.k8s.io/v1", "Role", "roles")
ROLE_BINDING = Resource("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
NETWORK_POLICY = Resource("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")

VOLUME = Resource("v1", "PersistentVolume", "persistentvolumes")
POD = Resource("v1", "Pod", "pods")
ENDPOINT_SLICE = Resource("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
EVENT = Resource("v1", "Event", "events")

# Kinds that the operator writes. LIVE_KINDS change in a switch and are read in every reconcile; CACHED_KINDS do not,
# and are read through ReadCache.
LIVE_KINDS = (DEPLOYMENT, STATEFUL_SET, JOB, SERVICE)
CACHED_KINDS = (
    CONTROLLER_REVISION,
    CONFIG_MAP,
    SECRET,
    VOLUME_CLAIM,
    SERVICE_ACCOUNT,
    ROLE,
    ROLE_BINDING,
    AUTOSCALER,
    DISRUPTION_BUDGET,
    NETWORK_POLICY,
    CRON_JOB,
    BACKUP,
    RESTORE,
)
CHILDREN = (*LIVE_KINDS, *CACHED_KINDS)
# Kinds that Kubernetes' controllers create for the children; the operator only reads them.
GRANDCHILDREN = (POD, ENDPOINT_SLICE)

BY_KIND = {resource.kind: resource for resource in (ENGINE, *CHILDREN, *GRANDCHILDREN)}
