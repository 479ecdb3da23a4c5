"""A search on Kubernetes: submitted, asked after, stopped and resumed, each through kubectl."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from neurosearch.cluster.errors import ClusterError
from neurosearch.cluster.kubectl import Kubectl, NotAllowed
from neurosearch.cluster.pods import SECRETS, TRACKING
from neurosearch.cluster.ray_job import CONFIG_FILE, job_name, on_cluster, render, to_text
from neurosearch.cluster.settings import CONFIG_MAP, KEY, ClusterSettings, read_settings
from neurosearch.config.base import ConfigError, Problem
from neurosearch.config.load import StudyConfig, study_from_mapping
from neurosearch.config.overrides import with_overrides
from neurosearch.config.yaml_source import Source, parse_yaml
from neurosearch.search.differences import words_of_difference

_SERVER = "mlflow-server"  # what MLflow itself holds, of which no Ray pod knows
_JOB, _CLUSTER_LABEL, _TYPE_LABEL = "rayjobs.ray.io", "ray.io/cluster", "ray.io/node-type"
_ENDED = ("Complete", "Failed", "ValidationFailed")


@dataclass(frozen=True)
class Standing:
    """How a search stands.

    Attributes:
        name: Of its RayJob.
        deployment: KubeRay's word for it: Initializing, Running, Complete, Failed, ValidationFailed, Retrying,
            Suspended ...; None where there is no RayJob of this name.
        job: Ray's word for the entrypoint, such as RUNNING or FAILED; None before it has started.
        message: What went wrong.
        head: Name of the head's running pod; None if none runs.
        waiting: What pods wait for, each in words.
    """

    name: str
    deployment: str | None
    job: str | None
    message: str
    head: str | None
    waiting: tuple[str, ...]

    @property
    def has_ended(self) -> bool:
        """Whether nothing will happen any more by itself."""
        return self.deployment is None or self.deployment in _ENDED

    @property
    def is_starting(self) -> bool:
        """Whether its cluster, or a new one after a failure, is not there yet: nobody can be asked, and no log read."""
        return not self.has_ended and self.deployment != "Running" and self.head is None


def settings_of(kubectl: Kubectl, namespace: str) -> ClusterSettings:
    """Reads what the cluster's operator wrote down.

    Raises:
        ClusterError: Nothing, or something wrong.
    """
    found = kubectl.get("configmap", CONFIG_MAP)
    if found is None or KEY not in found.get("data", {}):
        raise ClusterError(
            f"there is no ConfigMap {CONFIG_MAP} with {KEY} in namespace {namespace}: nothing is installed there. "
            "Run `kubectl apply -k k8s/overlays/dev`, or name another namespace by --namespace."
        )
    settings = read_settings(found["data"][KEY], found["data"].get("image"), f"{CONFIG_MAP}/{KEY}")
    return settings.model_copy(update={"namespace": namespace})


def check_secrets(kubectl: Kubectl, namespace: str) -> tuple[str, ...]:
    """Checks that every secret is there with all its keys; returns a note where the user may not see them.

    Raises:
        ClusterError: One is missing; the text says which key, and where.
    """
    missing: dict[str, list[str]] = {}
    try:
        for name, keys in SECRETS.items():
            found = kubectl.keys(name)
            if lacks := [key for key in keys if key not in (found or ())]:
                missing[name] = lacks
        is_empty = len(missing) == len(SECRETS) and kubectl.keys(_SERVER) is None
    except NotAllowed:
        return ("you may not look at secrets, so a missing one is told by the pods only.",)
    if missing:
        raise ClusterError(
            f"namespace {namespace} lacks the secrets "
            f"{', '.join(f'{name} (key {key})' for name, keys in missing.items() for key in keys)}. Make them: "
            f"`{_making(() if is_empty else tuple(missing), namespace)}`, or by hand as docs/kubernetes.md shows."
        )
    return ()


def submit(study: StudyConfig, kubectl: Kubectl, settings: ClusterSettings) -> str:
    """Starts the search of a study; returns the RayJob's name.

    Raises:
        ClusterError: It does not fit, runs already, or is not the study that was submitted under its name.
    """
    objects = render(study, settings)
    name = job_name(study.study.name)
    now = standing(name, kubectl)
    if not now.has_ended:
        raise ClusterError(f"the RayJob {name} searches {study.study.name} already ({now.deployment}). Follow it.")
    _check_same_study(on_cluster(study, settings), kubectl, settings.namespace)
    if now.deployment is not None:
        kubectl.delete(_JOB, name)  # a RayJob runs once; what it knew lies in the study's storage
    kubectl.apply(to_text(objects))
    return name


def stored_study(name: str, kubectl: Kubectl, overrides: tuple[str, ...]) -> StudyConfig:
    """Returns the config that a search was submitted with, with changes.

    Raises:
        ClusterError: None was submitted.
        ConfigError: The changes are wrong.
    """
    found = _submitted(name, kubectl, overrides)
    if found is None:
        raise ClusterError(f"no study {name} was submitted to this namespace. Submit its config first.")
    return found


def standing(name: str, kubectl: Kubectl) -> Standing:
    """Asks how a search stands."""
    found = kubectl.get(_JOB, name)
    if found is None:
        return Standing(name, None, None, "", None, ())
    status = found.get("status", {})
    cluster = status.get("rayClusterName")
    pods = kubectl.find("pods", {_CLUSTER_LABEL: cluster}) if cluster else ()
    head = next((pod["metadata"]["name"] for pod in pods if _is_running_head(pod)), None)
    waiting = tuple(each for pod in pods for each in _waits(pod))
    words = status.get("message") or status.get("reason") or ""
    deployment = status.get("jobDeploymentStatus") or ("Suspended" if found["spec"].get("suspend") else "Initializing")
    return Standing(name, deployment, status.get("jobStatus") or None, words, head, waiting)


def ask_head(now: Standing, kubectl: Kubectl, words: tuple[str, ...]) -> Mapping[str, Any] | None:
    """Runs a command of ours beside the search and returns its facts; None where no head runs, or it has none."""
    if now.head is None:
        return None
    _, said = kubectl.run(now.head, "ray-head", ("neurosearch", *words, "--json"))
    for line in reversed(said.splitlines()):
        with suppress(ValueError):
            facts = json.loads(line)
            if isinstance(facts, dict):
                return facts
    return None


def stop_now(name: str, kubectl: Kubectl) -> None:
    """Ends a search and its cluster at once; its config stays, for `resume`."""
    kubectl.delete(_JOB, name)


def _submitted(name: str, kubectl: Kubectl, overrides: tuple[str, ...] = ()) -> StudyConfig | None:
    found = kubectl.get("configmap", job_name(name))
    if found is None:
        return None
    source = parse_yaml(found["data"][CONFIG_FILE], job_name(name))
    changed = with_overrides(Source(source.values, source.places, source.name), overrides)
    if changed.values.get("name") != source.values.get("name"):
        text = f"is the name of the study that is gone on with. Take it out; it stays {name}."
        raise ConfigError((Problem(changed.place(("name",)), "name", text),))
    return study_from_mapping(dict(changed.values), name)


def _check_same_study(study: StudyConfig, kubectl: Kubectl, namespace: str) -> None:
    """Checks that a config goes on with what was submitted under its name: its ConfigMap is what `resume` knows."""
    name = study.study.name
    stored = _submitted(name, kubectl)
    difference = None if stored is None else words_of_difference(stored, study)
    if difference is not None:
        raise ClusterError(
            f"another study was submitted as {name}: {difference}. Give this one another name, or restore these fields "
            f"to go on with that study. If it came to nothing, forget its config first: `kubectl --namespace "
            f"{namespace} delete configmap {job_name(name)}`."
        )


def _making(only: tuple[str, ...], namespace: str) -> str:
    """Returns the command that makes secrets, all or some; and has the servers take them."""
    words = [
        f"NAMESPACE={namespace}",
        "python",
        "k8s/make_secrets.py",
        *(word for name in only for word in ("--only", name)),
    ]
    words += ["|", "kubectl", "apply", "--filename", "-"]
    if TRACKING in only:  # MLflow's pods let this user in when they start
        words += ["&&", "kubectl", f"--namespace={namespace}", "rollout", "restart", "deployment/mlflow"]
    return " ".join(words)


def _is_running_head(pod: Mapping[str, Any]) -> bool:
    is_head = pod["metadata"].get("labels", {}).get(_TYPE_LABEL) == "head"
    states = pod.get("status", {}).get("containerStatuses", ())
    return is_head and any(each["name"] == "ray-head" and "running" in each.get("state", {}) for each in states)


def _waits(pod: Mapping[str, Any]) -> Iterator[str]:
    """Yields in words what a pod waits for: a node with room, an image, a secret."""
    name, status = pod["metadata"]["name"], pod.get("status", {})
    for condition in status.get("conditions", ()):
        if condition.get("reason") == "Unschedulable":
            yield f"{name} waits for a node: {condition.get('message', 'none has room')}"
    for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        reason = container.get("state", {}).get("waiting", {})
        if reason.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            yield f"{name} waits: {reason['reason']}: {reason.get('message', '')}".rstrip(": ")
