"""What the submitter's role gives: what our commands and those that they print ask for, and what the page says."""

import shlex

import pytest

from neurosearch.cli.kubernetes import standing_report, submitted
from neurosearch.cluster.memory_kubectl import MemoryKubectl
from neurosearch.cluster.pods import SECRETS
from tests.cluster.kubernetes_settings import IMAGE, PLAIN, TEXT
from tests.k8s.manifests import OVERLAYS, needs_kubectl, one, rendered
from tests.k8s.page import rows

pytestmark = needs_kubectl
#: What kubectl asks the API server for on the way, by its command and the kind of what it names.
ASKED = {
    ("logs", "job"): {("get", "jobs.batch"), ("list", "pods"), ("get", "pods"), ("get", "pods/log")},
    ("port-forward", "service"): {
        ("get", "services"),
        ("list", "pods"),
        ("get", "pods"),
        ("create", "pods/portforward"),
        ("get", "pods/portforward"),
    },
}


def granted(overlay):
    rules = one(rendered(f"overlays/{overlay}"), "Role", "search-submitter")["rules"]
    return {
        (verb, f"{resource}.{group}".rstrip("."))
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_submitter_may_do_what_the_page_says(overlay):
    stated = {(verb, what) for verbs, whats in rows("may") for verb in verbs.split(", ") for what in whats.split(", ")}
    assert granted(overlay) == stated


def test_a_submitter_may_run_the_commands_that_submit_and_status_print(tmp_path):
    (tmp_path / "a.yaml").write_text(PLAIN)
    kubectl = MemoryKubectl(SECRETS)
    data = {"cluster.yaml": TEXT, "image": IMAGE}
    kubectl.put({"kind": "ConfigMap", "metadata": {"name": "neurosearch"}, "data": data})
    said = list(submitted(tmp_path / "a.yaml", (), "neurosearch", dry_run=False, kubectl=kubectl).next)
    kubectl.objects["rayjob", "search-a"]["status"] = {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}
    said += standing_report("a", "neurosearch", kubectl).next
    printed = [shlex.split(line) for line in said if line.startswith("kubectl ")]
    commands = [[word for word in words[1:] if not word.startswith("-")] for words in printed]
    asked = {(command, what.partition("/")[0]) for command, what, *_ in commands}
    assert asked == {("logs", "job"), ("port-forward", "service")}
    assert set().union(*(ASKED[each] for each in asked)) <= granted("dev")
