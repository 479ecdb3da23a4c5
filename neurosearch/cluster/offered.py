"""What a study asks of a cluster, beside what its nodes offer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neurosearch.config.search import SearchFields


@dataclass(frozen=True)
class Node:
    """What a node offers to trials.

    Attributes:
        cpus: CPU cores, as Ray counts them.
        gpus: GPUs.
    """

    cpus: float
    gpus: float

    @classmethod
    def of(cls, resources: Mapping[str, Any]) -> "Node":
        """Reads what Ray tells of a node's resources."""
        return cls(float(resources.get("CPU", 0.0)), float(resources.get("GPU", 0.0)))

    def room(self, cpus: float, gpus: float) -> int:
        """Returns how many trials with so much each it runs at the same time."""
        by_cpus = int(self.cpus / cpus + 1e-9)
        if not gpus:
            return by_cpus
        by_gpus = int(self.gpus) * int(1 / gpus + 1e-9) if gpus < 1 else int(self.gpus / gpus + 1e-9)
        return min(by_cpus, by_gpus)


def shortages(search: SearchFields, nodes: Sequence[Node]) -> Iterator[tuple[str, str]]:
    """Yields fields of the search section that ask for more than any node has, each with words for the user."""
    gpus = gpus_at_least(search)
    most_cpus, most_gpus = max((node.cpus for node in nodes), default=0), max((node.gpus for node in nodes), default=0)
    if search.cpus_per_trial > most_cpus:
        yield "search.cpus_per_trial", _short(search.cpus_per_trial, "CPU", most_cpus, len(nodes))
    if gpus > most_gpus:
        yield "search.gpus_per_trial", _short(gpus, "GPU", most_gpus, len(nodes))
    elif search.cpus_per_trial <= most_cpus and not any(node.room(search.cpus_per_trial, gpus) for node in nodes):
        both = f"{search.cpus_per_trial:g} CPU and {gpus:g} GPU"
        yield "search.gpus_per_trial", f"no node has {both} together. Lower one of them, or add a node that has both."


def fewer_at_once(search: SearchFields, nodes: Sequence[Node]) -> str | None:
    """Returns a remark where not all trials that may run at once find room; None where they do."""
    found = sum(node.room(search.cpus_per_trial, gpus_at_least(search)) for node in nodes)
    if found >= search.concurrency:
        return None
    return (
        f"search.concurrency is {search.concurrency}, but the nodes have room for {found} trials at a time when "
        "nothing else runs there; the others wait."
    )


def gpus_at_least(search: SearchFields) -> float:
    """Returns the GPUs of a trial at least; with `auto` it is some share of one."""
    return 0.125 if search.gpus_per_trial == "auto" else search.gpus_per_trial


def _short(asked: float, kind: str, most: float, num_nodes: int) -> str:
    nodes = "the only node has" if num_nodes == 1 else f"of {num_nodes} nodes none has more than"
    return f"one trial asks for {asked:g} {kind}, but {nodes} {most:g}. Lower it, or add a node that has them."
