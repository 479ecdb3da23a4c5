"""Times GradMax directions beside training steps: how many steps a search for directions costs.

Both see the same batch: a step is forward, backward and AdamW's update; a search finds directions for half as many new
neurons as each group has. One thread, CPU time, both in turns, medians; the networks are small, where the fixed cost of
a search weighs most. Each network is timed with one batch of 64 examples, and with the 640 that a training with ten
classes would show it.

`gradmax_steps_max`: search over step, the largest of all networks; `gradmax_steps`: of each.

Usage: python benchmarks/gradmax.py [--quick]
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from neurosearch.models import Cnn, CnnShape, Mlp, MlpShape
from neurosearch.neurons import find_units, gradmax_directions

NUM_CLASSES = 10
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp_16": (lambda: Mlp(MlpShape((64,), (16,), NUM_CLASSES, "relu", "none", 0.0)), (64,)),
    "mlp_32_32": (lambda: Mlp(MlpShape((64,), (32, 32), NUM_CLASSES, "relu", "none", 0.0)), (64,)),
    "mlp_32_32_tanh": (lambda: Mlp(MlpShape((64,), (32, 32), NUM_CLASSES, "tanh", "none", 0.0)), (64,)),
    "mlp_32_32_norm": (lambda: Mlp(MlpShape((64,), (32, 32), NUM_CLASSES, "relu", "batch", 0.0)), (64,)),
    "mlp_256_256": (lambda: Mlp(MlpShape((64,), (256, 256), NUM_CLASSES, "relu", "none", 0.0)), (64,)),
    "cnn_16_32": (lambda: Cnn(CnnShape((1, 8, 8), (16, 32), NUM_CLASSES, 0.0)), (1, 8, 8)),
}


def steps_of(build: Callable[[], nn.Module], shape: tuple[int, ...], batch: int, repeats: int) -> float:
    """Return how many training steps a search for directions takes."""
    torch.manual_seed(0)
    model = build()
    inputs, targets = torch.randn(batch, *shape), torch.randint(NUM_CLASSES, (batch,))
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    units = find_units(model, (inputs[:2],))
    counts = {group.name: max(1, group.size // 2) for group in units.groups}

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), targets).backward()
        optimizer.step()

    def search() -> None:
        gradmax_directions(model, units, [(inputs, targets)], counts)

    times: dict[Callable[[], None], list[float]] = {step: [], search: []}
    for repeat in range(-3, repeats):
        for run, seconds in times.items():
            started = time.process_time()
            run()
            if repeat >= 0:
                seconds.append(time.process_time() - started)
    return statistics.median(times[search]) / statistics.median(times[step])


def main() -> None:
    """Time every network and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    quick = parser.parse_args().quick
    repeats = 10 if quick else 200
    torch.set_num_threads(1)
    found = {}
    for name, (build, shape) in NETWORKS.items():
        for batch in (64, 640):
            found[f"{name}/{batch}"] = round(steps_of(build, shape, batch, repeats), 3)
            print(f"{name:16} {batch:4} examples: {found[f'{name}/{batch}']:.2f} steps", flush=True)
    figures = {"gradmax_steps_max": max(found.values()), "gradmax_steps": found, "quick": quick, "repeats": repeats}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
