"""What the trainer costs beside a bare training loop.

The bare loop holds its data in preloaded tensors, draws one permutation per epoch, and does what a training needs and
nothing more: index a batch, forward, cross-entropy, backward, a step of the same fused optimizer; after each epoch one
forward pass over the validation part, in batches as large as the trainer's, whose accuracy it fetches. The trainer
does its whole job: learning-rate schedule, policy, losses, confusion matrix, every metric, records, and one checkpoint
at the end of the training, in memory.

`static_ratio`: trainer with the static policy over the bare loop, the worse of a digits-like MLP and a 28 x 28 CNN.
`periodic_ratio`: trainer with the periodic policy over a bare loop whose network has the mean width of the periodic
one, rounded; growth, scoring and pruning are in it. Both are medians over the runs; in a run the sides take turns epoch
by epoch, so that they meet the same disturbances. CPU seconds of one thread.
`checkpoint_ms`: what a checkpoint into a folder costs, forced to the disk; the bare loop has none.

Usage: python benchmarks/trainer_overhead.py [--quick]
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurosearch.data.batches import ArrayBatches
from neurosearch.data.prepared import Arrays
from neurosearch.growth import PeriodicPolicy, PeriodicSettings, StaticPolicy
from neurosearch.models import Cnn, CnnShape, Mlp, MlpShape
from neurosearch.training.checkpoint import FolderCheckpointStore, MemoryCheckpointStore
from neurosearch.training.losses import CrossEntropy
from neurosearch.training.seams import GrowthPolicy
from neurosearch.training.settings import TrainingSettings
from neurosearch.training.tasks import Classification
from neurosearch.training.trainer import Trainer

CPU = torch.device("cpu")
NUM_CLASSES = 10
LEARNING_RATE = 1e-3
PERIODIC = PeriodicSettings(
    period_epochs=5,
    grown_epochs=3,
    grow_share=0.5,
    stop_share=1.0,
    groups="all",
    start="zero_outgoing",
    importance="class_balanced_taylor",
    protected_share=0.0,
    copy_noise=0.1,
    explained_share=0.0,
    merge_threshold=0.0,
)


@dataclass(frozen=True)
class Case:
    """One kind of network on data of one size."""

    name: str
    shape: tuple[int, int, int]
    num_train: int
    num_validation: int
    batch_size: int
    widths: tuple[int, ...]
    cycles: int
    make: Callable[[tuple[int, ...]], nn.Module]


def mlp(widths: tuple[int, ...]) -> nn.Module:
    """Builds the MLP for 8 x 8 images."""
    return Mlp(MlpShape((1, 8, 8), widths, NUM_CLASSES, "relu", "none", 0.0))


def cnn(widths: tuple[int, ...]) -> nn.Module:
    """Builds the CNN for 28 x 28 images."""
    return Cnn(CnnShape((1, 28, 28), widths, NUM_CLASSES, 0.0))


CASES = (
    Case("mlp", (1, 8, 8), 1000, 250, 32, (64, 64), 6, mlp),
    Case("cnn", (1, 28, 28), 4000, 800, 64, (20, 40), 1, cnn),
)


def main() -> None:
    """Prints the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer images and runs: shows that the script runs")
    quick = parser.parse_args().quick
    runs, shrink = (3, 4) if quick else (5, 1)
    torch.set_num_threads(1)
    figures: dict[str, float | bool | int] = {}
    for case in CASES:
        measured = [measure(case, run, shrink) for run in range(runs)]
        for name in ("static", "periodic"):
            ratios = [ratio[name] for ratio in measured]
            figures[f"{case.name}_{name}_ratio"] = round(statistics.median(ratios), 4)
            print(case.name, name, "ratios:", ", ".join(f"{ratio:.3f}" for ratio in ratios), flush=True)
    for name in ("static", "periodic"):
        figures[f"{name}_ratio"] = max(value for key, value in figures.items() if key.endswith(f"_{name}_ratio"))
    figures |= {"checkpoint_ms": checkpoint_milliseconds(), "quick": quick, "runs": runs}
    figures |= {f"{case.name}_examples": case.num_train // (shrink if case.name == "cnn" else 1) for case in CASES}
    print(json.dumps(figures))


def measure(case: Case, run: int, shrink: int) -> dict[str, float]:
    """Returns the trainer's CPU seconds over the bare loop's, with the static and with the periodic policy."""
    shrink = shrink if case.name == "cnn" else 1  # the MLP's epochs are short as they are
    train = images(case.shape, case.num_train // shrink, seed=run)
    validation = images(case.shape, case.num_validation // shrink, seed=run + 1000)
    epochs = case.cycles * PERIODIC.period_epochs
    seconds: dict[str, float] = dict.fromkeys(("static", "periodic", "static_bare", "periodic_bare"), 0.0)
    sides = {
        "static": trainer(case, StaticPolicy(), train, validation, epochs, run).epochs(),
        "static_bare": bare_loop(case.make(case.widths), train, validation, case.batch_size, epochs),
        "periodic": trainer(case, PeriodicPolicy(PERIODIC), train, validation, epochs, run).epochs(),
        "periodic_bare": bare_loop(case.make(mean_widths(case.widths)), train, validation, case.batch_size, epochs),
    }
    for epoch in range(epochs):
        order = list(sides) if (epoch + run) % 2 == 0 else list(reversed(sides))
        for name in order:
            started = time.process_time()
            next(sides[name])
            seconds[name] += time.process_time() - started
    return {name: seconds[name] / seconds[f"{name}_bare"] for name in ("static", "periodic")}


def mean_widths(widths: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the widths of a fixed network as large, on average over the epochs, as the periodic one."""
    share = 1 + PERIODIC.grow_share * PERIODIC.grown_epochs / PERIODIC.period_epochs
    return tuple(round(width * share) for width in widths)


def trainer(case: Case, policy: GrowthPolicy, train: Arrays, validation: Arrays, epochs: int, seed: int) -> Trainer:
    """Builds the product's trainer on the case's data."""
    batches = ArrayBatches(train, validation, case.batch_size, seed, CPU, NUM_CLASSES)
    return Trainer(
        settings=TrainingSettings(
            epochs=epochs,
            optimizer="adamw",
            learning_rate=LEARNING_RATE,
            momentum=0.9,
            weight_decay=0.0,
            schedule="cosine",
            drops=(),
            drop_factor=0.1,
            warmup_epochs=0,
            checkpoint_every_epochs=epochs,
            importance_examples=64,
            decorrelation=0.0,
            amp=False,
            channels_last=False,
            compiled=False,
            measure_latency=False,
            seed=seed,
        ),
        model=case.make(case.widths),
        batches=batches,
        task=Classification(
            CrossEntropy("cross_entropy", None), batches.class_counts, [str(label) for label in range(NUM_CLASSES)]
        ),
        policy=policy,
        checkpoints=MemoryCheckpointStore(),
        device=CPU,
        example_inputs=(torch.zeros(2, *case.shape),),
    )


def bare_loop(model: nn.Module, train: Arrays, validation: Arrays, batch_size: int, epochs: int) -> Iterator[float]:
    """Trains without anything around it; yields the validation accuracy after each epoch."""
    x, y = torch.from_numpy(train.x), torch.from_numpy(train.y)
    validation_x, validation_y = torch.from_numpy(validation.x), torch.from_numpy(validation.y)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0, fused=True)
    for _ in range(epochs):
        model.train()
        for positions in torch.randperm(len(y)).split(batch_size):
            optimizer.zero_grad()
            F.cross_entropy(model(x[positions]), y[positions]).backward()
            optimizer.step()
        yield accuracy(model, validation_x, validation_y)


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Returns the share of right predictions."""
    model.eval()
    with torch.inference_mode():
        hits = [(model(a).argmax(1) == b).sum() for a, b in zip(x.split(2048), y.split(2048), strict=True)]
        return torch.stack(hits).sum().item() / len(y)


def images(shape: tuple[int, int, int], count: int, seed: int) -> Arrays:
    """Draws images of class-dependent brightness, all classes equally often."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % NUM_CLASSES
    x = generator.normal(size=(count, *shape)) + labels[:, None, None, None] / NUM_CLASSES
    return Arrays(x.astype(np.float32), labels.astype(np.int64))


def checkpoint_milliseconds() -> float:
    """Returns the wall time of saving a state as large as the MLP's with AdamW, median of 20."""
    parameters = {str(index): parameter.detach() for index, parameter in enumerate(mlp((64, 64)).parameters())}
    state = {"model": parameters, "first": parameters, "second": {k: v.clone() for k, v in parameters.items()}}
    times = []
    with tempfile.TemporaryDirectory() as folder:
        store = FolderCheckpointStore(Path(folder))
        for epoch in range(20):
            started = time.perf_counter()
            store.save(epoch, state)
            times.append(time.perf_counter() - started)
    return round(1000 * statistics.median(times), 2)


if __name__ == "__main__":
    main()
