"""Repeats the published comparison of growing and grown networks, and the fair ones beside it.

The networks of arXiv:2501.18012 (see `neurosearch.growth.published`): 9 neurons, final size 5, 32 training and 8 test
points, plain gradient descent. Every data draw has its own lambda and its own points; on it start as many networks of
each arm, the same random weights in all arms: `growing` from size 0 and `grown` from size 5, both as published; the
same two with the size's input column drawn 0.2 times as large (`equal`: then the grown network does not start
saturated); and `ordinary`, a plain network of 5 neurons without size, its input and its loss.

- `bands`: for each published band of lambdas the geometric mean over the draws of (mean test loss of growing / of
  grown), with the 95 % interval of a bootstrap over the draws (`low`, `high`), the published one, the same with equal
  initialisation (`fair`), growing's size loss, the task losses of all arms and the share that never learned (`stuck`).
- `size_loss_001`, `size_loss_01`: growing's mean size loss at lambda .01 and .1.
- `ratio_0266`, `fair_ratio_0266`: means over all trials, growing / grown, at lambda .266.
- `mask_inside`: whether the controller mask's six published losses lie in the central 95 % of 50 seeds of ours;
  `mask_final`: its test loss after 5000 epochs, beside a network without a controller;
  `mask_widths`: the medians of that for other widths; `spiral`: its accuracy on five spiral arms.
- `others`: two other targets of the paper, where every trial has data of its own; `pooled` counts.
- `precision`: float32 beside float64, the same networks.
- `lambda_step_cpu_seconds`: the 400 trainings of one published lambda, compilation not counted.

One thread, CPU time. Usage: python benchmarks/growing.py [--quick] [--trials N]
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import pi
from typing import Any, NamedTuple

import numpy as np
import torch
from growing_mask import bessel, mask_final, mask_table, mask_widths, rounded, spiral_table
from torch import Tensor

from neurosearch.growth.published import (
    SQUARES,
    TWO_CLASSES,
    Examples,
    SizeTerm,
    Task,
    Weights,
    auxiliary_gates,
    auxiliary_gradients,
    outputs,
    size_loss,
)
from neurosearch.randomness import derive_seed
from neurosearch.training.packed import compiled, descend, train

NUM_NEURONS, FINAL_SIZE, GATE_WIDTH = 9, 5.0, 1.0
PACK_SIZE = 208
STUCK_ABOVE = 0.05  # task loss on J0, where a constant has .33 and a network that learns about .002
ARMS = ("growing", "grown", "growing_equal", "grown_equal", "ordinary")
START_SIZE = (0.0, FINAL_SIZE, 0.0, FINAL_SIZE, FINAL_SIZE)
COLUMN_SCALE = (1.0, 1.0, 0.2, 0.2, 0.0)
PUBLISHED_BANDS = (  # lower end of the band in log10, half a decade each; ratio; growing's size loss
    (-2.0, 9.79, 0.143),
    (-1.5, 2.02, 0.044),
    (-1.0, 0.316, 4.8e-4),
    (-0.5, 0.517, 1.5e-7),
    (0.0, 0.642, 4e-8),
    (0.5, 0.863, None),
    (1.0, 0.960, None),
    (1.5, 0.903, None),
)


@dataclass(frozen=True)
class Experiment:
    """What networks learn and how long; `target` gives targets for inputs in [-1, 1]."""

    target: Callable[[Tensor], Tensor]
    task: Task
    epochs: int
    learning_rate: float
    num_train: int
    num_test: int


SWEEP = Experiment(bessel(1, 0.1, 0.2), SQUARES, 17782, 0.001, 32, 8)
BESSEL_SUM = Experiment(bessel(3, -2 * pi, 2 * pi), SQUARES, 20000, 0.001, 32, 8)
CLASSES = Experiment(lambda x: torch.floor(1 + torch.sin(2 * pi * x)), TWO_CLASSES, 10000, 0.08, 40, 10)


class Given(NamedTuple):
    """What a pack of networks learns from."""

    examples: Examples
    term: SizeTerm
    rates: Weights


class Losses(NamedTuple):
    """Test losses, `(arms, draws, trials)`; not a number where a trial was left out."""

    task: np.ndarray
    size: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """Return what the paper reports; for the ordinary network it has no size term."""
        return self.task + self.size


def compiled_step(task: Task) -> Callable[[Weights, Given], Weights]:
    """Return one epoch of gradient descent."""

    def step(weights: Weights, given: Given) -> Weights:
        gradients = auxiliary_gradients(weights, given.examples, given.term, GATE_WIDTH, task)
        return descend(weights, gradients, given.rates)

    return compiled(step)


STEPS = {task: compiled_step(task) for task in (SQUARES, TWO_CLASSES)}


def train_arms(
    what: Experiment, lambdas: np.ndarray, num_trials: int, epochs: int, seed: int, dtype: torch.dtype = torch.float32
) -> Losses:
    """Train all arms on one data draw for each lambda and return their test losses."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(ARMS), len(lambdas), num_trials)

    def uniform(*size: int) -> Tensor:
        return torch.rand(*size, generator=generator, dtype=torch.float64) * 2 - 1

    # The ordinary network is not compared draw by draw: a quarter of the trials will do.
    is_trained = torch.ones(shape, dtype=torch.bool)
    is_trained[ARMS.index("ordinary"), :, -(-num_trials // 4) :] = False

    def flat(values: Tensor) -> Tensor:  # (.., arms, draws, trials), some of length 1 -> (.., t)
        return values.expand(*values.shape[:-3], *shape)[..., is_trained].to(dtype)

    def unflat(values: Tensor) -> np.ndarray:
        filled = torch.full(shape, float("nan"), dtype=torch.float64)
        filled[is_trained] = values.double()
        return filled.numpy()

    def examples(count: int) -> Examples:
        inputs = uniform(count, 1, len(lambdas), 1)
        return Examples(flat(inputs), flat(what.target(inputs)))

    def per_arm(values: tuple[float, ...]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64)[:, None, None]

    learned, tested = examples(what.num_train), examples(what.num_test)
    columns = [uniform(NUM_NEURONS, 1, *shape[1:]) for _ in range(4)]
    weights = Weights(
        size=flat(per_arm(START_SIZE)),
        size_column=flat(columns[0] * per_arm(COLUMN_SCALE)),
        input_column=flat(columns[1]),
        hidden_bias=flat(columns[2]),
        output=flat(columns[3]),
        output_bias=flat(uniform(1, *shape[1:])),
    )
    has_size = per_arm((1.0, 1.0, 1.0, 1.0, 0.0))
    rate, size_rate = flat(torch.tensor(what.learning_rate)[None, None, None]), flat(has_size * what.learning_rate)
    rates = Weights(size_rate, size_rate, rate, rate, rate, rate)
    term = SizeTerm(flat(has_size * torch.tensor(lambdas)[None, :, None]), torch.full_like(rate, FINAL_SIZE))
    weights = train(STEPS[what.task], weights, Given(learned, term, rates), epochs, PACK_SIZE)
    gates, _ = auxiliary_gates(weights.size, NUM_NEURONS, GATE_WIDTH)
    task = what.task.loss(outputs(weights, gates, tested.inputs), tested.targets)
    return Losses(unflat(task), unflat(size_loss(weights.size, term)))


def ratio_of_draws(losses: Losses, growing: int, grown: int) -> dict[str, float]:
    """Return the geometric mean over the draws of the ratio of mean losses, with a bootstrap over draws."""
    means = losses.total.mean(2)  # (arms, draws)
    logs = np.log(means[growing] / means[grown])
    picks = np.random.default_rng(0).integers(len(logs), size=(10_000, len(logs)))
    low, high = np.quantile(logs[picks].mean(1), (0.025, 0.975))
    return {"ratio": rounded(np.exp(logs.mean())), "low": rounded(np.exp(low)), "high": rounded(np.exp(high))}


def pooled_ratio(losses: Losses, growing: int, grown: int) -> dict[str, float]:
    """Return the ratio of means over all trials, with a bootstrap over draws."""
    means = losses.total.mean(2)
    picks = np.random.default_rng(0).integers(means.shape[1], size=(10_000, means.shape[1]))
    low, high = np.quantile(means[growing][picks].mean(1) / means[grown][picks].mean(1), (0.025, 0.975))
    return {
        "ratio": rounded(means[growing].mean() / means[grown].mean()),
        "low": rounded(low),
        "high": rounded(high),
    }


def described(losses: Losses) -> dict[str, Any]:
    """Return what stands in every table: ratios as published and fair, task losses of all arms, how many trials."""
    fair = ratio_of_draws(losses, 2, 3)
    fair_pooled = pooled_ratio(losses, 2, 3)
    stuck = np.where(np.isnan(losses.task), np.nan, losses.task > STUCK_ABOVE)
    return {
        **ratio_of_draws(losses, 0, 1),
        **{f"fair_{name}": value for name, value in fair.items()},
        "pooled": pooled_ratio(losses, 0, 1),
        "fair_pooled": fair_pooled,
        "growing_size_loss": rounded(losses.size[0].mean()),
        "total_loss": dict(zip(ARMS, map(rounded, np.nanmean(losses.total, (1, 2))), strict=True)),
        "task_loss": dict(zip(ARMS, map(rounded, np.nanmean(losses.task, (1, 2))), strict=True)),
        "median_task_loss": dict(zip(ARMS, map(rounded, np.nanmedian(losses.task, (1, 2))), strict=True)),
        "stuck_share": dict(zip(ARMS, map(rounded, np.nanmean(stuck, (1, 2))), strict=True)),
        "trials_per_arm": int(losses.task[0].size),
        "draws": int(losses.task.shape[1]),
    }


def lambdas_of_band(lowest: float, draws: int) -> np.ndarray:
    """Return as many lambdas as draws, evenly spread in the logarithm over half a decade."""
    return 10 ** (lowest + 0.5 * (np.arange(draws) + 0.5) / draws)


def precision(what: Experiment, epochs: int) -> dict[str, Any]:
    """Train the same networks in float32 and float64 and compare their test losses."""
    seed = derive_seed(0, "precision")
    single, double = (train_arms(what, np.full(2, 0.266), 20, epochs, seed, d) for d in (torch.float32, torch.float64))
    apart = np.abs(single.total / double.total - 1)[:4]  # the four arms that are compared
    return {
        "trials": int(apart.size),
        "median_relative_difference": rounded(np.median(apart)),
        "largest_relative_difference": rounded(apart.max()),
        "ratio_float32": pooled_ratio(single, 0, 1)["ratio"],
        "ratio_float64": pooled_ratio(double, 0, 1)["ratio"],
    }


def lambda_step_seconds(epochs: int) -> float:
    """Return the CPU seconds of 400 trainings, as many as for one published lambda, compilation not counted."""
    train_arms(SWEEP, np.array([0.266]), 94, 1, seed=0)
    started = time.process_time()
    train_arms(SWEEP, np.array([0.266]), 94, epochs, seed=0)  # 4 * 94 + 24 = 400 trainings of the same cost
    return time.process_time() - started


def main() -> None:
    """Print tables as they come, and all figures as one JSON object in the last line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few draws, trials and epochs: shows that the script runs")
    parser.add_argument("--trials", type=int, default=76, help="trials of each arm on each of the 12 data draws")
    quick = parser.parse_args().quick
    draws, trials, share, seeds, points = (3, 4, 0.01, 8, 2**9) if quick else (12, 76, 1.0, 50, 2**15)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # a saturated neuron's exp(-90) would take twenty times as long
    started = time.process_time()

    def table(name: str, what: Experiment, lambdas: np.ndarray, trials: int = trials) -> dict[str, Any]:
        losses = train_arms(what, lambdas, trials, int(what.epochs * share), derive_seed(0, name))
        row = described(losses)
        print(f"{time.process_time() - started:6.0f} s  {name}: {json.dumps(row)}", flush=True)
        return row

    mask = mask_table(seeds, points)
    print(f"{time.process_time() - started:6.0f} s  controller mask: {json.dumps(mask)}", flush=True)
    step_seconds = rounded(lambda_step_seconds(int(SWEEP.epochs * share)))
    # At .266 a few networks that never learn decide the ratio of means, hence more draws.
    at = {v: table(f"lambda {v}", SWEEP, np.full(draws * n, v)) for v, n in ((0.01, 1), (0.1, 1), (0.266, 3))}
    bands = []
    for lowest, ratio, size in PUBLISHED_BANDS:
        row = table(f"band from {10**lowest:.3g}", SWEEP, lambdas_of_band(lowest, draws))
        limits = {"lambda_low": rounded(10**lowest), "lambda_high": rounded(10 ** (lowest + 0.5))}
        bands.append({**limits, "published": ratio, "published_size_loss": size, **row})
    figures = {
        "bands": bands,
        "size_loss_001": at[0.01]["growing_size_loss"],
        "size_loss_01": at[0.1]["growing_size_loss"],
        "ratio_0266": at[0.266]["pooled"]["ratio"],
        "fair_ratio_0266": at[0.266]["fair_pooled"]["ratio"],
        "mask_inside": all(row["inside"] for rows in mask.values() for row in rows),
        "at_lambda": {str(value): row for value, row in at.items()},
        "mask": mask,
        "mask_final": mask_final(seeds, points // 16, int(5000 * share)),
        "mask_widths": mask_widths((8, 32) if quick else (8, 32, 128, 512, 1024), int(5000 * share)),
        "spiral": spiral_table(4 if quick else 16, 2**11, int(5000 * share)),
        "others": {  # as published, every trial has data of its own
            "bessel_sum": table("J0 + J1 + J2", BESSEL_SUM, np.full(draws * trials, 0.1), trials=1),
            "two_classes": table("two classes", CLASSES, np.full(draws * trials, 0.01), trials=1),
        },
        "precision": precision(SWEEP, int(SWEEP.epochs * share)),
        "lambda_step_cpu_seconds": step_seconds,
        "quick": quick,
        "cpu_seconds": round(time.process_time() - started),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
