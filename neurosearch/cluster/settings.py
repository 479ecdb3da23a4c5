"""What a Kubernetes cluster offers to searches, as its operator wrote it down; read by `submit --kubernetes`.

It lies in the ConfigMap `neurosearch` of the namespace, under `cluster.yaml`, so that whoever submits needs no file of
the operator's, and an upgrade of the cluster changes the searches that are submitted after it.
"""

import re
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from neurosearch.cluster.errors import ClusterError
from neurosearch.config.base import Count, Fields, Index, dotted
from neurosearch.config.s3 import S3Fields
from neurosearch.config.yaml_source import parse_yaml
from neurosearch.search.coming_nodes import ComingNode, coming_words

#: Name of the ConfigMap; its keys: the settings, and the nodes that the cluster which stays may grow by.
CONFIG_MAP, KEY, GROWS_KEY = "neurosearch", "cluster.yaml", "may-grow"

Name = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$")]
_GIBIBYTES = r"^[1-9][0-9]*Gi$"
_RAY_IN_TAG = re.compile(r":([\w.-]*-)?ray(?P<version>\d+\.\d+\.\d+)(?![\d.])")


class Toleration(Fields):
    """A taint that pods of a pool bear."""

    key: str = Field(min_length=1, description="Key of the taint")
    value: str | None = Field(None, description="Its value; absent: any")
    effect: str = Field("NoSchedule", pattern=r"^(NoSchedule|NoExecute)$", description="Its effect")


class Label(Fields):
    """A label that the nodes of a pool have."""

    key: str = Field(min_length=1, description="The label")
    value: str = Field(description="Its value")


class Pool(Fields):
    """One kind of node, told as the one worker pod that runs on it."""

    name: Name = Field(description="Name of the group of workers")
    cpus: Count = Field(description="CPU cores of one worker")
    memory: str = Field(pattern=_GIBIBYTES, description="Memory of one worker, such as 16Gi")
    gpus: Index = Field(0, description="GPUs of one worker")
    disk: str = Field("20Gi", pattern=_GIBIBYTES, description="Disk of one worker: prepared data and checkpoints")
    max_workers: Count = Field(description="Most workers at the same time")
    node_selector: tuple[Label, ...] = Field((), description="Labels of the nodes")
    tolerations: tuple[Toleration, ...] = Field((), description="Taints of the nodes")

    @property
    def coming(self) -> ComingNode:
        """One of its workers, as the autoscaler may add it."""
        return ComingNode(self.cpus, self.gpus, int(self.memory.removesuffix("Gi")))


class Head(Fields):
    """The pod that drives a search; no trial runs on it."""

    cpus: Count = Field(2, description="CPU cores")
    memory: str = Field("8Gi", pattern=_GIBIBYTES, description="Memory, such as 8Gi")
    disk: str = Field("20Gi", pattern=_GIBIBYTES, description="Disk: the studies' folder and the exports")


class Storage(Fields):
    """Where studies are kept whose config does not say."""

    database: str = Field(pattern=r"^postgresql://", description="storage.database")
    artifacts: str = Field(pattern=r"^s3://", description="storage.artifacts")
    s3: S3Fields | None = Field(None, description="storage.s3; absent: Amazon's")


class ClusterSettings(Fields):
    """What searches on this cluster run with."""

    namespace: Name = Field("neurosearch", description="Namespace of everything")
    image: str = Field(min_length=1, description="Image of every Ray pod; its tag ends with ray and Ray's version")
    ray_version: str = Field(pattern=r"^\d+\.\d+\.\d+$", description="Version of Ray in the image")
    pools: Annotated[tuple[Pool, ...], Field(min_length=1)] = Field(description="Kinds of nodes for trials")
    head: Head = Field(default_factory=Head, description="The pod that drives a search")
    storage: Storage = Field(description="Where studies are kept whose config does not say")
    tracking_uri: str = Field("http://mlflow:5000", pattern=r"^https?://", description="tracking.uri, likewise")
    autoscaling: bool = Field(False, description="Whether workers come and go with the trials")
    queue: Name | None = Field(None, description="Kueue's LocalQueue that searches wait in; absent: no queue")
    retries: Index = Field(3, description="New clusters that a search which was lost is given")
    kept_seconds: Index = Field(600, description="Seconds that a finished search's pods stay, for their logs")

    @property
    def may_grow(self) -> str:
        """The nodes that the cluster which stays may grow by, as its head is told; empty without autoscaling."""
        return coming_words(pool.coming for pool in self.pools) if self.autoscaling else ""

    @model_validator(mode="after")
    def _image_carries_this_ray(self) -> "ClusterSettings":
        found = ray_of(self.image)
        if found is None:
            raise PydanticCustomError(
                "image",
                "the tag of image {image} does not tell its Ray; tag it NAME:VERSION-ray{version}, as the Dockerfile's "
                "first lines show",
                {"image": self.image, "version": self.ray_version},
            )
        if found != self.ray_version:
            raise PydanticCustomError(
                "ray",
                "image {image} has Ray {found}, but ray_version is {version}: KubeRay would start one with the rules "
                "of the other. Set ray_version to {found}, or take the image with Ray {version}",
                {"image": self.image, "found": found, "version": self.ray_version},
            )
        return self

    @model_validator(mode="after")
    def _pools_differ(self) -> "ClusterSettings":
        names = [pool.name for pool in self.pools]
        if doubled := next((name for name in names if names.count(name) > 1), None):
            raise PydanticCustomError("doubled", "pools name {name} twice; rename one", {"name": doubled})
        return self

    @model_validator(mode="after")
    def _queue_and_autoscaling(self) -> "ClusterSettings":
        if self.queue and self.autoscaling:
            raise PydanticCustomError(
                "queue",
                "Kueue admits a search with all its workers, so queue and autoscaling exclude each other; take one out",
            )
        return self


def ray_of(image: str) -> str | None:
    """Returns the version of Ray that an image's tag tells; None if it tells none."""
    found = _RAY_IN_TAG.search(image.partition("@")[0])
    return found["version"] if found else None


def read_settings(text: str, image: str | None, name: str) -> ClusterSettings:
    """Reads the settings' YAML.

    Args:
        text: The YAML.
        image: The image of the running deployment; None: the one that the text names.
        name: Where the text comes from, for messages.

    Raises:
        ClusterError: With everything that is wrong.
        ConfigError: It is no YAML.
    """
    source = parse_yaml(text, name)
    values: dict[str, Any] = {**source.values, **({"image": image} if image else {})}
    try:
        return ClusterSettings.model_validate(values)
    except ValidationError as error:
        lines = [f"{source.place(each['loc'])}: {dotted(each['loc'])}: {each['msg']}" for each in error.errors()]
        raise ClusterError("\n".join(line.replace(": : ", ": ") for line in lines)) from error
