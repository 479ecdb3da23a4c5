"""What bfloat16, channels-last and a compiled step save on a CPU: CPU seconds of one thread of the trainer's epochs.

ResNet-32 on images of CIFAR-10-LT with crops and flips, batch 128, SGD, the same work on every side; the sides take
turns, and the first turn, in which kernels are chosen and compiled, does not count.

- `bf16_ratio`: single precision over bfloat16 and channels-last (`training.bf16`, `training.channels_last`).
- `compiled_ratio`: single precision over the same with `training.compile`.
- `images_per_cpu_second`: of every side.

Processors that multiply in bfloat16 (`amx_bf16` or `avx512_bf16` among the flags that Linux tells) gain; others lose.
Needs torch, numpy, and the npz files in NEUROSEARCH_TEST_DATA.

Usage: python benchmarks/precision.py [--quick]
"""

import argparse
import json
import statistics
import time
from dataclasses import replace

import torch
from longtail_cases import FOLDER, PUBLISHED, data, entropy, resnet32

from neurosearch.data.augmentation import Augmentation
from neurosearch.data.batches import ArrayBatches
from neurosearch.data.prepared import Arrays
from neurosearch.growth import StaticPolicy
from neurosearch.training.checkpoint import MemoryCheckpointStore
from neurosearch.training.tasks import Classification
from neurosearch.training.trainer import Trainer

CPU, DATA = torch.device("cpu"), "cifar10_lt_mini"
SIDES = {
    "float32": {"amp": False, "channels_last": False},
    "float32_channels_last": {"amp": False, "channels_last": True},
    "bf16": {"amp": True, "channels_last": True},
    "compiled": {"amp": True, "channels_last": True, "compiled": True},
}


def main() -> None:
    """Prints the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two small turns: shows that the script runs")
    is_quick = parser.parse_args().quick
    if not (FOLDER / f"{DATA}.npz").exists():
        raise SystemExit(f"{FOLDER} lacks {DATA}.npz; name its folder in NEUROSEARCH_TEST_DATA")
    torch.set_num_threads(1)
    num_images, turns = (128, 2) if is_quick else (1280, 4)
    seconds = measured(num_images, turns)
    rates = {side: num_images / statistics.median(each[1:]) for side, each in seconds.items()}
    figures = {
        "bf16_ratio": round(rates["bf16"] / rates["float32"], 2),
        "compiled_ratio": round(rates["compiled"] / rates["float32"], 2),
        "images_per_cpu_second": {side: round(rate) for side, rate in rates.items()},
    }
    print(json.dumps({**figures, "images": num_images, "turns": turns - 1, "torch": torch.__version__}))


def measured(num_images: int, turns: int) -> dict[str, list[float]]:
    """Lets the sides take turns, an epoch each; returns the CPU seconds of their steps."""
    trainers = {side: trainer(num_images, turns, **changes) for side, changes in SIDES.items()}
    seconds: dict[str, list[float]] = {side: [] for side in trainers}
    for turn in range(turns):
        for side in list(trainers) if turn % 2 else list(reversed(trainers)):
            under_way = trainers[side].begin_epoch()
            before = time.process_time()
            sums = trainers[side].run_steps(under_way)
            seconds[side].append(time.process_time() - before)
            trainers[side].end_epoch(under_way, sums)
    return seconds


def trainer(num_images: int, epochs: int, **changes: bool) -> Trainer:
    """Builds the product's trainer."""
    stored = data(DATA)
    repeated = torch.arange(num_images).remainder(len(stored.train.y)).numpy()
    train = Arrays(stored.train.x[repeated], stored.train.y[repeated])
    few = Arrays(stored.test.x[:8], stored.test.y[:8])
    batches = ArrayBatches(
        train, few, 128, 0, CPU, stored.num_classes, augmentation=Augmentation(4, flip=True, fill=stored.black)
    )
    counts = batches.class_counts
    torch.manual_seed(0)
    return Trainer(
        replace(PUBLISHED, epochs=epochs, drops=(), warmup_epochs=0, **changes),
        resnet32(1.0, stored.num_classes),
        batches,
        Classification(entropy(counts, None), counts, [str(label) for label in range(len(counts))]),
        StaticPolicy(),
        MemoryCheckpointStore(),
        CPU,
        (torch.zeros(2, 3, 32, 32),),
    )


if __name__ == "__main__":
    main()
