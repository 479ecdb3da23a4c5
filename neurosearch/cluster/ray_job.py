"""Renders a search as Kubernetes objects: the config in a ConfigMap, and the RayJob that searches it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from typing import Any

from ruamel.yaml import YAML

from neurosearch.cluster.errors import ClusterError
from neurosearch.cluster.placement import Placement, place
from neurosearch.cluster.pods import CONFIG_FOLDER, LABELS, WORK_FOLDER, ray_cluster, submitter, worker_group
from neurosearch.cluster.settings import ClusterSettings
from neurosearch.config.load import StudyConfig, study_from_mapping
from neurosearch.config.s3 import is_on_s3
from neurosearch.config.yaml_source import to_yaml

#: What KubeRay allows, so that the names that it makes of a RayJob's still fit.
MAXIMUM_NAME = 47
CONFIG_FILE = "study.yaml"
_DNS_LABEL = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
_QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
_FILES = ("path", "train_list", "test_list", "ca_bundle", "weights")


def job_name(study: str) -> str:
    """Returns the name of the RayJob that searches a study, and of its ConfigMap.

    Raises:
        ClusterError: KubeRay would refuse it.
    """
    name = f"search-{study}"
    if len(name) > MAXIMUM_NAME:
        raise ClusterError(
            f"the RayJob would be named {name!r}, which has {len(name)} characters; KubeRay allows {MAXIMUM_NAME}. "
            f"Shorten the study's name to {MAXIMUM_NAME - len('search-')} characters."
        )
    if not _DNS_LABEL.fullmatch(name):
        raise ClusterError(f"{name!r} is no name for a RayJob. Use lower case letters, digits and dashes.")
    return name


def render(study: StudyConfig, settings: ClusterSettings) -> list[dict[str, Any]]:
    """Returns the objects of a search, ready for `kubectl apply`.

    Args:
        study: What to search. Where it does not say, the settings say where it is kept and tracked.
        settings: What the cluster offers.

    Raises:
        ClusterError: The search does not fit the cluster; the text says what to change.
    """
    name = job_name(study.study.name)
    placement = place(study.study.search, settings)
    config = on_cluster(study, settings)
    return [_config_map(name, config, settings), _ray_job(name, placement, settings)]


def standing_cluster(settings: ClusterSettings) -> dict[str, Any]:
    """Returns the Ray cluster that stays, for searches that are submitted to its address.

    At rest it has one worker without a GPU, or, with autoscaling, none.
    """
    groups = [
        worker_group(settings, pool, at_least=0 if settings.autoscaling or pool.gpus else 1, at_most=pool.max_workers)
        for pool in settings.pools
    ]
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": _metadata("ray", settings),
        "spec": ray_cluster(settings, groups, None),
    }


def on_cluster(study: StudyConfig, settings: ClusterSettings) -> StudyConfig:
    """Returns the config as the cluster runs it: kept in its database and bucket, tracked by its MLflow.

    Raises:
        ClusterError: It names files of this machine, or keeps the study where a new cluster would not find it.
    """
    values = study.to_mapping()
    if local := next(_local_files(values), None):
        raise ClusterError(
            f"{local} names a file of this machine, which no pod has. Put it on S3 and write s3://BUCKET/KEY."
        )
    stored = values.get("storage", {})
    database = stored.get("database", settings.storage.database)
    if not database.startswith("postgresql://"):
        raise ClusterError(
            f"storage.database is {database}, a file that goes away with its pod. Leave it out, and the cluster's is "
            "taken, or name a PostgreSQL database."
        )
    kept = settings.storage.model_dump(mode="json", exclude_none=True, exclude_unset=True)
    storage = {**kept, **stored, "folder": f"{WORK_FOLDER}/runs"}
    tracking = {"uri": settings.tracking_uri, **values.get("tracking", {})}
    return study_from_mapping({**values, "storage": storage, "tracking": tracking}, study.template.source.name)


def to_text(objects: Sequence[object]) -> str:
    """Writes objects as YAML documents."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.width = 120
    stream = StringIO()
    yaml.dump_all(objects, stream)
    return stream.getvalue()


def _config_map(name: str, study: StudyConfig, settings: ClusterSettings) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "data": {CONFIG_FILE: to_yaml(study.to_mapping())},
        "kind": "ConfigMap",
        "metadata": _metadata(name, settings),
    }


def _ray_job(name: str, placement: Placement, settings: ClusterSettings) -> dict[str, Any]:
    at_least = 0 if settings.autoscaling else placement.workers
    workers = worker_group(settings, placement.pool, at_least=at_least, at_most=placement.workers)
    metadata = _metadata(name, settings)
    if settings.queue:
        metadata["labels"] = {**metadata["labels"], _QUEUE_LABEL: settings.queue}
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": metadata,
        "spec": {
            # Every retry is a new cluster, and the same command goes on with the study where its storage has it.
            "backoffLimit": settings.retries,
            "entrypoint": f"neurosearch search {CONFIG_FOLDER}/{CONFIG_FILE} --address auto --resume --progress json",
            "rayClusterSpec": ray_cluster(settings, [workers], name),
            "shutdownAfterJobFinishes": True,
            "submissionMode": "K8sJobMode",
            "submitterPodTemplate": submitter(settings),
            "ttlSecondsAfterFinished": settings.kept_seconds,
        },
    }


def _metadata(name: str, settings: ClusterSettings) -> dict[str, Any]:
    return {"labels": dict(LABELS), "name": name, "namespace": settings.namespace}


def _local_files(values: Mapping[str, Any]) -> Iterator[str]:
    """Yields every field that names a file which is not on S3, nodes and options included."""
    for section in ("data", "model"):
        yield from _files_below(values.get(section), section)


def _files_below(value: Any, field: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            if key in _FILES and isinstance(each, str) and not is_on_s3(each):
                yield f"{field}.{key}"
            yield from _files_below(each, f"{field}.{key}")
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _files_below(each, f"{field}[{index}]")
