"""What kustomize renders, and the pods in it: also those inside custom resources."""

import copy
import functools
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

FOLDER = Path(__file__).parents[2] / "k8s"
OVERLAYS = ("dev", "prod", "prod-gpu", "prod-gpu-kueue")
JOB = "jobs/search"
RENDERED = (*(f"overlays/{name}" for name in OVERLAYS), JOB)


def program():
    """Return the path of kubectl; None where there is none."""
    beside = Path(sys.executable).with_name("kubectl")
    return str(beside) if beside.exists() else shutil.which("kubectl")


needs_kubectl = pytest.mark.skipif(program() is None, reason="kubectl, which renders the manifests, is not installed")


@functools.cache
def _objects(folder):
    words = [program(), "kustomize", str(FOLDER / folder)]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr.lower(), done.stderr
    return [each for each in YAML(typ="safe", pure=True).load_all(done.stdout) if each]


def rendered(folder):
    """Return a fresh copy of the objects that a folder renders to."""
    return copy.deepcopy(_objects(folder))


def one(objects, kind, name):
    """Return the one object of this kind and name."""
    (found,) = [each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def spec_of_cluster(thing):
    """Return the spec of the Ray cluster that an object is or starts; None if it is neither."""
    return {"RayCluster": lambda: thing["spec"], "RayJob": lambda: thing["spec"]["rayClusterSpec"]}.get(
        thing["kind"], lambda: None
    )()


class Template(dict):
    """A pod template, with what the object around it adds."""

    def __init__(self, fields, *, claims=(), autoscaled=False):
        super().__init__(fields)
        self.claims, self.autoscaled = claims, autoscaled


def pod_templates(thing):
    """Yield (where, template) of every pod that an object makes."""
    claims = [each["metadata"]["name"] for each in thing.get("spec", {}).get("volumeClaimTemplates", ())]
    scales = (spec_of_cluster(thing) or {}).get("enableInTreeAutoscaling", False)
    for where, template in _templates(thing.get("spec"), f"{thing['kind']}/{thing['metadata']['name']}"):
        # What a template does not say of itself: the volumes that a set claims, and KubeRay's sidecar.
        yield where, Template(template, claims=claims, autoscaled=scales and "headGroupSpec" in where)


def _templates(value, where):
    if isinstance(value, list):
        for each in value:
            yield from _templates(
                each, f"{where}.{each['groupName']}" if isinstance(each, dict) and "groupName" in each else where
            )
    if not isinstance(value, dict):
        return
    for key, each in value.items():
        if isinstance(each, dict) and "containers" in each.get("spec", {}):
            yield f"{where}.{key}", each
        else:
            yield from _templates(each, f"{where}.{key}")


def containers(template):
    """Yield (is_init, container) of a pod template."""
    for container in template["spec"].get("initContainers", ()):
        yield True, container
    for container in template["spec"]["containers"]:
        yield False, container
