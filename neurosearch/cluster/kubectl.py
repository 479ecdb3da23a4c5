"""kubectl's door: it runs as a process, with the user's own context, and its words are told with the remedy."""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from neurosearch.cluster.errors import ClusterError

_SECONDS = 60.0


class Kubectl(Protocol):
    """What a client of a Kubernetes cluster can be asked."""

    def get(self, kind: str, name: str) -> Mapping[str, Any] | None:
        """Returns an object of the namespace; None if there is none.

        Raises:
            ClusterError: The cluster cannot be asked.
        """

    def find(self, kind: str, labels: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
        """Returns the objects of the namespace that have these labels."""

    def keys(self, secret: str) -> frozenset[str] | None:
        """Returns the keys of a secret, and never a value; None if it is not there.

        Raises:
            NotAllowed: The user may read no secret.
        """

    def apply(self, manifest: str) -> None:
        """Makes or changes what a manifest says."""

    def delete(self, kind: str, name: str) -> None:
        """Deletes an object and waits until it is gone; nothing if it is not there."""

    def run(self, pod: str, container: str, words: Sequence[str]) -> tuple[int, str]:
        """Runs a command in a pod's container; returns its exit code and what it wrote to the standard output."""


class NotAllowed(ClusterError):
    """The user's role does not let them do this."""


class KubectlProcess:
    """Asks through the program `kubectl`."""

    def __init__(self, namespace: str) -> None:
        """Takes the namespace; which cluster it is in, the user's current context says."""
        program = shutil.which("kubectl")
        if program is None:
            raise ClusterError("kubectl is not installed here. Install it, and see that it finds your cluster.")
        self._words = [program, f"--namespace={namespace}"]

    def get(self, kind: str, name: str) -> Mapping[str, Any] | None:
        """See `Kubectl`."""
        text = self._asked("get", kind, name, "--ignore-not-found", "--output=json")
        found: Mapping[str, Any] | None = json.loads(text) if text.strip() else None
        return found

    def find(self, kind: str, labels: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
        """See `Kubectl`."""
        selector = ",".join(f"{name}={value}" for name, value in labels.items())
        found: list[Mapping[str, Any]] = json.loads(
            self._asked("get", kind, f"--selector={selector}", "--output=json")
        )["items"]
        return found

    def keys(self, secret: str) -> frozenset[str] | None:
        """See `Kubectl`: the template lets kubectl print no value."""
        keys = '{{range $key, $_ := .data}}{{$key}}{{"\\n"}}{{end}}'
        text = self._asked("get", "secret", secret, "--ignore-not-found", f"--output=go-template={keys}")
        return frozenset(text.split()) or None

    def apply(self, manifest: str) -> None:
        """See `Kubectl`."""
        self._asked("apply", "--filename=-", given=manifest)

    def delete(self, kind: str, name: str) -> None:
        """See `Kubectl`."""
        self._asked("delete", kind, name, "--ignore-not-found", "--wait=true", "--timeout=120s", seconds=150.0)

    def run(self, pod: str, container: str, words: Sequence[str]) -> tuple[int, str]:
        """See `Kubectl`."""
        done = self._done(["exec", pod, f"--container={container}", "--", *words], None, _SECONDS)
        if done.returncode and not done.stdout.strip():
            raise _refused(done.stderr)
        return done.returncode, done.stdout

    def _asked(self, *words: str, given: str | None = None, seconds: float = _SECONDS) -> str:
        done = self._done(list(words), given, seconds)
        if done.returncode:
            raise _refused(done.stderr)
        return done.stdout

    def _done(self, words: list[str], given: str | None, seconds: float) -> "subprocess.CompletedProcess[str]":
        try:
            return subprocess.run(  # noqa: S603  # an argument list, and no shell
                [*self._words, *words], input=given or "", capture_output=True, text=True, check=False, timeout=seconds
            )
        except subprocess.TimeoutExpired as error:
            raise ClusterError(
                f"kubectl {words[0]} has not answered within {seconds:g} s. See whether `kubectl get nodes` does."
            ) from error


def _refused(said: str) -> ClusterError:
    """Returns kubectl's word of refusal as an error of ours, with what helps."""
    last = next((line for line in reversed(said.splitlines()) if line.strip()), "it said nothing").strip()
    lower = last.lower()
    if "forbidden" in lower:
        return NotAllowed(f"{last}. Ask for the role search-submitter of the namespace (k8s/base/submitter-role.yaml).")
    if any(
        word in lower for word in ("refused", "no such host", "unable to connect", "i/o timeout", "current-context")
    ):
        return ClusterError(f"no Kubernetes cluster answers: {last}. Choose one by `kubectl config use-context`.")
    if "no matches for kind" in lower or "doesn't have a resource type" in lower:
        return ClusterError(f"{last}. Install the KubeRay operator, as docs/kubernetes.md shows.")
    return ClusterError(f"kubectl: {last}")
