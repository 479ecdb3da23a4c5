import pytest

from neurosearch.cluster.ray_job import standing_cluster
from neurosearch.cluster.settings import CONFIG_MAP, GROWS_KEY, KEY, read_settings
from tests.k8s.manifests import OVERLAYS, needs_kubectl, one, rendered
from tests.k8s.rules import problems
from tests.k8s.schemas import (
    NEWEST,
    OLDEST,
    UNDEFINED,
    core_problem,
    custom_problem,
    is_core,
    needs_definitions,
)

pytestmark = needs_kubectl


def told(things, problem):
    """Return {object: what is wrong with it} of those that something is wrong with."""
    found = {f"{thing['kind']}/{thing['metadata']['name']}": problem(thing) for thing in things}
    return {name: each for name, each in found.items() if each is not None}


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_core_objects_are_what_kubernetes_takes(overlay, version):
    things = [thing for thing in rendered(f"overlays/{overlay}") if is_core(thing)]
    assert len(things) > 20
    assert told(things, lambda thing: core_problem(thing, version)) == {}


@needs_definitions
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_custom_resources_are_what_their_definitions_take(overlay):
    custom = [thing for thing in rendered(f"overlays/{overlay}") if not is_core(thing)]
    things = [thing for thing in custom if thing["kind"] not in UNDEFINED]
    assert things
    assert told(things, custom_problem) == {}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_keeps_the_rules(overlay):
    assert problems(rendered(f"overlays/{overlay}")) == []


@pytest.mark.parametrize("overlay", [name for name in OVERLAYS if "kueue" not in name])
def test_the_cluster_that_stays_is_as_the_package_renders_it_from_the_overlays_settings(overlay):
    objects = rendered(f"overlays/{overlay}")
    data = one(objects, "ConfigMap", CONFIG_MAP)["data"]
    assert one(objects, "RayCluster", "ray") == standing_cluster(read_settings(data[KEY], data["image"], overlay))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_head_of_the_cluster_that_stays_is_told_what_the_autoscaler_may_add(overlay):
    data = one(rendered(f"overlays/{overlay}"), "ConfigMap", CONFIG_MAP)["data"]
    assert data.get(GROWS_KEY, "") == read_settings(data[KEY], data["image"], overlay).may_grow


def test_with_kueue_no_cluster_stays_and_searches_name_a_queue_that_is_there():
    objects = rendered("overlays/prod-gpu-kueue")
    data = one(objects, "ConfigMap", CONFIG_MAP)["data"]
    assert [each for each in objects if each["kind"] == "RayCluster"] == []
    assert one(objects, "LocalQueue", read_settings(data[KEY], data["image"], "cluster.yaml").queue)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_all_of_ours_run_the_same_image(overlay):
    objects = rendered(f"overlays/{overlay}")
    image = one(objects, "ConfigMap", CONFIG_MAP)["data"]["image"]
    deployed = one(objects, "Deployment", "mlflow")["spec"]["template"]["spec"]
    assert {each["image"] for each in (*deployed["containers"], *deployed["initContainers"])} == {image}
    assert one(objects, "Job", "mlflow-upgrade")["spec"]["template"]["spec"]["containers"][0]["image"] == image
