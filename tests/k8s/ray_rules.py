"""What KubeRay 1.7 refuses, and what would not work with it: each check yields what breaks it, in words."""

import re

from tests.k8s.manifests import spec_of_cluster
from tests.k8s.pod_rules import container_problems

_LABEL_1035 = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
#: KubeRay writes these into Ray's containers itself.
_INJECTED = {"RAY_CLUSTER_NAME", "RAY_CLUSTER_NAMESPACE", "RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_ENABLE_K8S_TOKEN_AUTH"}
_ALPHA = ("networkPolicy", "tlsOptions", "gcsFaultToleranceOptions", "historyServerOptions")


def ray_problems(thing):
    """Yield what is wrong with a RayCluster or a RayJob; nothing with any other object."""
    spec = spec_of_cluster(thing)
    if spec is None:
        return
    name, job = thing["metadata"]["name"], thing["kind"] == "RayJob"
    if len(name) > (47 if job else 53) or not _LABEL_1035.fullmatch(name):
        yield f"KubeRay takes no name {name}: at most {47 if job else 53} letters, digits, dashes, a letter first"
    yield from _authentication_problems(spec)
    yield from (f"{field} is refused unless an alpha gate is open" for field in _ALPHA if field in spec)
    scales = spec.get("enableInTreeAutoscaling", False)
    for group, fields in _groups(spec):
        yield from (f"{group}: {each}" for each in _group_problems(fields, spec.get("rayVersion"), scales=scales))
    for fields in spec["workerGroupSpecs"]:
        yield from (f"{fields['groupName']}: {each}" for each in _worker_problems(fields, scales=scales))
    if spec["headGroupSpec"]["rayStartParams"].get("num-cpus") != "0":
        yield "trials would run on the head, beside the database's password"
    if scales:
        yield from (f"autoscaler: {each}" for each in _sidecar_problems(spec))
    if job:
        yield from _job_problems(thing["spec"])


def kueue_problems(thing, objects):
    """Yield why Kueue would not admit a search."""
    queue = thing["metadata"].get("labels", {}).get("kueue.x-k8s.io/queue-name")
    if queue is None:
        return
    if not thing["spec"].get("shutdownAfterJobFinishes"):
        yield "Kueue suspends jobs, which needs shutdownAfterJobFinishes"
    if spec_of_cluster(thing).get("enableInTreeAutoscaling"):
        yield "Kueue and autoscaling together need an alpha gate"
    queues = [each["metadata"]["name"] for each in objects if each["kind"] == "LocalQueue"]
    if queues and queue not in queues:
        yield f"there is no queue {queue}"


def _groups(spec):
    yield "head", spec["headGroupSpec"]
    yield from ((each["groupName"], each) for each in spec["workerGroupSpecs"])


def _authentication_problems(spec):
    options = spec.get("authOptions", {})
    if options.get("mode") != "token":
        yield "anyone who reaches it may run code: authOptions.mode is not token"
    if options.get("enableK8sTokenAuth"):
        yield "a RayJob takes no tokens of Kubernetes"
    if tuple(int(part) for part in spec.get("rayVersion", "0").split(".")) < (2, 52):
        yield "tokens need rayVersion 2.52 or newer"


def _group_problems(fields, version, *, scales):
    parameters = fields["rayStartParams"]
    pod = fields["template"]["spec"]
    first = pod["containers"][0]
    if any(not isinstance(value, str) for value in parameters.values()):
        yield "rayStartParams are texts"
    if "labels" in parameters or ("resources" in fields and parameters.keys() & {"num-cpus", "num-gpus", "memory"}):
        yield "rayStartParams and the group's own fields say the same"
    if "ray start" in " ".join([*first.get("command", ()), *first.get("args", ())]):
        yield "KubeRay would not start Ray with its own command"
    if clash := _INJECTED & {variable["name"] for variable in first.get("env", ())}:
        yield f"KubeRay sets {', '.join(sorted(clash))} itself"
    if scales and pod.get("restartPolicy", "Never") != "Never":
        yield "restartPolicy must be Never with the autoscaler v2"
    found = re.search(r"[:-]ray(\d+\.\d+\.\d+)", first["image"])
    if found is None or found[1] != version:
        yield f"rayVersion is {version}, but the image is {first['image']}"


def _worker_problems(fields, *, scales):
    if not scales and not {"minReplicas", "maxReplicas"} <= fields.keys():
        yield "must say minReplicas and maxReplicas"
    if not 0 <= fields.get("minReplicas", 0) <= fields.get("replicas", 0) <= fields.get("maxReplicas", 0):
        yield "minReplicas, replicas and maxReplicas are not in order"
    if fields.get("suspend"):
        yield "a suspended group needs an alpha gate"
    amounts = fields["template"]["spec"]["containers"][0].get("resources", {}).get("limits", {})
    for parameter, resource in (("num-cpus", "cpu"), ("num-gpus", "nvidia.com/gpu")):
        if fields["rayStartParams"].get(parameter) != amounts.get(resource):
            yield f"Ray is told other {parameter} than the pod has"


def _sidecar_problems(spec):
    """Yield what is wrong with the container that KubeRay adds to the head's pod for autoscaling."""
    options, pod = spec.get("autoscalerOptions", {}), spec["headGroupSpec"]["template"]["spec"]
    if options.get("version") != "v2":
        yield "has no version"
    filled = {"name": "autoscaler", "image": pod["containers"][0]["image"], **options}
    yield from container_problems(filled, {**pod, "restartPolicy": "Never"}, is_init=False)


def _job_problems(spec):
    if not spec.get("shutdownAfterJobFinishes"):
        yield "its cluster would stay after its end: shutdownAfterJobFinishes is not set"
    if spec.get("ttlSecondsAfterFinished", 0) < 0 or spec.get("backoffLimit", 0) < 0:
        yield "a count is negative"
    if spec.get("backoffLimit", 0) and "--resume" not in spec["entrypoint"].split():
        yield "a retry is a new cluster, and its entrypoint does not resume"
    if spec.get("backoffLimit", 0) and "--retried" not in spec["entrypoint"].split():
        yield "a retry is a new cluster, and its entrypoint asks for one where that is in vain"
    if "clusterSelector" in spec or spec.get("submissionMode") != "K8sJobMode":
        yield "a retried job needs a cluster of its own and K8sJobMode"
    submitter = spec["submitterPodTemplate"]["spec"]
    if submitter.get("restartPolicy") not in ("Never", "OnFailure"):
        yield "a Kubernetes job takes no pod that restarts always"
    if submitter["containers"][0].get("command"):
        yield "the submitter has a command of its own"
