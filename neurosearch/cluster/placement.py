"""Decides on which pool of nodes a search's trials run, and on how many workers."""

from dataclasses import dataclass
from math import ceil

from neurosearch.cluster.offered import Node, gpus_at_least
from neurosearch.cluster.settings import ClusterSettings, Pool
from neurosearch.config.base import ConfigError, Problem, undotted
from neurosearch.config.load import StudyConfig


@dataclass(frozen=True)
class Placement:
    """Where trials run.

    Attributes:
        pool: The kind of node.
        workers: How many of them a search uses at most.
    """

    pool: Pool
    workers: int


def place(study: StudyConfig, settings: ClusterSettings) -> Placement:
    """Chooses the smallest pool that one trial fits, and as many workers as the concurrency needs.

    Raises:
        ConfigError: No pool offers what a trial needs, or not often enough.
    """
    search = study.study.search
    cpus, gpus = search.cpus_per_trial, gpus_at_least(search)
    room = {pool: Node(pool.cpus, pool.gpus).room(cpus, gpus) for pool in settings.pools}
    fitting = [pool for pool in settings.pools if room[pool]]
    if not fitting:
        raise _problem(study, *_nothing_fits(cpus, gpus, settings))
    pool = min(fitting, key=lambda each: (each.gpus, each.cpus))
    workers = ceil(search.concurrency / room[pool])
    if workers > pool.max_workers:
        text = (
            f"is {search.concurrency}, which needs {workers} workers of pool {pool.name} for {room[pool]} trials each; "
            f"it has at most {pool.max_workers}. Lower it to {pool.max_workers * room[pool]}, or have the operator "
            "raise max_workers."
        )
        raise _problem(study, "search.concurrency", text)
    return Placement(pool, workers)


def _nothing_fits(cpus: float, gpus: float, settings: ClusterSettings) -> tuple[str, str]:
    """Returns the field that asks for too much, and words for the user."""
    offered = "; ".join(f"{pool.name}: {pool.cpus} CPU cores, {pool.gpus} GPUs" for pool in settings.pools)
    with_gpus = [pool for pool in settings.pools if Node(pool.cpus, pool.gpus).room(0.001, gpus)]
    if with_gpus:
        field, asked, most = "search.cpus_per_trial", cpus, max(pool.cpus for pool in with_gpus)
    else:
        field, asked, most = "search.gpus_per_trial", gpus, max(pool.gpus for pool in settings.pools)
    return field, (
        f"one trial asks for {asked:g}, but no pool of nodes that would do otherwise offers more than {most} "
        f"({offered}). Lower it, or have the operator add a pool."
    )


def _problem(study: StudyConfig, field: str, text: str) -> ConfigError:
    return ConfigError((Problem(study.template.source.place(undotted(field)), field, text),))
