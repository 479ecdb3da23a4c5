import pytest

from neurosearch.config.base import ConfigError
from neurosearch.config.load import study_from_mapping

STUDY = {
    "name": "tiny",
    "data": {"kind": "digits"},
    "model": {"kind": "mlp", "widths": [8]},
    "training": {"epochs": 2},
    "growth": {"kind": "static"},
}


def search(**fields):
    return study_from_mapping({**STUDY, "search": fields}, "tiny.yaml").study.search


@pytest.mark.parametrize("gpus", [0, 0.25, 1, 4, "auto"])
def test_a_trial_has_no_gpu_or_a_share_or_whole_ones_or_what_it_needs(gpus):
    assert search(gpus_per_trial=gpus).gpus_per_trial == gpus


def test_an_hour_of_a_trial_counts_its_gpus_or_else_its_cores():
    assert search(gpus_per_trial=2, cpus_per_trial=8).devices_per_trial == 2
    assert search(cpus_per_trial=8).devices_per_trial == 8


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"gpus_per_trial": 1.5}, "several whole ones, not 1.5; write 1 or 2"),
        ({"gpus_per_trial": -1}, "gpus_per_trial"),
        ({"gpus_per_trial": "many"}, "gpus_per_trial"),
        ({"gpus_per_trial": "auto", "compute_budget_hours": 3}, "take time_budget_seconds"),
        ({"silence_seconds": 0}, "silence_seconds"),
        ({"kept_trials": 0}, "kept_trials"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_remedy(fields, why):
    with pytest.raises(ConfigError, match=why):
        search(**fields)


def test_a_hang_may_be_waited_for_without_end():
    assert search(silence_seconds=None).silence_seconds is None
