"""The controller mask of arXiv:2501.18012 as its public code computes it, trained from many seeds; for `growing.py`.

J0 + J1 + J2 on [-2 pi, 2 pi], four fifths of the points for training, one hidden layer, Adam with rate .001 on all
points at once. Three arms: `growing`, whose controller starts at 0; `static`, whose controller is 1; and `ordinary`,
which has no controller, neither as a gain nor as an input.
"""

from collections.abc import Callable
from math import pi
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from neurosearch.data.functions import BesselSum, Interval
from neurosearch.data.spiral import SpiralSource
from neurosearch.growth.published import (
    SQUARES,
    Examples,
    SizeTerm,
    Weights,
    as_published_gradients,
    controller_mask,
    outputs,
    size_loss,
)
from neurosearch.randomness import derive_seed
from neurosearch.training.packed import adam, adam_start, compiled, train

PUBLISHED_MASK = {"growing": (0.81596, 0.68887, 0.57959), "static": (0.49939, 0.36158, 0.35596)}


def bessel(num_terms: int, low: float, high: float) -> Callable[[Tensor], Tensor]:
    """Return J_0 + ... on [low, high], moved and stretched so that both inputs and values fill [-1, 1]."""
    curve, interval = BesselSum(num_terms), Interval(low, high)
    values = curve(interval.argument(np.linspace(-1, 1, 2**16 + 1)))
    smallest, largest = values.min(), values.max()

    def target(x: Tensor) -> Tensor:
        return torch.from_numpy(2 * (curve(interval.argument(x.numpy())) - smallest) / (largest - smallest) - 1)

    return target


def rounded(number: float) -> float:
    """Return a number with four significant digits."""
    return float(f"{number:.4g}")


def mask_step(rate: float, *, has_controller: bool) -> Callable[..., Any]:
    """Return one epoch of the published code: Adam on all weights and on the controller, if there is one."""

    def step(state: Any, given: Any) -> Any:
        gradients = as_published_gradients(state.weights, given.examples, given.term, SQUARES)
        if not has_controller:
            gradients = gradients._replace(size_column=torch.zeros_like(gradients.size_column))
        return adam(state, gradients, rate)

    return compiled(step)


class MaskGiven(NamedTuple):
    """What a pack of networks with a controller learns from."""

    examples: Examples
    term: SizeTerm


def mask_start(arm: str, num_neurons: int, seeds: int) -> Weights:
    """Return the published code's start: uniform within 1 / sqrt(inputs) of a layer, biases too."""
    generator = torch.Generator().manual_seed(derive_seed(0, "mask weights"))

    def uniform(inputs: int, *shape: int) -> Tensor:
        return (torch.rand(*shape, generator=generator) * 2 - 1) / inputs**0.5

    control = 1e-5 * torch.randn(seeds, generator=generator)
    per_neuron = (num_neurons, seeds)
    weights = Weights(
        size=control if arm == "growing" else torch.ones(seeds),
        size_column=uniform(2, *per_neuron),
        input_column=uniform(2, *per_neuron),
        hidden_bias=uniform(2, *per_neuron),
        output=uniform(num_neurons, *per_neuron),
        output_bias=uniform(num_neurons, seeds),
    )
    return weights._replace(size_column=torch.zeros(per_neuron)) if arm == "ordinary" else weights


def mask_losses(arm: str, seeds: int, num_points: int, epochs: tuple[int, ...], num_neurons: int = 10) -> np.ndarray:
    """Return the losses of all seeds after so many epochs, task and size: train, and in the last row test."""
    inputs = torch.linspace(-1, 1, num_points, dtype=torch.float64)
    targets = bessel(3, -2 * pi, 2 * pi)(inputs)
    order = torch.randperm(num_points, generator=torch.Generator().manual_seed(derive_seed(0, "mask data")))
    num_train = num_points - -(-num_points // 5)

    def examples(numbers: Tensor) -> Examples:
        return Examples(*(v[numbers, None].expand(-1, seeds).float() for v in (inputs, targets)))

    learned, tested = examples(order[:num_train]), examples(order[num_train:])
    term = SizeTerm(torch.full((seeds,), 0.32), torch.ones(seeds))
    state = adam_start(mask_start(arm, num_neurons, seeds))
    step, done, losses = mask_step(1e-3, has_controller=arm != "ordinary"), 0, []
    for epoch in epochs:
        state = train(step, state, MaskGiven(learned, term), epoch - done, pack_size=16)
        done = epoch
        losses.append(mask_loss(state.weights, learned, term))
    losses.append(mask_loss(state.weights, tested, term))
    return np.stack(losses)


def mask_loss(weights: Weights, examples: Examples, term: SizeTerm) -> np.ndarray:
    """Return task loss and size loss together, `(seeds,)`."""
    gain = controller_mask(weights.size, num_neurons=1)
    task = SQUARES.loss(outputs(weights, gain, examples.inputs), examples.targets)
    return (task + size_loss(weights.size, term)).numpy()


def mask_table(seeds: int, num_points: int) -> dict[str, Any]:
    """Return for each published loss of the controller mask whether it lies in the central 95 % of our seeds."""
    table: dict[str, Any] = {}
    for arm, published in PUBLISHED_MASK.items():
        losses = mask_losses(arm, seeds, num_points, (0, 100, 200))[:3]
        low, median, high = np.quantile(losses, (0.025, 0.5, 0.975), axis=1)
        table[arm] = [
            {
                "epoch": epoch,
                "published": published[i],
                "low": rounded(low[i]),
                "median": rounded(median[i]),
                "high": rounded(high[i]),
                "inside": bool(low[i] <= published[i] <= high[i]),
            }
            for i, epoch in enumerate((0, 100, 200))
        ]
    return table


def mask_final(seeds: int, num_points: int, epochs: int) -> dict[str, Any]:
    """Return each arm's test loss at the end; every 16th of the published points, which are dense on a smooth curve."""
    table = {}
    for arm, published in (("growing", 4.87e-4), ("static", 6.40e-4), ("ordinary", None)):
        losses = mask_losses(arm, seeds, num_points, (epochs,))[-1]
        low, median, high = map(rounded, np.quantile(losses, (0.025, 0.5, 0.975)))
        mean = rounded(losses.mean())
        table[arm] = {"published": published, "low": low, "median": median, "mean": mean, "high": high}
    return table


def mask_widths(widths: tuple[int, ...], epochs: int) -> list[dict[str, Any]]:
    """Return median test losses of the published width sweep; 16 seeds, every 128th of the published points."""
    rows = []
    for width in widths:
        torch.compiler.reset()  # every width is compiled anew, and PyTorch refuses to keep more than eight
        row: dict[str, Any] = {"neurons": width}
        for arm in ("growing", "static", "ordinary"):
            row[arm] = rounded(np.median(mask_losses(arm, 16, 2**8, (epochs,), width)[-1]))
        row["ratio"] = rounded(row["growing"] / row["static"])
        print(f"         mask, {row}", flush=True)
        rows.append(row)
    return rows


def spiral_accuracies(arm: str, seeds: int, num_points: int, epochs: int) -> np.ndarray:
    """Return test accuracies of all seeds on five spiral arms: two inputs and 10 neurons, by autograd."""
    data = SpiralSource(num_points, 5, noise=0.2, test_share=0.2, seed=0).load()
    inputs, labels = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    generator = torch.Generator().manual_seed(derive_seed(0, "spiral weights"))

    def uniform(fan_in: int, *shape: int) -> Tensor:
        return ((torch.rand(*shape, generator=generator) * 2 - 1) / fan_in**0.5).requires_grad_()

    columns, column, bias = uniform(3, seeds, 2, 10), uniform(3, seeds, 1, 10), uniform(3, seeds, 1, 10)
    last, last_bias = uniform(10, seeds, 10, 5), uniform(10, seeds, 1, 5)
    start = torch.full((seeds,), 1e-5 if arm == "growing" else 1.0)
    control = start.requires_grad_()

    def logits(x: Tensor) -> Tensor:  # (n, 2) -> (seeds, n, 5)
        size = control.detach()
        shift = bias if arm == "ordinary" else bias + size[:, None, None] * column
        gain = controller_mask(size, num_neurons=1)[0][:, None, None]
        return torch.baddbmm(last_bias, gain * torch.tanh(x @ columns + shift), last)

    optimizer = torch.optim.Adam([columns, column, bias, last, last_bias, control], lr=1e-3)
    for _ in range(epochs):
        optimizer.zero_grad()
        task = F.cross_entropy(logits(inputs).transpose(1, 2), labels.expand(seeds, -1), reduction="sum") / len(labels)
        (task + 0.32 * (control - 1).square().sum()).backward()
        optimizer.step()
    with torch.no_grad():
        found = logits(torch.from_numpy(data.x_test)).argmax(2)
    return (found == torch.from_numpy(data.y_test)).double().mean(1).numpy()


def spiral_table(seeds: int, num_points: int, epochs: int) -> dict[str, Any]:
    """Return each arm's test accuracy on the spiral beside the published one of one seed."""
    table = {}
    for arm, published in (("growing", 0.856), ("static", 0.839), ("ordinary", None)):
        accuracies = spiral_accuracies(arm, seeds, num_points, epochs)
        low, median, high = map(rounded, np.quantile(accuracies, (0.025, 0.5, 0.975)))
        table[arm] = {"published": published, "low": low, "median": median, "high": high}
    return table
