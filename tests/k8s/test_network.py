"""Who reaches whom is what docs/kubernetes.md says."""

import pytest

from tests.k8s.manifests import JOB, OVERLAYS, needs_kubectl, rendered
from tests.k8s.page import rows
from tests.k8s.reachability import table

pytestmark = needs_kubectl


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_who_reaches_whom_is_as_stated(overlay):
    stated = {
        (source, target): ports
        for source, target, ports, overlays in rows("from")
        if overlays == "all" or overlay in overlays.split(", ")
    }
    found = table([*rendered(f"overlays/{overlay}"), *rendered(JOB)])
    assert {pair: ", ".join(ports) for pair, ports in found.items()} == stated


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_workers_reach_neither_the_database_nor_mlflow(overlay):
    found = table([*rendered(f"overlays/{overlay}"), *rendered(JOB)])
    allowed = {"ray-head", "ray-worker", "s3", "0.0.0.0/0 but 169.254.0.0/16", "kube-system/kube-dns"}
    assert {target for source, target in found if source == "ray-worker"} <= allowed
    assert all(
        "5432" not in ports and "5000" not in ports for (source, _), ports in found.items() if source == "ray-worker"
    )
