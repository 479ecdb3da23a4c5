from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import pytest
import torch

from neurosearch.build.speed import measure_speed
from neurosearch.build.trial import build_trainer
from neurosearch.config.trial import TrialConfig
from neurosearch.data.prepared import PreparedData

Make = Callable[..., TrialConfig]
CPU = torch.device("cpu")
PERIODIC = {"kind": "periodic", "period_epochs": 2, "grown_epochs": 1, "grow_share": 3.0}


def test_a_short_training_is_sampled_in_every_epoch(trial: Make, digits: PreparedData) -> None:
    speed = measure_speed(trial(training={"epochs": 4, "batch_size": 16}, growth=PERIODIC), digits, CPU, 60.0)
    assert (speed.epochs, speed.epochs_timed, speed.peak_epoch_seconds) == (4, 4, None)
    assert speed.seconds == pytest.approx(speed.setup_seconds + 4 * speed.epoch_seconds)
    assert speed.epoch_seconds > speed.steps * speed.step_seconds


def test_what_is_not_sampled_counts_at_the_peak_of_the_growth_schedule(trial: Make, digits: PreparedData) -> None:
    config = trial(training={"epochs": 1000}, model={"kind": "mlp", "widths": [8]}, growth=PERIODIC)
    speed = measure_speed(config, digits, CPU, 0.0)
    assert speed.epochs_timed == 2
    assert speed.peak_epoch_seconds is not None
    rest = max(speed.peak_epoch_seconds, speed.epoch_seconds)
    assert speed.seconds == pytest.approx(speed.setup_seconds + 2 * speed.epoch_seconds + 998 * rest)


@pytest.mark.parametrize("kind", ["static", "nimble"])
def test_every_growth_can_be_timed_at_its_peak(kind: str, trial: Make, digits: PreparedData) -> None:
    speed = measure_speed(trial(training={"epochs": 50}, growth={"kind": kind}), digits, CPU, 0.0)
    assert speed.peak_epoch_seconds is not None


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["static", "periodic", "nimble"])
def test_so_it_can_on_a_gpu(kind: str, trial: Make, digits: PreparedData) -> None:
    speed = measure_speed(trial(training={"epochs": 50}, growth={"kind": kind}), digits, torch.device("cuda"), 0.0)
    assert speed.peak_epoch_seconds is not None


def test_the_estimate_is_near_what_the_training_takes(trial: Make, digits: PreparedData, tmp_path: Path) -> None:
    config = trial(training={"epochs": 20, "batch_size": 8})

    def taken(number: int) -> float:
        started = perf_counter()
        for _ in build_trainer(config, digits, tmp_path / str(number), CPU).epochs():
            pass
        return perf_counter() - started

    measure_speed(config, digits, CPU, 0.0)
    estimates = [measure_speed(config, digits, CPU, 60.0).seconds for _ in range(3)]
    times = [taken(number) for number in range(3)]
    assert min(times) / 3 < min(estimates) < 3 * max(times), "wide, as other work may share the cores"
