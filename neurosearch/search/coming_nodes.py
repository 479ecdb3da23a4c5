"""Nodes that a cluster's autoscaler may add, as its operator says; Ray tells of nodes only once they are there.

`NEUROSEARCH_MAY_GROW` in the head's environment lists each kind of node by what it will have:
`cpu=8,memory=28Gi;cpu=8,gpu=1,memory=28Gi`.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

from neurosearch.search.errors import StudyError

MAY_GROW = "NEUROSEARCH_MAY_GROW"
_NODE = re.compile(r"cpu=(?P<cpus>\d+)(,gpu=(?P<gpus>\d+))?(,memory=(?P<memory>\d+)Gi)?")


@dataclass(frozen=True)
class ComingNode:
    """A kind of node that may come.

    Attributes:
        cpus: Its CPU cores.
        gpus: Its GPUs.
        memory_gib: Its memory in GiB; 0 where nobody says.
    """

    cpus: int
    gpus: int
    memory_gib: int

    @property
    def resources(self) -> dict[str, float]:
        """What it will have, under Ray's names."""
        return {"CPU": float(self.cpus), "GPU": float(self.gpus), "memory": self.memory_gib * 2.0**30}


def coming_nodes() -> tuple[ComingNode, ...]:
    """Returns the kinds of nodes that may come; none where the cluster stays as it is.

    Raises:
        StudyError: The operator's words cannot be read.
    """
    words = [each.strip() for each in os.environ.get(MAY_GROW, "").split(";")]
    return tuple(_read(each) for each in words if each)


def coming_words(nodes: Iterable[ComingNode]) -> str:
    """Returns kinds of nodes as `coming_nodes` reads them."""
    return ";".join(_written(node) for node in nodes)


def _written(node: ComingNode) -> str:
    gpus = f",gpu={node.gpus}" if node.gpus else ""
    memory = f",memory={node.memory_gib}Gi" if node.memory_gib else ""
    return f"cpu={node.cpus}{gpus}{memory}"


def _read(text: str) -> ComingNode:
    found = _NODE.fullmatch(text)
    if found is None:
        raise StudyError(
            f"{MAY_GROW} says {text!r}, which is no kind of node. Write cpu=8,memory=28Gi or cpu=8,gpu=1,memory=28Gi, "
            "and a semicolon between two of them."
        )
    return ComingNode(*(int(found[name] or 0) for name in ("cpus", "gpus", "memory")))
