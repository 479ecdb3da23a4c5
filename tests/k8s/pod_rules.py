"""The rules that every rendered pod keeps: each check yields what breaks it, in words."""

import re

from tests.k8s.manifests import containers

_PINNED = re.compile(r"[^:@]+:(?!latest)[\w][\w.-]*\d[\w.-]*(@sha256:[0-9a-f]{64})?|[^@]+@sha256:[0-9a-f]{64}")
_SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|_KEY|CREDENTIAL", re.IGNORECASE)
_RESOURCES = ("cpu", "memory", "ephemeral-storage")
_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
_OF_THE_NODE = ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace")


def pod_problems(template):
    """Yield what is wrong with a pod template."""
    spec = template["spec"]
    if not template.get("metadata", {}).get("labels", {}).get("app.kubernetes.io/component"):
        yield "has no label app.kubernetes.io/component, by which network policies know it"
    yield from (f"{field} is set" for field in _OF_THE_NODE if spec.get(field))
    yield from _account_problems(template)
    security = spec.get("securityContext", {})
    if not security.get("runAsNonRoot") or not security.get("runAsUser"):
        yield "may run as root"
    if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "has no seccomp profile"
    yield from _volume_problems(spec)
    names = [container["name"] for _, container in containers(template)]
    yield from (f"has two containers {name}" for name in set(names) if names.count(name) > 1)
    for is_init, container in containers(template):
        found = container_problems(container, spec, template.claims, is_init=is_init)
        yield from (f"{container['name']}: {each}" for each in found)


def container_problems(container, pod, claims=(), *, is_init):
    """Yield what is wrong with a container of a pod that claims volumes of these names."""
    yield from _security_problems(container.get("securityContext", {}))
    if not _PINNED.fullmatch(container.get("image", "")):
        yield f"image {container.get('image')} is not pinned"
    if container.get("imagePullPolicy") not in ("IfNotPresent", "Always"):
        yield "has no pull policy"
    for kind in ("requests", "limits"):
        amounts = container.get("resources", {}).get(kind, {})
        yield from (f"has no {kind} of {name}" for name in _RESOURCES if name not in amounts)
    if not is_init and pod.get("restartPolicy", "Always") == "Always":
        yield from (f"has no {probe}" for probe in _PROBES if probe not in container)
    for variable in container.get("env", ()):
        if _SECRET_NAME.search(variable["name"]) and "valueFrom" not in variable and not _refers(variable["value"]):
            yield f"{variable['name']} holds its value in the manifest"
    yield from (
        f"takes port {port['hostPort']} of its node" for port in container.get("ports", ()) if "hostPort" in port
    )
    volumes = {volume["name"] for volume in pod.get("volumes", ())} | set(claims)
    mounted = {mount["name"] for mount in container.get("volumeMounts", ())}
    yield from (f"mounts {name}, which is no volume of its pod" for name in sorted(mounted - volumes))


def _security_problems(security):
    if security.get("allowPrivilegeEscalation") is not False or security.get("privileged"):
        yield "may gain privileges"
    if security.get("readOnlyRootFilesystem") is not True:
        yield "can write its root file system"
    if security.get("capabilities") != {"drop": ["ALL"]}:
        yield "keeps capabilities"
    # KubeRay copies a container's context, and not the pod's, into the init container that it adds.
    if security.get("runAsNonRoot") is not True or security.get("runAsUser") == 0:
        yield "does not itself refuse to run as root"
    if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "has no seccomp profile of its own"


def _account_problems(template):
    spec = template["spec"]
    if spec.get("serviceAccountName", "default") == "default":
        yield "runs as the namespace's default account"
    # The head of an autoscaled cluster alone asks the API server for anything: its sidecar, for workers.
    if spec.get("automountServiceAccountToken") is not False and not template.autoscaled:
        yield "gets a service account's token that it does not need"
    if spec.get("enableServiceLinks") is not False:
        yield "gets every service's address as environment variables"


def _refers(value):
    """Tell whether a value holds no secret itself: a file's path, or other variables."""
    return value.startswith("/") or not re.sub(r"\$\(\w+\)|[\",]", "", value) or value in ("true", "false")


def _volume_problems(spec):
    for volume in spec.get("volumes", ()):
        if "hostPath" in volume:
            yield f"volume {volume['name']} is a folder of its node"
        if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
            yield f"volume {volume['name']} may fill its node's disk"
        if "secret" in volume and volume["secret"].get("defaultMode", 0o644) & 0o007:
            yield f"every process of the pod can read volume {volume['name']}"
