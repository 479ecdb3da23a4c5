import pytest
import yaml
from ruamel.yaml import YAML

from neurosearch.cluster.errors import ClusterError
from neurosearch.cluster.pods import SECRETS
from neurosearch.cluster.ray_job import (
    job_name,
    load_for_kubernetes,
    on_cluster,
    render,
    standing_cluster,
    to_text,
)
from neurosearch.cluster.settings import read_settings
from neurosearch.config.base import ConfigError
from neurosearch.config.yaml_source import parse_yaml
from neurosearch.search import ray_cluster
from tests.cluster.kubernetes_settings import IMAGE, PLAIN, TEXT, settings


def loaded(tmp_path, text=PLAIN, *changes):
    file = tmp_path / "a.yaml"
    file.write_text(text)
    return load_for_kubernetes(file, changes)


def stored(study):
    return on_cluster(study, settings()).study


def test_a_config_that_does_not_say_is_kept_and_tracked_by_the_cluster(tmp_path):
    found = stored(loaded(tmp_path))
    assert found.storage.database == "postgresql://studies@postgres:5432/studies"
    assert (found.storage.artifacts, found.storage.s3.endpoint) == ("s3://trials/studies", "http://s3:9000")
    assert (found.storage.folder, found.tracking.uri) == ("/scratch/runs", "http://mlflow:5000")


def test_a_config_that_says_is_kept_where_it_says(tmp_path):
    text = PLAIN + "storage: {database: 'postgresql://ann@db/own', artifacts: 's3://own/studies'}\n"
    found = stored(loaded(tmp_path, text + "tracking: {uri: 'https://own.example'}\n"))
    assert (found.storage.database, found.tracking.uri) == ("postgresql://ann@db/own", "https://own.example")
    assert (found.storage.artifacts, found.storage.s3.endpoint) == ("s3://own/studies", None)


def test_a_null_such_as_a_studys_own_config_has_says_nothing(tmp_path):
    text = PLAIN + "storage: {database: null, artifacts: null}\ntracking: {uri: null}\n"
    assert stored(loaded(tmp_path, text)) == stored(loaded(tmp_path))


def test_the_config_that_the_pods_read_is_the_rendered_one(tmp_path):
    config_map, job = render(loaded(tmp_path), settings())
    volumes = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["volumes"]
    assert {"configMap": {"name": config_map["metadata"]["name"]}, "name": "config"} in volumes
    values = parse_yaml(config_map["data"]["study.yaml"], "study.yaml").values
    assert values == on_cluster(loaded(tmp_path), settings()).to_mapping()


def test_only_the_head_holds_the_databases_password_and_tells_mlflow(tmp_path):
    _, job = render(loaded(tmp_path), settings())
    spec = job["spec"]["rayClusterSpec"]
    assert secrets_of(spec["headGroupSpec"]["template"]) == {"study-database", "mlflow-client", "s3-trials"}
    assert secrets_of(spec["workerGroupSpecs"][0]["template"]) == {"s3-trials"}
    assert secrets_of(job["spec"]["submitterPodTemplate"]) == set()
    assert {"study-database", "mlflow-client", "s3-trials", "ray-auth"} == set(SECRETS)


def secrets_of(template):
    spec = template["spec"]
    named = [each["valueFrom"]["secretKeyRef"]["name"] for each in spec["containers"][0]["env"] if "valueFrom" in each]
    return {*named, *(volume["secret"]["secretName"] for volume in spec["volumes"] if "secret" in volume)}


def test_with_autoscaling_workers_begin_at_none_and_without_it_all_are_there(tmp_path):
    study = loaded(tmp_path, PLAIN, "search.concurrency=20")
    (fixed,) = render(study, settings())[1]["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    (scaled,) = render(study, settings("autoscaling: true"))[1]["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert [fixed[name] for name in ("minReplicas", "replicas", "maxReplicas")] == [3, 3, 3]
    assert [scaled[name] for name in ("minReplicas", "replicas", "maxReplicas")] == [0, 0, 3]


def test_with_autoscaling_the_driver_knows_which_nodes_may_come(tmp_path, monkeypatch):
    study = loaded(tmp_path, PLAIN, "search.gpus_per_trial=2", "search.cpus_per_trial=9")
    (said,) = growing(render(study, settings("autoscaling: true"))[1]["spec"]["rayClusterSpec"])
    assert said == {"name": "NEUROSEARCH_MAY_GROW", "value": "cpu=16,gpu=2,memory=60Gi"}
    monkeypatch.setattr(ray_cluster, "_nodes", lambda: [{"memory": 1.0}])  # the head alone, without a CPU for trials
    monkeypatch.setenv(said["name"], said["value"])
    ray_cluster.check_resources(ray_cluster.Workers(1, 9.0, 2.0, "auto"))


def test_without_autoscaling_nothing_is_said_to_come(tmp_path):
    assert growing(render(loaded(tmp_path), settings())[1]["spec"]["rayClusterSpec"]) == []
    assert growing(standing_cluster(settings())["spec"]) == []
    assert settings().may_grow == ""


def test_the_head_of_a_cluster_that_stays_reads_what_may_come_from_its_overlay():
    scaled = settings("autoscaling: true")
    (said,) = growing(standing_cluster(scaled)["spec"])
    assert said["valueFrom"] == {"configMapKeyRef": {"key": "may-grow", "name": "neurosearch"}}
    assert scaled.may_grow == "cpu=8,memory=28Gi;cpu=16,gpu=2,memory=60Gi"


def test_configs_may_name_the_operators_certificates_and_what_lies_in_the_heads_own_folder():
    own = TEXT.replace("path_style: true", "path_style: true, ca_bundle: /etc/ssl/own.pem")
    for text, roots in ((TEXT, "/scratch"), (own, "/scratch:/etc/ssl/own.pem")):
        spec = standing_cluster(read_settings(text, IMAGE, "cluster.yaml"))["spec"]
        (head,) = spec["headGroupSpec"]["template"]["spec"]["containers"]
        assert {"name": "NEUROSEARCH_DATA_ROOTS", "value": roots} in head["env"]


def growing(spec):
    (head,) = spec["headGroupSpec"]["template"]["spec"]["containers"]
    return [each for each in head["env"] if each["name"] == "NEUROSEARCH_MAY_GROW"]


def test_a_cluster_that_stays_holds_no_gpu_at_rest():
    cpu, gpu = standing_cluster(settings())["spec"]["workerGroupSpecs"]
    assert (cpu["replicas"], gpu["replicas"], gpu["maxReplicas"]) == (1, 0, 2)
    limits = gpu["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert (limits["nvidia.com/gpu"], gpu["rayStartParams"]["num-gpus"]) == ("2", "2")
    tolerated = {"key": "nvidia.com/gpu", "effect": "NoSchedule", "operator": "Exists"}
    assert gpu["template"]["spec"]["tolerations"] == [tolerated]


def test_the_longest_name_of_a_study_still_fits():
    assert len(job_name("a" * 40)) == 47


def test_a_name_that_is_too_long_is_refused_with_the_length_that_fits():
    with pytest.raises(ClusterError, match="has 48 characters; KubeRay allows 47. Shorten the study's name to 40"):
        job_name("a" * 41)


def test_a_name_that_is_no_name_is_refused():
    with pytest.raises(ClusterError, match="Use lower case letters, digits and dashes"):
        job_name("Tiger")


def test_a_file_of_this_machine_is_refused_with_its_line_and_the_remedy(tmp_path):
    text = PLAIN.replace("{kind: digits}", "{kind: npz, path: mine.npz}")
    with pytest.raises(ConfigError, match="a.yaml:2: data.path: mine.npz is a file of this machine.*Put it on S3"):
        loaded(tmp_path, text)


def test_weights_in_a_file_are_refused_without_advice_that_cannot_work(tmp_path):
    with pytest.raises(ConfigError, match="model.weights: mine.safetensors is a file of this machine.*Leave it out"):
        loaded(tmp_path, PLAIN, "model.weights=mine.safetensors")


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("data.s3.ca_bundle", PLAIN.replace("{kind: digits}", "{kind: npz, path: 's3://mine/x.npz', s3: S3}")),
        ("storage.s3.ca_bundle", PLAIN + "storage: {artifacts: 's3://own/studies', s3: S3}\n"),
    ],
)
def test_certificates_are_those_of_the_pods(tmp_path, field, text):
    with pytest.raises(ConfigError, match=rf"{field}: 'own.pem' is a file of this machine.*mounted into every Ray pod"):
        loaded(tmp_path, text.replace("S3", "{ca_bundle: own.pem}"))
    found = stored(loaded(tmp_path, text.replace("S3", "{ca_bundle: /etc/ssl/own.pem}")))
    assert found.storage.artifacts is not None


def test_data_on_s3_needs_no_file(tmp_path):
    text = PLAIN.replace("{kind: digits}", "{kind: npz, path: 's3://mine/data.npz'}")
    assert render(loaded(tmp_path, text), settings())


def test_a_database_in_a_file_is_refused_for_a_new_cluster_would_not_find_it(tmp_path):
    study = loaded(tmp_path, PLAIN + "storage: {database: 'sqlite:///studies.db'}\n")
    with pytest.raises(ClusterError, match="goes away with its pod. Leave it out, and the cluster's is taken"):
        render(study, settings())


def test_what_is_printed_reads_back_as_it_was(tmp_path):
    objects = render(loaded(tmp_path), settings())
    assert list(YAML(typ="safe", pure=True).load_all(to_text(objects))) == objects
    assert "\n    name: a\n" in to_text(objects)


@pytest.mark.parametrize(
    "text", ["n", "Yes", "off", "null", "1:30", "0x1F", "1e3", "-", "2.60.0", "no\nyes\n", "~", "a: b", "#"]
)
def test_kubectl_which_reads_older_yaml_reads_texts_as_texts(text):
    assert yaml.safe_load(to_text([{"a": text}])) == {"a": text}
