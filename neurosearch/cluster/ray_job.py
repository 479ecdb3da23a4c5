"""Renders a search as Kubernetes objects: the config in a ConfigMap, and the RayJob that searches it."""

import re
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import SafeRepresenter

from neurosearch.cluster.errors import ClusterError
from neurosearch.cluster.placement import Placement, place
from neurosearch.cluster.pods import (
    CONFIG_FOLDER,
    LABELS,
    WORK_FOLDER,
    cluster_of_a_search,
    cluster_that_stays,
    submitter,
)
from neurosearch.cluster.settings import ClusterSettings
from neurosearch.config.base import Path as Field
from neurosearch.config.load import StudyConfig, load_study_for_elsewhere, study_from_mapping
from neurosearch.config.yaml_source import to_yaml

#: What KubeRay allows, so that the names that it makes of a RayJob's still fit.
MAXIMUM_NAME = 47
CONFIG_FILE = "study.yaml"
_DNS_LABEL = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
_NO_TEXT = re.compile(r"[-+.\d]|(y|n|yes|no|on|off|true|false|null)$", re.IGNORECASE)
_QUEUE_LABEL = "kueue.x-k8s.io/queue-name"


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
        ClusterError: KubeRay would refuse its name, or it is kept where a new cluster would not find it.
        ConfigError: No pool of nodes offers what it asks for.
    """
    name = job_name(study.study.name)
    placement = place(study, settings)
    config = on_cluster(study, settings)
    return [_config_map(name, config, settings), _ray_job(name, placement, settings)]


def standing_cluster(settings: ClusterSettings) -> dict[str, Any]:
    """Returns the Ray cluster that stays, for searches that are submitted to its address."""
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": _metadata("ray", settings),
        "spec": cluster_that_stays(settings),
    }


def load_for_kubernetes(path: Path, overrides: tuple[str, ...]) -> StudyConfig:
    """Reads a config whose search no file of this machine is needed for.

    Raises:
        ConfigError: With everything that is wrong, files named with their fields.
    """
    return load_study_for_elsewhere(path, overrides, _refused)


def on_cluster(study: StudyConfig, settings: ClusterSettings) -> StudyConfig:
    """Returns the config as the cluster runs it: kept in its database and bucket, tracked by its MLflow.

    Raises:
        ClusterError: It keeps the study where a new cluster would not find it.
    """
    values = study.to_mapping()
    stored, tracked = _said(values, "storage"), _said(values, "tracking")
    database = stored.get("database", settings.storage.database)
    if not database.startswith("postgresql://"):
        raise ClusterError(
            f"storage.database is {database}, a file that goes away with its pod. Leave it out, and the cluster's is "
            "taken, or name a PostgreSQL database."
        )
    kept = settings.storage.model_dump(mode="json", exclude_none=True, exclude_unset=True)
    if "artifacts" in stored:
        kept.pop("s3", None)  # it says how the cluster's own bucket is reached
    storage = {**kept, **stored, "folder": f"{WORK_FOLDER}/runs"}
    tracking = {"uri": settings.tracking_uri, **tracked}
    return study_from_mapping({**values, "storage": storage, "tracking": tracking}, study.template.source.name)


def _said(values: dict[str, Any], section: str) -> dict[str, Any]:
    """Returns what a section says; a null, as a study's own config.yaml has, says nothing."""
    return {field: value for field, value in values.get(section, {}).items() if value is not None}


def to_text(objects: Sequence[object]) -> str:
    """Writes objects as YAML documents."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _BlockRepresenter
    yaml.default_flow_style = False
    yaml.width = 120
    stream = StringIO()
    yaml.dump_all(objects, stream)
    return stream.getvalue()


class _BlockRepresenter(SafeRepresenter):
    """Writes texts of several lines, such as a config, as they are, and quotes what kubectl would take for no text.

    kubectl reads YAML 1.1, to which `no` and `y` are booleans and `1:30` is a number.
    """

    def represent_str(self, data: str) -> ScalarNode:
        style = "|" if "\n" in data else "'" if _NO_TEXT.match(data) else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_BlockRepresenter.add_representer(str, _BlockRepresenter.represent_str)


def _refused(file: str, field: Field) -> str:
    """Returns the path of certificates that the pods have; whatever else is a file, they have not."""
    if "ca_bundle" in field:
        return _in_every_pod(file)
    remedy = (
        "Put it on S3 and write s3://BUCKET/KEY." if field[0] == "data" else "Leave it out: only data come from S3."
    )
    raise ValueError(f"{file} is a file of this machine, which no pod has. {remedy}")


def _in_every_pod(file: str) -> str:
    if file.startswith("/"):
        return file
    raise ValueError(
        f"{file!r} is a file of this machine, which no pod has. Have the certificates put into the image, or mounted "
        "into every Ray pod, and write their absolute path there. The head reads them only where the cluster's own "
        "storage.s3.ca_bundle names the same file."
    )


def _config_map(name: str, study: StudyConfig, settings: ClusterSettings) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "data": {CONFIG_FILE: to_yaml(study.to_mapping())},
        "kind": "ConfigMap",
        "metadata": _metadata(name, settings),
    }


def _ray_job(name: str, placement: Placement, settings: ClusterSettings) -> dict[str, Any]:
    metadata = _metadata(name, settings)
    if settings.queue:
        metadata["labels"] = {**metadata["labels"], _QUEUE_LABEL: settings.queue}
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": metadata,
        "spec": {
            # Every retry is a new cluster, and the same command goes on with the study where its storage has it.
            # KubeRay retries whatever the code of failure, so the command itself ends well where a retry is in vain.
            "backoffLimit": settings.retries,
            "entrypoint": (
                f"neurosearch search {CONFIG_FOLDER}/{CONFIG_FILE} --address auto --resume --retried --progress json"
            ),
            "rayClusterSpec": cluster_of_a_search(settings, placement.pool, placement.workers, name),
            "shutdownAfterJobFinishes": True,
            "submissionMode": "K8sJobMode",
            "submitterPodTemplate": submitter(settings),
            "ttlSecondsAfterFinished": settings.kept_seconds,
        },
    }


def _metadata(name: str, settings: ClusterSettings) -> dict[str, Any]:
    return {"labels": dict(LABELS), "name": name, "namespace": settings.namespace}
