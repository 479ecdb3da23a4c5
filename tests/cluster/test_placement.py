import pytest

from neurosearch.cluster.placement import place
from neurosearch.config.base import ConfigError
from neurosearch.config.load import study_from_mapping
from neurosearch.config.yaml_source import parse_yaml
from tests.cluster.kubernetes_settings import PLAIN, settings


def study(**search):
    return study_from_mapping({**parse_yaml(PLAIN, "a.yaml").values, "search": search}, "a.yaml")


@pytest.mark.parametrize(
    ("search", "pool", "workers"),
    [
        ({"concurrency": 8}, "cpu", 1),
        ({"concurrency": 9}, "cpu", 2),
        ({"concurrency": 4, "cpus_per_trial": 8.0}, "cpu", 4),
        ({"concurrency": 2, "cpus_per_trial": 5.0}, "cpu", 2),
        ({"concurrency": 1, "cpus_per_trial": 9.0}, "gpu", 1),
        ({"concurrency": 8, "gpus_per_trial": 0.25}, "gpu", 1),
        ({"concurrency": 4, "gpus_per_trial": 0.75}, "gpu", 2),
        ({"concurrency": 2, "gpus_per_trial": 2}, "gpu", 2),
        ({"concurrency": 16, "gpus_per_trial": "auto"}, "gpu", 1),
    ],
)
def test_the_smallest_pool_that_a_trial_fits_gets_as_many_workers_as_run_at_once(search, pool, workers):
    found = place(study(**search), settings())
    assert (found.pool.name, found.workers) == (pool, workers)


@pytest.mark.parametrize(
    ("search", "words"),
    [
        (
            {"cpus_per_trial": 17.0},
            "search.cpus_per_trial: one trial asks for 17, but no pool .* more than 16 .*Lower it",
        ),
        ({"gpus_per_trial": 3}, "search.gpus_per_trial: one trial asks for 3, but no pool .* more than 2 .*add a pool"),
        (
            {"concurrency": 33},
            "search.concurrency: is 33, which needs 5 workers of pool cpu .*at most 4. Lower it to 32, or have",
        ),
    ],
)
def test_what_no_pool_offers_is_refused_with_the_field_and_the_remedy(search, words):
    with pytest.raises(ConfigError, match=words):
        place(study(**search), settings())
