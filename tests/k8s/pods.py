"""Runs what a rendered container says as a process of this machine, with addresses and folders of its own.

What Kubernetes does before it starts a container is done here: references to secrets are looked up, `$(NAME)` is put
in, files of secrets and ConfigMaps are written. What KubeRay adds to Ray's containers is added by the tests that start
Ray.
"""

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

BIN = Path(sys.executable).parent
# What the image sets, and what processes need that no image says.
_IMAGE = {"USER": "neurosearch", "LANG": "C.UTF-8", "MLFLOW_DISABLE_TELEMETRY": "true", "RAY_USAGE_STATS_ENABLED": "0"}
MACHINE = {
    "OMP_NUM_THREADS": "1",
    "PATH": os.pathsep.join([str(BIN), "/usr/bin", "/bin"]),
    "PYTHONPATH": str(Path(__file__).parents[2]),
}


class Node:
    """A machine that pods run on.

    Attributes:
        folder: Where its files lie.
        secrets: The namespace's, as {name: {key: value}}.
        config_maps: The namespace's, as {name: {key: text}}.
        places: What stands in manifests, and what to read for it here; longer texts first.
    """

    def __init__(self, folder, secrets, config_maps):
        self.folder, self.secrets, self.config_maps = Path(folder), secrets, config_maps
        self.places = {}
        self._running = []

    def environment(self, container, spec, **added):
        """Return what a container's process finds in its environment."""
        found = {}
        for variable in container.get("env", ()):
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            value = self.secrets[reference["name"]][reference["key"]] if reference else variable["value"]
            found[variable["name"]] = self.here(re.sub(r"\$\((\w+)\)", lambda name: found[name[1]], value), spec)
        return {**_IMAGE, **MACHINE, **found, **added}

    def here(self, text, spec):
        """Return a manifest's text with the addresses and folders of this machine."""
        for place, instead in {**self.places, **self._mounted(spec)}.items():
            text = text.replace(place, str(instead))
        return text

    def words(self, container, spec):
        """Return a container's command line; a program that it names is this environment's own, if it has it."""
        command = [self.here(word, spec) for word in container.get("command", ())]
        if command and (BIN / command[0]).exists():
            command[0] = str(BIN / command[0])
        return [*command, *(self.here(word, spec) for word in container.get("args", ()))]

    def run(self, words, environment, log, seconds=180):
        """Run a command to its end and return its exit code and what it said."""
        done = subprocess.run(
            words, env=environment, cwd=self.folder, capture_output=True, text=True, timeout=seconds, check=False
        )
        (self.folder / log).write_text(done.stdout + done.stderr)
        return done.returncode, done.stdout + done.stderr

    def start(self, words, environment, log):
        """Start a command that goes on, and return its process."""
        with (self.folder / log).open("wb") as file:
            made = subprocess.Popen(
                words, env=environment, cwd=self.folder, stdout=file, stderr=file, start_new_session=True
            )
        self._running.append(made)
        return made

    def end(self):
        """Kill all that was started, with what descends from it."""
        from tests.ray_cluster import family

        for process in reversed(self._running):
            for each in list(family(process.pid)):
                with suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
            process.wait()

    def _mounted(self, spec):
        """Write the files of a pod's volumes, and return where each folder lies here."""
        volumes = {volume["name"]: volume for volume in spec.get("volumes", ())}
        found = {}
        for container in spec["containers"]:
            for mount in container.get("volumeMounts", ()):
                volume = volumes.get(mount["name"], {})
                files = self._files(volume)
                if files is not None:
                    folder = self.folder / "volumes" / mount["mountPath"].strip("/").replace("/", "-")
                    folder.mkdir(parents=True, exist_ok=True)
                    for name, text in files.items():
                        (folder / name).write_text(text)
                    found[mount["mountPath"]] = folder
        return found

    def _files(self, volume):
        if "secret" in volume:
            values = self.secrets[volume["secret"]["secretName"]]
            items = volume["secret"].get("items", [{"key": key, "path": key} for key in values])
            return {item["path"]: values[item["key"]] for item in items}
        if "configMap" in volume:
            return {
                name: self.here(text, {"containers": []})
                for name, text in self.config_maps[volume["configMap"]["name"]].items()
            }
        return None


def wait_until(is_so, what, process, log):
    """Wait until a process has come up."""
    from tests.ray_cluster import comes_up

    assert comes_up(is_so, process), f"{what} does not come up:\n{log.read_text()[-4000:]}"
