"""What the manifests give PostgreSQL, S3, MLflow, Ray and a search is run for real, on this machine: it ends."""

import json
import re
import shutil
import subprocess
import tempfile
from base64 import b64encode
from contextlib import ExitStack
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from k8s.make_secrets import drawn, manifest
from tests import postgres, s3
from tests.k8s.manifests import JOB, needs_kubectl, one, rendered
from tests.k8s.pods import BIN, MACHINE, Node, wait_until
from tests.ray_cluster import free_ports

pytestmark = [
    pytest.mark.servers,
    pytest.mark.ray,
    pytest.mark.slow,
    needs_kubectl,
    pytest.mark.skipif(postgres.programs() is None, reason="PostgreSQL is not installed"),
    pytest.mark.skipif(s3.program() is None, reason="rclone, which serves S3, is not installed"),
]
#: Start parameters of Ray that name a port.
_PORTS = re.compile(r"(?!m(in|ax)-worker).*port")
_open = build_opener(ProxyHandler({})).open


@pytest.fixture(scope="module")
def objects():
    return [*rendered("overlays/dev"), *rendered(JOB)]


@pytest.fixture(scope="module")
def node(objects, tmp_path_factory):
    """The machine, with the database and the S3 server that the manifests make."""
    with ExitStack() as ends:
        server = postgres.Server()
        ends.callback(server.remove)
        made = manifest(drawn(), "neurosearch", f"127.0.0.1:{server.port}/mlflow")["items"]
        secrets = {each["metadata"]["name"]: each["stringData"] for each in made}
        config_maps = {each["metadata"]["name"]: each["data"] for each in objects if each["kind"] == "ConfigMap"}
        found = Node(tmp_path_factory.mktemp("node"), secrets, config_maps)
        found.short = tempfile.mkdtemp(prefix="ns-k8s-")  # sockets lie below, whose paths are limited
        ends.callback(shutil.rmtree, found.short)
        ends.callback(found.end)
        found.s3, found.mlflow = (f"http://127.0.0.1:{port}" for port in free_ports(2))
        found.places = {
            "postgres:5432": f"127.0.0.1:{server.port}",
            "http://s3:9000": found.s3,
            "--addr=:9000": f"--addr={urlsplit(found.s3).netloc}",
            "http://mlflow:5000": found.mlflow,
            "localhost:5000": urlsplit(found.mlflow).netloc,  # among the names that MLflow answers to
            "--port=5000": f"--port={urlsplit(found.mlflow).port}",
            "0.0.0.0": "127.0.0.1",
            "/scratch": found.folder / "work",
            "/data": found.folder / "data",
        }
        (found.folder / "work").mkdir()
        make_databases(objects, server, found)
        serve_s3(objects, found)
        yield found


def make_databases(objects, server, node):
    """Run the script that PostgreSQL's image runs once, as the user who owns the server."""
    spec = one(objects, "StatefulSet", "postgres")["spec"]["template"]["spec"]
    script = one(objects, "ConfigMap", "postgres-databases")["data"]["databases.sh"]
    environment = node.environment(
        spec["containers"][0], spec, POSTGRES_USER=postgres.OWNER, PGPASSWORD=postgres.PASSWORD
    )
    environment |= {"PGHOST": "127.0.0.1", "PGPORT": str(server.port)}
    environment["PATH"] += f":{postgres.programs()}"
    code, said = node.run(["sh", "-c", script], environment, "databases.log")
    assert code == 0, said


def serve_s3(objects, node):
    spec = one(objects, "Deployment", "s3")["spec"]["template"]["spec"]
    (node.folder / "data").mkdir()
    for container in spec["initContainers"]:
        code, said = node.run([s3.program(), *node.words(container, spec)], node.environment(container, spec), "s3.log")
        assert code == 0, said
    (container,) = spec["containers"]
    words = [s3.program(), *node.words(container, spec)]
    process = node.start(words, node.environment(container, spec), "s3-server.log")
    wait_until(lambda: answers(node.s3, "/") is not None, "S3", process, node.folder / "s3-server.log")


def answers(url, path, **headers):
    """Return the status of a request; None if nobody answers."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=5)
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()


@pytest.fixture(scope="module")
def mlflow(objects, node):
    """MLflow as its deployment starts it, after its tables were made by the job; returns its address."""
    job = one(objects, "Job", "mlflow-upgrade")["spec"]["template"]["spec"]
    pod = one(objects, "Deployment", "mlflow")["spec"]["template"]["spec"]
    (upgrade,), (server,) = job["containers"], pod["containers"]
    for container, spec in ((upgrade, job), *((each, pod) for each in pod["initContainers"])):
        code, said = node.run(
            node.words(container, spec), node.environment(container, spec), f"{container['name']}.log"
        )
        assert code == 0, said
    process = node.start(node.words(server, pod), node.environment(server, pod), "mlflow.log")
    path = server["startupProbe"]["httpGet"]["path"]
    # The kubelet asks by the pod's own address, which is none of the names that MLflow answers to.
    wait_until(
        lambda: answers(node.mlflow, path, Host="10.1.2.3:5000") == 200, "MLflow", process, node.folder / "mlflow.log"
    )
    return node.mlflow


@pytest.fixture(scope="module")
def ray(objects, node, mlflow):
    """The search's Ray cluster as KubeRay starts it: a head, and a worker; returns the head's ports by name."""
    spec = one(objects, "RayJob", "search-digits")["spec"]["rayClusterSpec"]
    (group,) = spec["workerGroupSpecs"]
    ports = start(node, spec, spec["headGroupSpec"], "head", ["--head"])
    node.ports = {"head": ports}
    address = f"127.0.0.1:{ports['port']}"
    node.ports["worker"] = start(node, spec, group, "worker", [f"--address={address}"])
    return ports


def start(node, spec, group, name, words):
    """Start one of Ray's pods by the command that KubeRay makes of its start parameters."""
    pod = group["template"]["spec"]
    parameters = group["rayStartParams"]
    named = [each for each in parameters if _PORTS.fullmatch(each)]
    ports = dict(zip(named, free_ports(len(named)), strict=True))
    values = {**parameters, **ports}
    if "dashboard-host" in values:
        values["dashboard-host"] = node.here(values["dashboard-host"], pod)
    flags = [f"--{each}" if value == "true" else f"--{each}={value}" for each, value in values.items()]
    temporary = ["--temp-dir", node.short] if name == "head" else []
    command = [str(BIN / "ray"), "start", *words, *flags, *temporary, "--node-ip-address=127.0.0.1", "--block"]
    environment = {**node.environment(pod["containers"][0], pod), **token(node, spec)}
    process = node.start(command, environment, f"{name}.log")
    probe = pod["containers"][0]["startupProbe"]["httpGet"]
    port = {each: ports[each] for each in ports if parameters[each] == str(probe["port"])}
    (port,) = port.values()
    up = lambda: answers(f"http://127.0.0.1:{port}", probe["path"]) == 200  # noqa: E731  # no token, as the kubelet
    wait_until(up, f"Ray's {name}", process, node.folder / f"{name}.log")
    return ports


def token(node, spec):
    """Return what KubeRay adds to the environment of Ray's containers and of the submitter."""
    options = spec["authOptions"]
    return {"RAY_AUTH_MODE": options["mode"], "RAY_AUTH_TOKEN": node.secrets[options["secretName"]]["auth_token"]}


@pytest.fixture(scope="module")
def searched(objects, node, ray):
    """The search, submitted as KubeRay's submitter does, to its end; returns the submitter's exit code and log."""
    job = one(objects, "RayJob", "search-digits")["spec"]
    pod = job["submitterPodTemplate"]["spec"]
    head = job["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    url = f"http://127.0.0.1:{ray['dashboard-port']}"
    entrypoint = node.here(job["entrypoint"], head).split()
    words = [
        str(BIN / "ray"),
        "job",
        "submit",
        "--address",
        url,
        "--submission-id",
        "search-digits-x",
        "--",
        *entrypoint,
    ]
    environment = {**node.environment(pod["containers"][0], pod), **token(node, job["rayClusterSpec"])}
    return node.run(words, environment, "submitter.log", seconds=400)


def test_the_search_ends_with_a_network(searched, node):
    code, said = searched
    assert code == 0, said[-6000:]
    facts = study(node)
    assert facts["budget"]["trials_used"] == 6
    assert facts["counts"].get("failed", 0) == 0
    assert facts["best"] is not None


def study(node, **environment):
    """Ask the study's own database how it stands, from a machine that has no file of it."""
    password = node.secrets["study-database"]["password"]
    address = node.here("postgresql://studies@postgres:5432/studies?sslmode=disable", {"containers": []})
    words = [str(BIN / "neurosearch"), "status", "digits", "--database", address, "--json"]
    given = {**MACHINE, "HOME": str(node.folder), "NEUROSEARCH_DATABASE_PASSWORD": password}
    done = subprocess.run(
        words, env={**given, **environment}, capture_output=True, text=True, check=True, cwd=node.folder
    )
    return json.loads(done.stdout)


def test_submitting_it_again_goes_on_with_the_study_that_is_there(searched, objects, node, ray):
    before = study(node)
    code, said = again(objects, node, ray)
    assert code == 0, said[-6000:]
    assert [each["number"] for each in study(node)["trials"]] == [each["number"] for each in before["trials"]]


def again(objects, node, ray):
    """Retry the job as KubeRay does: the same entrypoint under another id."""
    job = one(objects, "RayJob", "search-digits")["spec"]
    pod = job["submitterPodTemplate"]["spec"]
    head = job["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    words = [str(BIN / "ray"), "job", "submit", "--address", f"http://127.0.0.1:{ray['dashboard-port']}", "--"]
    environment = {**node.environment(pod["containers"][0], pod), **token(node, job["rayClusterSpec"])}
    return node.run([*words, *node.here(job["entrypoint"], head).split()], environment, "again.log", seconds=200)


def test_the_model_is_downloaded_from_mlflow_by_the_command_of_the_page(searched, node, mlflow, tmp_path):
    client = node.secrets["mlflow-client"]
    environment = {
        **MACHINE,
        "HOME": str(tmp_path),
        "MLFLOW_TRACKING_URI": mlflow,
        "MLFLOW_TRACKING_USERNAME": client["username"],
        "MLFLOW_TRACKING_PASSWORD": client["password"],
    }
    words = ["mlflow", "artifacts", "download", "--artifact-uri", "models:/digits/1", "--dst-path", "model"]
    done = subprocess.run(
        [BIN / words[0], *words[1:]], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert {"MLmodel"} <= {path.name for path in (tmp_path / "model").rglob("*")}


def test_mlflow_takes_nobody_without_a_password_and_no_foreign_host(mlflow):
    path = "/api/2.0/mlflow/experiments/search?max_results=1"
    assert answers(mlflow, path) == 401
    assert answers(mlflow, path, Host="evil.example.org") == 403


def test_the_search_logs_in_to_mlflow_as_a_user_who_lets_nobody_else_in(searched, node, mlflow):
    client = node.secrets["mlflow-client"]
    login = b64encode(f"{client['username']}:{client['password']}".encode()).decode()
    words = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
    new = json.dumps({"username": "stranger", "password": "tiger and lily"}).encode()
    with pytest.raises(HTTPError, match="403"):
        _open(Request(f"{mlflow}/api/2.0/mlflow/users/create", new, words), timeout=20)


def test_ray_takes_no_job_without_the_token(ray):
    assert answers(f"http://127.0.0.1:{ray['dashboard-port']}", "/api/jobs/") == 401


def test_no_trial_ran_on_the_head_which_has_no_cpus_to_give(searched, node, ray, objects):
    spec = one(objects, "RayJob", "search-digits")["spec"]["rayClusterSpec"]
    request = Request(f"http://127.0.0.1:{ray['dashboard-port']}/api/v0/nodes?detail=true")
    request.add_header("Authorization", f"Bearer {token(node, spec)['RAY_AUTH_TOKEN']}")
    with _open(request, timeout=10) as answer:
        nodes = json.load(answer)["data"]["result"]["result"]
    assert sorted(each["resources_total"].get("CPU", 0) for each in nodes) == [0, 2]


def test_every_metric_of_ray_that_rules_and_dashboard_ask_for_is_told(searched, node):
    told = set()
    for ports in node.ports.values():
        with _open(f"http://127.0.0.1:{ports['metrics-export-port']}/metrics", timeout=20) as answer:
            told |= set(re.findall(r"^(ray_\w+)\{", answer.read().decode(), re.MULTILINE))
    objects = rendered("overlays/prod")
    rules = json.dumps(one(objects, "PrometheusRule", "neurosearch")["spec"])
    dashboard = one(objects, "ConfigMap", "neurosearch-dashboard")["data"]["dashboard.json"]
    asked = set(re.findall(r"\bray_(?!io_)\w+", rules + dashboard))
    # Some are told only while trials run, or where there is a GPU: those are names that Ray's own dashboards ask for.
    assert asked & told
    assert asked <= told | asked_by_rays_own_dashboards()


def asked_by_rays_own_dashboards():
    (folder,) = find_spec("ray.dashboard.modules.metrics.dashboards").submodule_search_locations
    return {name for file in Path(folder).glob("*.py") for name in re.findall(r"\bray_\w+", file.read_text())}


def test_no_secret_is_in_a_log(searched, node):
    hidden = {
        value for keys in node.secrets.values() for key, value in keys.items() if key not in ("username", "auth.ini")
    }
    texts = {path: path.read_text(errors="ignore") for path in node.folder.rglob("*.log")}
    assert texts
    assert {str(path) for path, text in texts.items() for secret in hidden if secret in text} == set()
