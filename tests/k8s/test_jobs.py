"""The search that kustomize renders is the one that `submit --kubernetes` makes."""

import pytest

from k8s.render import HERE, manifests
from neurosearch.cluster.ray_job import job_name, load_for_kubernetes, render
from neurosearch.cluster.settings import CONFIG_MAP, KEY, read_settings
from tests.k8s.manifests import JOB, OVERLAYS, needs_kubectl, one, rendered
from tests.k8s.rules import problems
from tests.k8s.schemas import NEWEST, OLDEST, core_problem, custom_problem, needs_definitions

CONFIG = HERE / "jobs/search/search.yaml"


def settings_of(overlay):
    data = one(rendered(f"overlays/{overlay}"), "ConfigMap", CONFIG_MAP)["data"]
    return read_settings(data[KEY], data["image"], overlay)


def test_what_the_package_renders_is_what_lies_here():
    texts = manifests()
    assert {name: (HERE / name).read_text("utf-8") for name in texts} == texts


@needs_kubectl
def test_kustomize_renders_the_search_as_submit_does():
    assert rendered(JOB) == render(load_for_kubernetes(CONFIG, ()), settings_of("dev"))


@needs_kubectl
@needs_definitions
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_search_on_every_overlay_is_valid_and_keeps_the_rules(overlay):
    changes = ("search.gpus_per_trial=0.5",) if "gpu" in overlay else ()
    objects = render(load_for_kubernetes(CONFIG, changes), settings_of(overlay))
    assert [custom_problem(one(objects, "RayJob", "search-digits")), *map(core_version, objects[:1])] == [None, None]
    assert problems([*rendered(f"overlays/{overlay}"), *objects]) == []


def core_version(thing):
    return core_problem(thing, OLDEST) or core_problem(thing, NEWEST)


@needs_kubectl
def test_a_queued_search_asks_for_nothing_that_its_queue_does_not_count_and_fits_into_it():
    objects = rendered("overlays/prod-gpu-kueue")
    changes = ("search.gpus_per_trial=1", "search.concurrency=8")
    _, job = render(load_for_kubernetes(CONFIG, changes), settings_of("prod-gpu-kueue"))
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "searches"
    (group,) = one(objects, "ClusterQueue", "neurosearch")["spec"]["resourceGroups"]
    (workers,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    requests = workers["template"]["spec"]["containers"][0]["resources"]["requests"]
    assert sorted(requests) == sorted(group["coveredResources"])
    quotas = {each["name"]: each["nominalQuota"] for each in group["flavors"][1]["resources"]}
    amounts = {name: number(value) * workers["replicas"] for name, value in requests.items()}
    assert all(amounts[name] <= number(quotas[name]) for name in amounts)


def number(quantity):
    return int(str(quantity).removesuffix("Gi"))


def test_a_retried_search_goes_on_where_its_storage_has_it():
    _, job = render(load_for_kubernetes(CONFIG, ()), dev())
    assert job["spec"]["entrypoint"].split()[:2] == ["neurosearch", "search"]
    assert "--resume" in job["spec"]["entrypoint"].split()
    assert "--retried" in job["spec"]["entrypoint"].split()
    assert job["spec"]["backoffLimit"] > 0
    assert job["metadata"]["name"] == job_name("digits")


def dev():
    return read_settings((HERE / "overlays/dev/cluster.yaml").read_text("utf-8"), "n:ray2.60.0", "cluster.yaml")
