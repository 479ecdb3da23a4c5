"""What docs/kubernetes.md says of secrets and of the cost at rest."""

import json
from fractions import Fraction

import pytest
from ruamel.yaml import YAML

from k8s.make_secrets import drawn, main, manifest
from neurosearch.cluster.pods import SECRETS
from neurosearch.cluster.ray_job import load_for_kubernetes, on_cluster
from tests.k8s.manifests import JOB, OVERLAYS, containers, needs_kubectl, one, pod_templates, rendered, spec_of_cluster
from tests.k8s.page import PAGE, rows
from tests.k8s.test_jobs import CONFIG, dev

UNITS = {"m": Fraction(1, 1000), "Mi": Fraction(1, 1024), "Gi": Fraction(1), "": Fraction(1)}


def amount(quantity):
    """Return a quantity in cores, or in GiB."""
    number = str(quantity).rstrip("mMGi")
    return Fraction(number) * UNITS[str(quantity)[len(number) :]]


def at_rest(objects):
    """Return cores, GiB of memory and GiB of volumes that are asked for while no search runs."""
    cpus = memory = volumes = Fraction(0)
    for thing in objects:
        if thing["kind"] == "PersistentVolumeClaim":
            volumes += amount(thing["spec"]["resources"]["requests"]["storage"])
        for claim in thing.get("spec", {}).get("volumeClaimTemplates", ()):
            volumes += amount(claim["spec"]["resources"]["requests"]["storage"])
        if thing["kind"] == "Job":
            continue
        groups = {each["groupName"]: each["replicas"] for each in workers(thing)}
        for where, template in pod_templates(thing):
            in_group = ".workerGroupSpecs." in where
            copies = groups[where.split(".")[-2]] if in_group else thing["spec"].get("replicas", 1)
            for is_init, container in containers(template):
                if not is_init:
                    requests = container["resources"]["requests"]
                    cpus += copies * amount(requests["cpu"])
                    memory += copies * amount(requests["memory"])
        if (spec_of_cluster(thing) or {}).get("enableInTreeAutoscaling"):
            sidecar = spec_of_cluster(thing)["autoscalerOptions"]["resources"]["requests"]
            cpus, memory = cpus + amount(sidecar["cpu"]), memory + amount(sidecar["memory"])
    return cpus, memory, volumes


def workers(thing):
    return (spec_of_cluster(thing) or {}).get("workerGroupSpecs", ())


@needs_kubectl
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_cost_at_rest_is_what_pods_ask_for(overlay):
    (stated,) = [row[1:] for row in rows("overlay") if row[0] == f"`{overlay}`" and "GiB" in row[2]]
    cpus, memory, volumes = at_rest(rendered(f"overlays/{overlay}"))
    assert stated == (f"{float(cpus):g}", f"{float(memory):g} GiB", f"{float(volumes):g} GiB" if volumes else "none")


def test_the_secrets_that_are_made_are_those_that_the_page_lists():
    made = manifest(drawn(), "neurosearch", "postgres:5432/mlflow")["items"]
    keys = {each["metadata"]["name"]: sorted(each["stringData"]) for each in made}
    stated = {name.strip("`"): sorted(words.replace("`", "").split(", ")) for name, words, _ in rows("secret")}
    assert keys == stated
    assert {name: sorted(words) for name, words in SECRETS.items()}.items() <= keys.items()


@needs_kubectl
@pytest.mark.parametrize("folder", [*(f"overlays/{name}" for name in OVERLAYS), JOB])
def test_every_secret_that_a_pod_names_is_made_with_that_key(folder):
    made = manifest(drawn(), "neurosearch", "postgres:5432/mlflow")["items"]
    keys = {(each["metadata"]["name"], key) for each in made for key in each["stringData"]}
    assert set(named_secrets(rendered(folder))) <= keys


def named_secrets(objects):
    """Yield (secret, key) that pods name; a key that a volume has not where a variable wants its file is None."""
    for thing in objects:
        for _, template in pod_templates(thing):
            volumes = {each["name"]: each["secret"] for each in template["spec"].get("volumes", ()) if "secret" in each}
            for secret in volumes.values():
                yield from ((secret["secretName"], item["key"]) for item in secret.get("items", ()))
            for _, container in containers(template):
                for variable in container.get("env", ()):
                    if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                        yield reference["name"], reference["key"]
                for mount in container.get("volumeMounts", ()):
                    if mount["name"] in volumes:
                        yield from files_of(volumes[mount["name"]], mount["mountPath"], container)


def files_of(secret, folder, container):
    """Yield (secret, key) of every file below a mounted secret's folder that the container's variables name."""
    keys = {item["path"]: item["key"] for item in secret["items"]} if "items" in secret else None
    values = [variable.get("value", "") for variable in container.get("env", ())]
    names = [value.removeprefix(f"{folder}/") for value in values if value.startswith(f"{folder}/")]
    assert names, f"nobody reads {folder}"
    yield from ((secret["secretName"], name if keys is None else keys.get(name)) for name in names)


def password_file(objects):
    (head,) = [each for where, each in pod_templates(one(objects, "RayCluster", "ray")) if "headGroupSpec" in where]
    (container,) = head["spec"]["containers"]
    (variable,) = [each for each in container["env"] if each["name"] == "NEUROSEARCH_DATABASE_PASSWORD_FILE"]
    return variable


@needs_kubectl
def test_a_file_that_a_mounted_secret_has_not_is_found():
    objects = rendered("overlays/dev")
    assert ("study-database", "password") in set(named_secrets(objects))
    password_file(objects)["value"] += "-of-studies"
    assert ("study-database", "password-of-studies") in set(named_secrets(objects))


def test_every_secret_is_drawn_anew_and_taken_from_the_environment_where_it_is_set(monkeypatch):
    one, other = drawn(), drawn()
    assert all(one[name] != other[name] for name in one)
    monkeypatch.setenv("MLFLOW_DATABASE_PASSWORD", "tiger & 50 %")
    made = {each["metadata"]["name"]: each["stringData"] for each in manifest(drawn(), "n", "db:1/m")["items"]}
    assert made["mlflow-server"]["backend-uri"] == "postgresql+pg8000://mlflow:tiger%20%26%2050%20%25@db:1/m"
    assert "mlflow:tiger%%20%%26%%2050%%20%%25@db" in made["mlflow-server"]["auth.ini"]


def printed(capsys, *only):
    main([word for name in only for word in ("--only", name)])
    return {each["metadata"]["name"]: each["stringData"] for each in json.loads(capsys.readouterr().out)["items"]}


def test_one_secret_is_made_alone_and_agrees_with_those_that_stay(capsys, monkeypatch):
    monkeypatch.delenv("MLFLOW_DATABASE_PASSWORD", raising=False)
    assert printed(capsys, "ray-auth").keys() == {"ray-auth"}
    both = printed(capsys, "mlflow-server", "postgres-dev")
    assert f":{both['postgres-dev']['mlflow-password']}@" in both["mlflow-server"]["backend-uri"]
    with pytest.raises(SystemExit):
        printed(capsys, "mlflow-server")
    told = capsys.readouterr()
    assert (told.out, "stands in postgres-dev, too, which is not printed" in told.err) == ("", True)
    monkeypatch.setenv("MLFLOW_DATABASE_PASSWORD", "tiger")
    assert ":tiger@" in printed(capsys, "mlflow-server")["mlflow-server"]["backend-uri"]


def test_a_name_that_is_no_secrets_is_told(capsys):
    with pytest.raises(SystemExit):
        printed(capsys, "ray-token")
    assert "invalid choice: 'ray-token'" in capsys.readouterr().err


def test_the_way_from_an_empty_cluster_takes_ten_commands():
    block = PAGE.read_text("utf-8").split("```")[1].removeprefix("sh\n")
    assert len([line for line in block.splitlines() if line and not line.startswith(" ")]) == 10


def test_a_search_on_the_cluster_that_stays_is_kept_where_one_with_a_cluster_of_its_own_is():
    (block,) = [each.removeprefix("yaml\n") for each in PAGE.read_text("utf-8").split("```") if each.startswith("yaml")]
    stated = YAML(typ="safe", pure=True).load(block)
    kept = on_cluster(load_for_kubernetes(CONFIG, ()), dev()).to_mapping()
    assert stated == {name: kept[name] for name in ("storage", "tracking")}
