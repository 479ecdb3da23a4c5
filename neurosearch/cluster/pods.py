"""The pods that Ray runs in on Kubernetes, as plain values: what they may do, what they hold, how they are watched."""

from typing import Any

from neurosearch.cluster.settings import CONFIG_MAP, GROWS_KEY, ClusterSettings, Head, Pool
from neurosearch.search.coming_nodes import MAY_GROW, coming_words

#: Ports of every Ray pod, fixed so that network policies can name them.
GCS, DASHBOARD, AGENT, METRICS = 6379, 8265, 52365, 8080
NODE_MANAGER, OBJECT_MANAGER, AGENT_GRPC, RUNTIME_ENV = 6380, 6381, 6382, 6383
WORKERS_FROM, WORKERS_TO = 10002, 10999

#: Secrets of the namespace, each with its keys.
RAY_AUTH, DATABASE, TRACKING, S3_TRIALS = "ray-auth", "study-database", "mlflow-client", "s3-trials"
SECRETS = {
    RAY_AUTH: ("auth_token",),
    DATABASE: ("password",),
    TRACKING: ("username", "password"),
    S3_TRIALS: ("access-key-id", "secret-access-key"),
}

CONFIG_FOLDER, WORK_FOLDER = "/etc/neurosearch", "/scratch"
_PASSWORD_FOLDER = "/run/secrets/study-database"  # noqa: S105  # a folder
_OBJECT_STORE_BYTES = 256 * 2**20  # data goes by memory map, only small messages by Ray
_USER = 10001

LABELS = {"app.kubernetes.io/part-of": "neurosearch"}
_CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
_POD_SECURITY = {
    "fsGroup": _USER,
    "fsGroupChangePolicy": "OnRootMismatch",
    "runAsGroup": _USER,
    "runAsNonRoot": True,
    "runAsUser": _USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def labels(component: str) -> dict[str, str]:
    """Returns the labels by which network policies know a pod."""
    return {**LABELS, "app.kubernetes.io/component": component}


def cluster_of_a_search(settings: ClusterSettings, pool: Pool, workers: int, config_map: str) -> dict[str, Any]:
    """Returns the spec of the Ray cluster of one search.

    Args:
        settings: What the cluster offers.
        pool: The kind of node that trials run on.
        workers: How many of them.
        config_map: ConfigMap with the config of the study that the head searches.
    """
    group = _worker_group(settings, pool, at_least=0 if settings.autoscaling else workers, at_most=workers)
    return _ray_cluster(settings, [group], config_map, {"name": MAY_GROW, "value": coming_words([pool.coming])})


def cluster_that_stays(settings: ClusterSettings) -> dict[str, Any]:
    """Returns the spec of the Ray cluster that stays, for searches that are submitted to its address.

    At rest it has one worker without a GPU, or, with autoscaling, none. What it may grow by differs from overlay to
    overlay, and so is read from the overlay's ConfigMap.
    """
    groups = [
        _worker_group(settings, pool, at_least=0 if settings.autoscaling or pool.gpus else 1, at_most=pool.max_workers)
        for pool in settings.pools
    ]
    reference = {"configMapKeyRef": {"key": GROWS_KEY, "name": CONFIG_MAP}}
    return _ray_cluster(settings, groups, None, {"name": MAY_GROW, "valueFrom": reference})


def _ray_cluster(
    settings: ClusterSettings, workers: list[dict[str, Any]], config_map: str | None, may_grow: dict[str, Any]
) -> dict[str, Any]:
    """Returns the spec of a Ray cluster with token authentication.

    Args:
        settings: What the cluster offers.
        workers: Groups of workers, as `worker_group` returns them.
        config_map: ConfigMap with the config of a study that the head searches; None for a cluster without one.
        may_grow: Variable that tells the driver which nodes may come, where an autoscaler adds them.
    """
    scaling = {"autoscalerOptions": _autoscaler(), "enableInTreeAutoscaling": True} if settings.autoscaling else {}
    return {
        "authOptions": {"mode": "token", "secretName": RAY_AUTH},
        **scaling,
        "headGroupSpec": {
            "rayStartParams": {
                "dashboard-host": "0.0.0.0",  # noqa: S104  # behind a network policy and a token
                "dashboard-port": str(DASHBOARD),
                "num-cpus": "0",
                "port": str(GCS),
                **_start_parameters(),
            },
            "template": _head(settings, config_map, [may_grow] if settings.autoscaling else []),
        },
        "rayVersion": settings.ray_version,
        "workerGroupSpecs": workers,
    }


def _worker_group(settings: ClusterSettings, pool: Pool, *, at_least: int, at_most: int) -> dict[str, Any]:
    """Returns a group of workers, one on each node of a pool."""
    gpus = {"num-gpus": str(pool.gpus)} if pool.gpus else {}
    return {
        "groupName": pool.name,
        "maxReplicas": at_most,
        "minReplicas": at_least,
        "rayStartParams": {"num-cpus": str(pool.cpus), **gpus, **_start_parameters()},
        "replicas": at_least,
        "template": _worker(settings, pool),
    }


def submitter(settings: ClusterSettings) -> dict[str, Any]:
    """Returns the pod that hands a search to the head and follows it."""
    container = _container("ray-job-submitter", settings.image, _same("500m", "1Gi", "1Gi"))
    return {
        "metadata": {"labels": labels("submitter")},
        "spec": {**_pod("submitter", [container], _folders("1Gi")), "restartPolicy": "Never"},
    }


def secret(variable: str, name: str, key: str) -> dict[str, Any]:
    """Returns an environment variable that holds the value of a secret's key."""
    return {"name": variable, "valueFrom": {"secretKeyRef": {"key": key, "name": name}}}


def _head(settings: ClusterSettings, config_map: str | None, may_grow: list[dict[str, Any]]) -> dict[str, Any]:
    head: Head = settings.head
    container = {
        **_container("ray-head", settings.image, _same(str(head.cpus), head.memory, head.disk)),
        "ports": [_port("gcs", GCS), _port("dashboard", DASHBOARD), _port("metrics", METRICS)],
        **_probes(DASHBOARD, "/api/gcs_healthz"),
    }
    # The driver alone tells MLflow and holds the database's password: as a file, which no other process inherits.
    container["env"] += [
        {"name": "NEUROSEARCH_DATA_ROOTS", "value": _data_roots(settings)},
        {"name": "NEUROSEARCH_DATABASE_PASSWORD_FILE", "value": f"{_PASSWORD_FOLDER}/password"},
        secret("MLFLOW_TRACKING_USERNAME", TRACKING, "username"),
        secret("MLFLOW_TRACKING_PASSWORD", TRACKING, "password"),
        *_s3_keys(),
        *may_grow,
    ]
    container["volumeMounts"] += [_mount("study-database", _PASSWORD_FOLDER, read_only=True), _shared_mount()]
    volumes = [
        *_folders(head.disk),
        _shared_memory(),
        {"name": "study-database", "secret": {"defaultMode": 0o440, "secretName": DATABASE}},
    ]
    if config_map is not None:
        container["volumeMounts"] += [_mount("config", CONFIG_FOLDER, read_only=True)]
        volumes += [{"configMap": {"name": config_map}, "name": "config"}]
    pod = _pod("ray-head", [container], volumes)
    if settings.autoscaling:  # its sidecar asks the API server for workers
        pod["automountServiceAccountToken"] = True
    return {"metadata": {"labels": labels("ray-head")}, "spec": pod}


def _data_roots(settings: ClusterSettings) -> str:
    """Returns what configs may name: no other file, such as a secret, but the certificates that the operator names."""
    authority = settings.storage.s3 and settings.storage.s3.ca_bundle
    return f"{WORK_FOLDER}:{authority}" if authority else WORK_FOLDER


def _worker(settings: ClusterSettings, pool: Pool) -> dict[str, Any]:
    resources = _same(str(pool.cpus), pool.memory, pool.disk)
    if pool.gpus:
        for amounts in resources.values():
            amounts["nvidia.com/gpu"] = str(pool.gpus)
    container = {
        **_container("ray-worker", settings.image, resources),
        "ports": [_port("metrics", METRICS)],
        **_probes(AGENT, "/api/healthz"),
    }
    container["env"] += _s3_keys()
    container["volumeMounts"] += [_shared_mount()]
    pod = _pod("ray-worker", [container], [*_folders(pool.disk), _shared_memory()])
    if pool.node_selector:
        pod["nodeSelector"] = {label.key: label.value for label in pool.node_selector}
    if pool.tolerations:
        pod["tolerations"] = [_toleration(each.model_dump(exclude_none=True)) for each in pool.tolerations]
    return {"metadata": {"labels": labels("ray-worker")}, "spec": pod}


def _toleration(fields: dict[str, str]) -> dict[str, str]:
    return {**fields, "operator": "Equal" if "value" in fields else "Exists"}


def _container(name: str, image: str, resources: dict[str, dict[str, str]]) -> dict[str, Any]:
    return {
        "env": [
            {"name": "HOME", "value": WORK_FOLDER},  # what libraries write in a home folder
            {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"},
        ],
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "name": name,
        "resources": resources,
        "securityContext": _CONTAINER_SECURITY,
        "volumeMounts": [_mount("tmp", "/tmp"), _mount("work", WORK_FOLDER)],  # noqa: S108  # a volume of the pod's own
        "workingDir": WORK_FOLDER,
    }


def _pod(account: str, containers: list[dict[str, Any]], volumes: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "automountServiceAccountToken": False,
        "containers": containers,
        "enableServiceLinks": False,
        "securityContext": _POD_SECURITY,
        "serviceAccountName": account,
        "volumes": volumes,
    }


def _autoscaler() -> dict[str, Any]:
    return {
        "idleTimeoutSeconds": 120,
        "imagePullPolicy": "IfNotPresent",
        "resources": _same("500m", "1Gi", "1Gi"),
        "securityContext": _CONTAINER_SECURITY,
        "version": "v2",
        "volumeMounts": [_mount("tmp", "/tmp"), _mount("work", WORK_FOLDER)],  # noqa: S108
    }


def _start_parameters() -> dict[str, str]:
    return {
        "dashboard-agent-grpc-port": str(AGENT_GRPC),
        "dashboard-agent-listen-port": str(AGENT),
        "disable-usage-stats": "true",
        "max-worker-port": str(WORKERS_TO),
        "metrics-export-port": str(METRICS),
        "min-worker-port": str(WORKERS_FROM),
        "node-manager-port": str(NODE_MANAGER),
        "object-manager-port": str(OBJECT_MANAGER),
        "object-store-memory": str(_OBJECT_STORE_BYTES),
        "runtime-env-agent-port": str(RUNTIME_ENV),
    }


def _probes(port: int, path: str) -> dict[str, Any]:
    """Returns the three probes: a start may take minutes where an image is unpacked, a hang two minutes."""
    request = {"httpGet": {"path": path, "port": port}, "timeoutSeconds": 5}
    return {
        "livenessProbe": {**request, "failureThreshold": 6, "periodSeconds": 20},
        "readinessProbe": {**request, "failureThreshold": 3, "periodSeconds": 10},
        "startupProbe": {**request, "failureThreshold": 36, "periodSeconds": 5},
    }


def _same(cpu: str, memory: str, disk: str) -> dict[str, dict[str, str]]:
    """Returns equal requests and limits: such pods are the last that a node evicts."""
    return {kind: {"cpu": cpu, "ephemeral-storage": disk, "memory": memory} for kind in ("limits", "requests")}


def _s3_keys() -> list[dict[str, Any]]:
    return [
        secret("AWS_ACCESS_KEY_ID", S3_TRIALS, "access-key-id"),
        secret("AWS_SECRET_ACCESS_KEY", S3_TRIALS, "secret-access-key"),
    ]


def _folders(disk: str) -> list[dict[str, Any]]:
    return [
        {"emptyDir": {"sizeLimit": "2Gi" if disk != "1Gi" else disk}, "name": "tmp"},
        {"emptyDir": {"sizeLimit": disk}, "name": "work"},
    ]


def _shared_memory() -> dict[str, Any]:
    return {"emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}, "name": "shared-mem"}


def _shared_mount() -> dict[str, Any]:
    return _mount("shared-mem", "/dev/shm")  # noqa: S108  # Ray's object store


def _mount(name: str, path: str, *, read_only: bool = False) -> dict[str, Any]:
    return {"mountPath": path, "name": name, **({"readOnly": True} if read_only else {})}


def _port(name: str, number: int) -> dict[str, Any]:
    return {"containerPort": number, "name": name, "protocol": "TCP"}
