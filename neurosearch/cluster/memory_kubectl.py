"""A Kubernetes cluster in memory, for tests: it keeps what is applied and runs nothing."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML

from neurosearch.cluster.kubectl import NotAllowed

Answer = Callable[[Sequence[str]], tuple[int, str]]


class MemoryKubectl:
    """See `Kubectl`.

    Attributes:
        objects: What is there, by kind in lower case and name.
        secrets: The keys of each secret; None where secrets may not be looked at.
        asked: Commands that were run in pods.
    """

    def __init__(self, secrets: Mapping[str, Sequence[str]] | None = None, answer: Answer | None = None) -> None:
        """Takes the secrets that are there, and what answers commands that are run in pods."""
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.secrets = secrets
        self.asked: list[tuple[str, ...]] = []
        self._answer = answer

    def get(self, kind: str, name: str) -> Mapping[str, Any] | None:
        """See `Kubectl`."""
        return self.objects.get((_singular(kind), name))

    def find(self, kind: str, labels: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
        """See `Kubectl`."""
        return [
            thing
            for (each, _), thing in self.objects.items()
            if each == _singular(kind) and labels.items() <= thing["metadata"].get("labels", {}).items()
        ]

    def keys(self, secret: str) -> frozenset[str] | None:
        """See `Kubectl`."""
        if self.secrets is None:
            raise NotAllowed("secrets is forbidden")
        return frozenset(self.secrets[secret]) if secret in self.secrets else None

    def apply(self, manifest: str) -> None:
        """See `Kubectl`."""
        for thing in YAML(typ="safe", pure=True).load_all(manifest):
            self.put(thing)

    def put(self, thing: dict[str, Any]) -> None:
        """Makes an object, or changes it."""
        self.objects[thing["kind"].lower(), thing["metadata"]["name"]] = thing

    def delete(self, kind: str, name: str) -> None:
        """See `Kubectl`."""
        self.objects.pop((_singular(kind), name), None)

    def run(self, pod: str, container: str, words: Sequence[str]) -> tuple[int, str]:
        """See `Kubectl`."""
        self.asked.append((pod, container, *words))
        return self._answer(words) if self._answer else (0, "")


def _singular(kind: str) -> str:
    """Returns the kind that kubectl's plural, with or without its group, means."""
    return kind.partition(".")[0].removesuffix("s")
