"""Every rule notices what it is there for: one thing is broken at a time."""

import pytest

from tests.k8s.manifests import JOB, needs_kubectl, one, rendered
from tests.k8s.reachability import table
from tests.k8s.rules import problems
from tests.k8s.schemas import NEWEST, core_problem, custom_problem, needs_definitions

pytestmark = needs_kubectl


def everything():
    return [*rendered("overlays/prod-gpu"), *rendered(JOB)]


def mlflow(objects):
    return one(objects, "Deployment", "mlflow")["spec"]["template"]["spec"]


def cluster(objects):
    return one(objects, "RayCluster", "ray")["spec"]


def job(objects):
    return one(objects, "RayJob", "search-digits")


def worker(objects):
    return cluster(objects)["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]


def submitter(objects):
    return job(objects)["spec"]["submitterPodTemplate"]["spec"]


BROKEN = {
    "an init container as root": (
        lambda made: mlflow(made)["initContainers"][0]["securityContext"].update(runAsNonRoot=False),
        "does not itself refuse to run as root",
    ),
    "a worker that writes its root file system": (
        lambda made: worker(made)["securityContext"].pop("readOnlyRootFilesystem"),
        "can write its root file system",
    ),
    "a kept capability": (
        lambda made: submitter(made)["containers"][0]["securityContext"].update(capabilities={"add": ["NET_RAW"]}),
        "keeps capabilities",
    ),
    "no seccomp profile": (lambda made: mlflow(made)["securityContext"].pop("seccompProfile"), "no seccomp profile"),
    "no limit of memory": (
        lambda made: worker(made)["resources"]["limits"].pop("memory"),
        "has no limits of memory",
    ),
    "no liveness probe": (lambda made: worker(made).pop("livenessProbe"), "has no livenessProbe"),
    "a token that nobody needs": (
        lambda made: submitter(made).update(automountServiceAccountToken=True),
        "token that it does not need",
    ),
    "an image that changes": (
        lambda made: mlflow(made)["containers"][0].update(image="neurosearch:latest"),
        "is not pinned",
    ),
    "a password in the manifest": (
        lambda made: worker(made)["env"].append({"name": "DATABASE_PASSWORD", "value": "tiger"}),
        "DATABASE_PASSWORD holds its value",
    ),
    "a folder of the node": (
        lambda made: mlflow(made)["volumes"].append({"name": "node", "hostPath": {"path": "/"}}),
        "is a folder of its node",
    ),
    "the node's network": (lambda made: submitter(made).update(hostNetwork=True), "hostNetwork is set"),
    "a disk without a bound": (
        lambda made: mlflow(made)["volumes"][0].update(emptyDir={}),
        "may fill its node's disk",
    ),
    "a mount without a volume": (
        lambda made: worker(made)["volumeMounts"].append({"name": "data", "mountPath": "/data"}),
        "mounts data, which is no volume",
    ),
    "an account that nobody makes": (
        lambda made: mlflow(made).update(serviceAccountName="other"),
        "there is no account other",
    ),
    "a config that nobody makes": (
        lambda made: made.remove(one(made, "ConfigMap", "search-digits")),
        "there is no ConfigMap search-digits",
    ),
    "no token for Ray": (lambda made: cluster(made).pop("authOptions"), "authOptions.mode is not token"),
    "another Ray in the image": (
        lambda made: job(made)["spec"]["rayClusterSpec"].update(rayVersion="2.58.0"),
        "rayVersion is 2.58.0, but the image is",
    ),
    "trials on the head": (
        lambda made: cluster(made)["headGroupSpec"]["rayStartParams"].pop("num-cpus"),
        "trials would run on the head",
    ),
    "an alpha gate": (lambda made: cluster(made).update(tlsOptions={"enabled": True}), "tlsOptions is refused"),
    "a name too long": (
        lambda made: job(made)["metadata"].update(name="search-" + "d" * 41),
        "KubeRay takes no name search-ddd",
    ),
    "a name with a digit first": (lambda made: job(made)["metadata"].update(name="3d"), "KubeRay takes no name 3d"),
    "a cluster that stays after its job": (
        lambda made: job(made)["spec"].update(shutdownAfterJobFinishes=False),
        "shutdownAfterJobFinishes is not set",
    ),
    "a retry that starts anew": (
        lambda made: job(made)["spec"].update(entrypoint="neurosearch search study.yaml"),
        "its entrypoint does not resume",
    ),
    "a retry of what cannot succeed": (
        lambda made: job(made)["spec"].update(entrypoint="neurosearch search study.yaml --resume"),
        "asks for one where that is in vain",
    ),
    "replicas out of order": (
        lambda made: cluster(made)["workerGroupSpecs"][0].update(replicas=99),
        "minReplicas, replicas and maxReplicas are not in order",
    ),
    "a pod that restarts under the autoscaler": (
        lambda made: cluster(made)["headGroupSpec"]["template"]["spec"].update(restartPolicy="Always"),
        "restartPolicy must be Never",
    ),
    "an autoscaler without limits": (
        lambda made: cluster(made)["autoscalerOptions"].pop("resources"),
        "autoscaler: has no limits of cpu",
    ),
    "a queue that nobody makes, with autoscaling": (
        lambda made: one(made, "RayCluster", "ray")["metadata"]["labels"].update({"kueue.x-k8s.io/queue-name": "q"}),
        "Kueue and autoscaling together need an alpha gate",
    ),
    "a number that is no text": (
        lambda made: cluster(made)["headGroupSpec"]["rayStartParams"].update(port=6379),
        "rayStartParams are texts",
    ),
    "what KubeRay sets itself": (
        lambda made: worker(made)["env"].append({"name": "RAY_ADDRESS", "value": "auto"}),
        "KubeRay sets RAY_ADDRESS itself",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_told(name):
    objects = everything()
    assert problems(objects) == []
    breaks, words = BROKEN[name]
    breaks(objects)
    found = problems(objects)
    assert [each for each in found if words in each], found


@needs_definitions
@pytest.mark.parametrize("kind", ["RayCluster", "RayJob"])
def test_a_field_that_a_custom_resource_does_not_have_is_told(kind):
    thing = next(each for each in everything() if each["kind"] == kind)
    (thing["spec"] if kind == "RayCluster" else thing["spec"]["rayClusterSpec"])["headGroupSpec"]["colour"] = "red"
    assert "colour" in custom_problem(thing)


def test_a_field_that_kubernetes_does_not_have_is_told():
    objects = everything()
    mlflow(objects)["containers"][0]["colour"] = "red"
    assert "colour" in core_problem(one(objects, "Deployment", "mlflow"), NEWEST)


def test_a_policy_too_many_opens_a_way_that_the_table_shows():
    objects = everything()
    assert ("ray-worker", "mlflow") not in table(objects)
    for policy in [each for each in objects if each["kind"] == "NetworkPolicy"]:
        if policy["metadata"]["name"] in ("mlflow", "ray-worker"):
            way, peer = ("ingress", "from") if policy["metadata"]["name"] == "mlflow" else ("egress", "to")
            rule = {peer: [{"podSelector": {}}], "ports": [{"protocol": "TCP", "port": 5000}]}
            policy["spec"][way].append(rule)
    assert table(objects)["ray-worker", "mlflow"] == ["5000"]
