"""Writes the manifests that the package renders: the standing Ray cluster, and a search as `submit --kubernetes` does.

The package holds the one description of Ray's pods. Run this after changing it; a test fails until then.
"""

from pathlib import Path
from typing import Any

from neurosearch.cluster.ray_job import render, standing_cluster, to_text
from neurosearch.cluster.settings import ClusterSettings, read_settings
from neurosearch.config.load import load_study

HERE = Path(__file__).parent
IMAGE = "neurosearch:0.1.0-ray2.60.0"  # overlays set the real one
_SAID = "# Written by k8s/render.py from neurosearch/cluster; change these, not this file.\n"


def manifests() -> dict[str, str]:
    """Returns the texts of the files, each under its path below this folder."""
    dev = _settings("dev")
    config_map, job = render(load_study(HERE / "jobs/search/search.yaml"), dev)
    return {
        "base/raycluster.yaml": _SAID + to_text([standing_cluster(dev)]),
        "components/autoscaling/raycluster.yaml": _SAID + to_text([_autoscaled(dev)]),
        "components/gpu/raycluster.yaml": _SAID + to_text([_with_gpus(_settings("prod-gpu"))]),
        "jobs/search/config.yaml": _SAID + to_text([config_map]),
        "jobs/search/rayjob.yaml": _SAID + to_text([job]),
    }


def _settings(overlay: str) -> ClusterSettings:
    file = HERE / "overlays" / overlay / "cluster.yaml"
    return read_settings(file.read_text("utf-8"), IMAGE, str(file))


def _autoscaled(settings: ClusterSettings) -> list[dict[str, Any]]:
    """Returns the patch that lets the standing cluster's workers come and go."""
    spec = standing_cluster(settings.model_copy(update={"autoscaling": True}))["spec"]
    group, head = "/spec/workerGroupSpecs/0", "/spec/headGroupSpec/template/spec"
    *_, may_grow = spec["headGroupSpec"]["template"]["spec"]["containers"][0]["env"]
    return [
        _patch("add", "/spec/enableInTreeAutoscaling", spec["enableInTreeAutoscaling"]),
        _patch("add", "/spec/autoscalerOptions", spec["autoscalerOptions"]),
        _patch("replace", f"{head}/automountServiceAccountToken", value=True),
        _patch("add", f"{head}/containers/0/env/-", may_grow),
        _patch("replace", f"{group}/minReplicas", spec["workerGroupSpecs"][0]["minReplicas"]),
        _patch("replace", f"{group}/replicas", spec["workerGroupSpecs"][0]["replicas"]),
    ]


def _with_gpus(settings: ClusterSettings) -> list[dict[str, Any]]:
    """Returns the patch that adds the group of workers with GPUs."""
    groups = standing_cluster(settings)["spec"]["workerGroupSpecs"]
    return [_patch("add", "/spec/workerGroupSpecs/-", group) for group in groups if group["groupName"] == "gpu"]


def _patch(operation: str, path: str, value: object) -> dict[str, Any]:
    return {"op": operation, "path": path, "value": value}


if __name__ == "__main__":
    for name, text in manifests().items():
        (HERE / name).write_text(text, encoding="utf-8")
