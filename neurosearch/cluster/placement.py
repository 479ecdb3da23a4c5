"""Decides on which pool of nodes a search's trials run, and on how many workers."""

from dataclasses import dataclass
from math import ceil, floor

from neurosearch.cluster.errors import ClusterError
from neurosearch.cluster.settings import ClusterSettings, Pool
from neurosearch.config.search import SearchFields


@dataclass(frozen=True)
class Placement:
    """Where trials run.

    Attributes:
        pool: The kind of node.
        workers: How many of them a search uses at most.
    """

    pool: Pool
    workers: int


def place(search: SearchFields, settings: ClusterSettings) -> Placement:
    """Chooses the smallest pool that one trial fits, and as many workers as the concurrency needs.

    Raises:
        ClusterError: No pool offers what a trial needs, or not often enough.
    """
    fitting = [pool for pool in settings.pools if trials_at_once(search, pool) > 0]
    if not fitting:
        raise ClusterError(_nothing_fits(search, settings))
    pool = min(fitting, key=lambda each: (each.gpus, each.cpus))
    each = trials_at_once(search, pool)
    workers = ceil(search.concurrency / each)
    if workers > pool.max_workers:
        raise ClusterError(
            f"search.concurrency is {search.concurrency}, which needs {workers} workers of pool {pool.name} with "
            f"{each} trials each, but it has at most {pool.max_workers}. Lower search.concurrency to "
            f"{pool.max_workers * each}, or have the operator raise max_workers."
        )
    return Placement(pool, workers)


def trials_at_once(search: SearchFields, pool: Pool) -> int:
    """Returns how many trials run side by side on one worker of a pool; 0 if none does."""
    by_cpus = floor(pool.cpus / search.cpus_per_trial)
    gpus = _gpus(search)
    if not gpus:
        return by_cpus
    # A share of a GPU is of one GPU; what does not fill it up stays idle.
    by_gpus = floor(pool.gpus / gpus) if gpus >= 1 else pool.gpus * floor(1 / gpus)
    return min(by_cpus, by_gpus)


def _gpus(search: SearchFields) -> float:
    """Returns the GPUs of one trial; the share that `auto` will find is not known yet, and at most one."""
    return 1.0 if search.gpus_per_trial == "auto" else search.gpus_per_trial


def _nothing_fits(search: SearchFields, settings: ClusterSettings) -> str:
    offered = "; ".join(f"{pool.name}: {pool.cpus} CPU cores, {pool.gpus} GPUs" for pool in settings.pools)
    gpus = _gpus(search)
    if gpus and all(pool.gpus < gpus for pool in settings.pools):
        field, value, most = "search.gpus_per_trial", search.gpus_per_trial, max(pool.gpus for pool in settings.pools)
    else:
        pools = [pool for pool in settings.pools if pool.gpus >= gpus]
        field, value, most = "search.cpus_per_trial", search.cpus_per_trial, max(pool.cpus for pool in pools)
    return (
        f"{field} is {value}, but no pool of nodes offers that to one trial ({offered}). Lower it to {most} or less, "
        "or have the operator add a pool."
    )
