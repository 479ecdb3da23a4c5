"""All rules over objects that are applied together."""

from tests.k8s.manifests import pod_templates
from tests.k8s.pod_rules import pod_problems
from tests.k8s.ray_rules import kueue_problems, ray_problems


def problems(objects):
    """Return everything that is wrong with objects that are applied together."""
    found = []
    for thing in objects:
        name = f"{thing['kind']}/{thing['metadata']['name']}"
        for where, template in pod_templates(thing):
            found += [f"{where}: {each}" for each in pod_problems(template)]
        found += [f"{name}: {each}" for each in ray_problems(thing)]
        found += [f"{name}: {each}" for each in kueue_problems(thing, objects)]
    return [*found, *_missing(objects)]


def _missing(objects):
    """Yield what pods name and nobody makes."""
    made = {(each["kind"], each["metadata"]["name"]) for each in objects}
    for thing in objects:
        for where, template in pod_templates(thing):
            account = template["spec"].get("serviceAccountName")
            if ("ServiceAccount", account) not in made:
                yield f"{where}: there is no account {account}"
            for volume in template["spec"].get("volumes", ()):
                name = volume.get("configMap", {}).get("name")
                if name and ("ConfigMap", name) not in made:
                    yield f"{where}: there is no ConfigMap {name}"
