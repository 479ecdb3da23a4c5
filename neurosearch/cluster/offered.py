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


def shortages(search: SearchFields, nodes: Sequence[Node], coming: Sequence[Node] = ()) -> Iterator[tuple[str, str]]:
    """Yields fields of the search section that ask for more than any node has, each with words for the user.

    Args:
        search: What is asked for.
        nodes: Those that are there.
        coming: Those that the cluster may add; what one of them has may be asked for, too.
    """
    gpus, every = gpus_at_least(search), (*nodes, *coming)
    most_cpus, most_gpus = max((node.cpus for node in every), default=0), max((node.gpus for node in every), default=0)
    if search.cpus_per_trial > most_cpus:
        yield "search.cpus_per_trial", _short(search.cpus_per_trial, "CPU", most_cpus, len(nodes), bool(coming))
    if gpus > most_gpus:
        yield "search.gpus_per_trial", _short(gpus, "GPU", most_gpus, len(nodes), bool(coming))
    elif search.cpus_per_trial <= most_cpus and not any(node.room(search.cpus_per_trial, gpus) for node in every):
        both = f"{search.cpus_per_trial:g} CPU and {gpus:g} GPU"
        yield "search.gpus_per_trial", f"no node has {both} together. Lower one of them, or add a node that has both."


def fewer_at_once(search: SearchFields, nodes: Sequence[Node], coming: Sequence[Node] = ()) -> str | None:
    """Returns a remark where not all trials that may run at once find room; None where they do."""
    gpus = gpus_at_least(search)
    found = sum(node.room(search.cpus_per_trial, gpus) for node in nodes)
    if found >= search.concurrency:
        return None
    grows = any(node.room(search.cpus_per_trial, gpus) for node in coming)
    return (
        f"search.concurrency is {search.concurrency}, but the nodes have room for {found} trials at a time when "
        f"nothing else runs there; the others wait{' until the cluster has grown' if grows else ''}."
    )


def gpus_at_least(search: SearchFields) -> float:
    """Returns the GPUs of a trial at least; with `auto` it is some share of one."""
    return 0.125 if search.gpus_per_trial == "auto" else search.gpus_per_trial


def _short(asked: float, kind: str, most: float, num_nodes: int, may_grow: bool) -> str:
    nodes = "the only node has" if num_nodes == 1 else f"of {num_nodes} nodes none has more than"
    nodes = "no node that is there or that the cluster can add has more than" if may_grow else nodes
    return f"one trial asks for {asked:g} {kind}, but {nodes} {most:g}. Lower it, or add a node that has them."
