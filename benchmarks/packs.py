"""What packs save, beside the same trainings one after the other; one thread, CPU seconds, both sides in turns.

- `tiny_speedup`: trial-steps per CPU second of nimble networks (9 neurons, 32 points, the size an input and a gate,
  as published) in one `training.pack.Pack` of 256 whose step is compiled, as a search packs them, over those of the
  same trainers one after the other by autograd; 4,000 steps, their growth is in both. Compiling is not counted; `tiny`
  has its seconds, and the rates.
- `tiny_eager_speedup`: the same for a pack whose step is not compiled, 1,000 steps.
- `tiny_closed_form_speedup`: the same by the step of `training.packed`, which no search uses.
- `bessel_cpu_ratio`: CPU seconds of one published Bessel trial (10 neurons under the controller mask, 32,768 points,
  four fifths of them for training, Adam, 5,000 epochs) as a process of its own that runs our trainer, over its share of
  one process that trains 16 of them by the compiled step. Imports are in both, compilation is in the second.
- `mlp_speedup`: epochs of 8x8-input classifiers with one or two hidden layers of 16 to 128 neurons, packed over one
  after the other with the fused Adam, scores and records in both; the least of packs of 16 and of 64. `mlp` has both,
  and packs whose members have all one width.
- `lambda_step_cpu_seconds`: the 400 trainings of one published lambda, 17,782 epochs each, compilation not counted.
- `gpu`: trials per hour of 1, 8 and 32 ResNet-8 on images of 32 pixels, packed in one process and as one process each
  that share the GPU, starting included; without a GPU, the command that measures it.

Usage: python benchmarks/packs.py [--quick] [--gpu]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from math import pi
from typing import Any

import numpy as np
import torch
from growing_mask import bessel, mask_losses, rounded

from neurosearch.data.batches import ArrayBatches
from neurosearch.data.prepared import Arrays
from neurosearch.growth import MaskPolicy, MaskSettings, NimblePolicy, NimbleSettings, StaticPolicy
from neurosearch.models import Mlp, MlpShape, draw_uniform
from neurosearch.models.resnet_cifar import ResnetCifar, ResnetCifarShape
from neurosearch.training.checkpoint import MemoryCheckpointStore
from neurosearch.training.losses import CrossEntropy
from neurosearch.training.pack import Pack
from neurosearch.training.seams import Batch, Batches, GrowthPolicy, Task
from neurosearch.training.settings import TrainingSettings
from neurosearch.training.tasks import Classification, Regression
from neurosearch.training.trainer import Trainer

CPU = torch.device("cpu")
NUM_NEURONS = 9  # as in `growing`, whose import needs SciPy: a machine with a GPU may have none
SETTINGS = {
    "epochs": 1,
    "optimizer": "adam",
    "learning_rate": 0.001,
    "momentum": 0.9,
    "weight_decay": 0.0,
    "schedule": "constant",
    "drops": (0.8,),
    "drop_factor": 0.1,
    "warmup_epochs": 0,
    "checkpoint_every_epochs": 10_000,
    "importance_examples": 4,
    "decorrelation": 0.0,
    "amp": False,
    "channels_last": False,
    "compiled": False,
    "measure_latency": False,
    "seed": 0,
}
PUBLISHED_SIZE = NimbleSettings(  # of arXiv:2501.18012, sizes in neurons
    size_coefficient=0.266,
    target_share=5 / NUM_NEURONS,
    start_share=0.0,
    maximum_share=1.0,
    gate_width=1.0,
    size_unit="neurons",
    size_input=True,
    column_scale=1.0,
    sharing="each",
    learning_rate=0.001,
    check_steps=1,
)
PUBLISHED_MASK = MaskSettings(
    size_coefficient=0.32, start=0.0, size_input=True, column_scale=0.7, sharing="all", learning_rate=0.001
)
WIDTHS = (16, 32, 64, 128)


class Repeated:
    """The same batches, but many times in each epoch: steps without the scores of as many epochs; a `Batches`."""

    def __init__(self, batches: Batches, times: int) -> None:
        self._batches = batches
        self._times = times
        self.steps_per_epoch = batches.steps_per_epoch * times
        self.class_counts = batches.class_counts
        self.train_as_is, self.validation, self.balanced = batches.train_as_is, batches.validation, batches.balanced

    def train(self, epoch: int) -> Iterator[Batch]:
        """Yield the epoch's batches, again and again."""
        batches = list(self._batches.train(epoch))
        for _ in range(self._times):
            yield from batches


def trainer_of(model: Mlp, batches: Batches, task: Task, policy: GrowthPolicy, **changes: Any) -> Trainer:
    """Return a trainer that keeps its checkpoints in memory."""
    settings = TrainingSettings(**{**SETTINGS, **changes})
    example = torch.zeros(2, *model.shape.input_shape)
    return Trainer(settings, model, batches, task, policy, MemoryCheckpointStore(), CPU, (example,))


def points(num_points: int, terms: int, low: float, high: float, seed: int) -> tuple[Arrays, Arrays]:
    """Return points of a sum of Bessel functions: four fifths to train on, the rest to test."""
    x = torch.linspace(-1, 1, num_points, dtype=torch.float64)
    x = x[torch.randperm(num_points, generator=torch.Generator().manual_seed(seed))]
    y = bessel(terms, low, high)(x)
    num_test = -(-num_points // 5)
    both = (x.float().numpy()[:, None], y.float().numpy()[:, None])
    return Arrays(both[0][num_test:], both[1][num_test:]), Arrays(both[0][:num_test], both[1][:num_test])


def tiny_trainer(seed: int, steps: int, *, compiled: bool) -> Trainer:
    """Return a published nimble network on 32 points, all of them in every step."""
    train, test = points(40, 1, 0.1, 0.2, seed)
    torch.manual_seed(seed)
    model = Mlp(MlpShape((1,), (NUM_NEURONS,), 1, "tanh", "none", 0.0))
    draw_uniform(model)
    batches = Repeated(ArrayBatches(train, test, len(train.y), seed, CPU, 0), steps)
    task, policy = Regression("mse", ["y"], [1.0]), NimblePolicy(PUBLISHED_SIZE)
    return trainer_of(model, batches, task, policy, seed=seed, optimizer="sgd", momentum=0.0, compiled=compiled)


def tiny_pack(count: int, steps: int, *, compiled: bool) -> tuple[float, float]:
    """Return trial-steps per CPU second of a pack of tiny networks, and the seconds that its step took to compile."""
    pack = Pack()
    for num_steps in (2, steps):  # the first ones compile, and warm up
        trainers = [tiny_trainer(seed, num_steps, compiled=compiled) for seed in range(count)]
        for trainer in trainers:
            trainer.prepare()
        started = time.process_time()
        failed = [each for each in pack.train_epoch(trainers) if isinstance(each, Exception)]
        seconds = time.process_time() - started
        assert not failed, failed
    return count * steps / seconds, pack.compile_seconds


def tiny(count: int, steps: int) -> dict[str, float]:
    """Return trial-steps per CPU second: alone, in packs of the search, by the closed form; and compiling's seconds."""
    from growing import SWEEP, train_arms

    alone = [tiny_trainer(seed, steps, compiled=False) for seed in range(4)]
    started = time.process_time()
    for trainer in alone:
        list(trainer.epochs())
    alone_rate = len(alone) * steps / (time.process_time() - started)
    compiled_rate, compile_seconds = tiny_pack(count, steps, compiled=True)
    eager_rate, _ = tiny_pack(count, steps // 4, compiled=False)
    train_arms(SWEEP, np.array([0.266]), 94, 1, seed=0)  # compiles
    started = time.process_time()
    train_arms(SWEEP, np.array([0.266]), 94, 12 * steps, seed=0)
    closed_form_rate = 400 * 12 * steps / (time.process_time() - started)
    rates = {"alone": alone_rate, "compiled": compiled_rate, "eager": eager_rate, "closed_form": closed_form_rate}
    return {name: rounded(each) for name, each in (rates | {"compile_seconds": compile_seconds}).items()}


def bessel_alone(epochs: int, num_points: int) -> None:
    """Train the published Bessel trial by our trainer."""
    train, test = points(num_points, 3, -2 * pi, 2 * pi, 0)
    torch.manual_seed(0)
    batches = ArrayBatches(train, test, len(train.y), 0, CPU, 0)
    task, policy = Regression("mse", ["y"], [1.0]), MaskPolicy(PUBLISHED_MASK)
    model = Mlp(MlpShape((1,), (10,), 1, "tanh", "none", 0.0))
    for record in trainer_of(model, batches, task, policy, epochs=epochs).epochs():
        last = record
    print(last.metrics["rmse"])


def bessel_together(epochs: int, num_points: int) -> None:
    """Train 16 of them by the compiled step."""
    print(mask_losses("growing", 16, num_points, (epochs,))[-1])


def cpu_seconds_of(part: str, epochs: int, num_points: int) -> float:
    """Return the CPU seconds of this script's part in a process of its own."""

    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = spent()
    command = [sys.executable, __file__, "--part", part, str(epochs), str(num_points)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return spent() - before


def bessel_table(epochs: int, num_points: int) -> dict[str, Any]:
    """Return the CPU seconds of one Bessel trial both ways."""
    alone = cpu_seconds_of("alone", epochs, num_points)
    together = cpu_seconds_of("together", epochs, num_points)
    return {"alone": rounded(alone), "together": rounded(together / 16), "ratio": rounded(alone / (together / 16))}


def images(seed: int, count: int) -> Arrays:
    """Return noisy prototypes of ten classes, 8 x 8, as many as the digits have."""
    generator = np.random.default_rng(seed)
    prototypes = np.random.default_rng(0).normal(size=(10, 1, 8, 8))
    labels = np.arange(count) % 10
    x = prototypes[labels] + generator.normal(size=(count, 1, 8, 8))
    return Arrays(x.astype(np.float32), labels.astype(np.int64))


def classifier(seed: int, widths: tuple[int, ...], epochs: int, parts: tuple[Arrays, Arrays]) -> Trainer:
    """Return a training of an 8x8-input classifier with the fused Adam."""
    torch.manual_seed(seed)
    model = Mlp(MlpShape((1, 8, 8), widths, 10, "relu", "none", 0.0))
    batches = ArrayBatches(*parts, 64, seed, CPU, 10)
    counts = batches.class_counts
    task = Classification(CrossEntropy("cross_entropy", None), counts, [str(each) for each in range(10)])
    rate = 10 ** np.random.default_rng(seed).uniform(-3.5, -2.5)
    return trainer_of(model, batches, task, StaticPolicy(), epochs=epochs, seed=seed, learning_rate=float(rate))


def mlp_speedup(widths: Sequence[tuple[int, ...]], epochs: int) -> float:
    """Return CPU seconds one after the other over CPU seconds packed, for networks of these widths, taking turns."""
    parts = images(1, 1437), images(2, 360)
    alone, together = ([classifier(i, each, epochs, parts) for i, each in enumerate(widths)] for _ in range(2))
    pack, runs = Pack(), [trainer.epochs() for trainer in alone]
    for trainer in together:
        trainer.prepare()
    seconds = [0.0, 0.0]
    for epoch in range(epochs):
        started = time.process_time()
        for run in runs:
            next(run)
        halfway = time.process_time()
        pack.train_epoch(together)
        if epoch:  # the first one warms both up
            seconds[0] += halfway - started
            seconds[1] += time.process_time() - halfway
    return rounded(seconds[0] / seconds[1])


def drawn_widths(count: int, depth: int) -> list[tuple[int, ...]]:
    """Return widths as a search draws them: any multiple of 16 from 16 to 128."""
    generator = np.random.default_rng(count)
    return [tuple(int(w) for w in 16 * generator.integers(1, 9, size=depth)) for _ in range(count)]


def mlp_table(epochs: int) -> dict[str, float]:
    """Return the speed-up of packs of 16 and 64, for drawn widths and for one width each."""
    table: dict[str, float] = {}
    for size in (16, 64):
        for depth in (1, 2):
            table[f"{size}, {depth} hidden, drawn"] = mlp_speedup(drawn_widths(size, depth), epochs)
            for width in WIDTHS:
                table[f"{size}, {depth} hidden, {width}"] = mlp_speedup([(width,) * depth] * size, epochs)
    return table


def resnet(seed: int, steps: int, device: torch.device) -> Trainer:
    """Return a training of a ResNet-8 on random images, which stay on the device."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(10, size=128 * steps).astype(np.int64)
    train = Arrays(generator.normal(size=(len(labels), 3, 32, 32)).astype(np.float32), labels)
    torch.manual_seed(seed)
    model = ResnetCifar(ResnetCifarShape((3, 32, 32), (16, 32, 64), (16, 32, 64), 1, 10))
    batches = ArrayBatches(train, Arrays(train.x[:128], labels[:128]), 128, seed, device, 10)
    task = Classification(CrossEntropy("cross_entropy", None), [1] * 10, [str(each) for each in range(10)])
    settings = TrainingSettings(**{**SETTINGS, "epochs": 20, "seed": seed, "optimizer": "sgd"})
    example = torch.zeros(2, 3, 32, 32)
    return Trainer(settings, model, batches, task, StaticPolicy(), MemoryCheckpointStore(), device, (example,))


def resnets(count: int, steps: int) -> None:
    """Train so many of them as one pack, a single one alone, on the GPU if there is one."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    members, pack = [resnet(seed, steps, device) for seed in range(count)], Pack()
    if count == 1:
        list(members[0].epochs())
    while not members[0].is_over:
        pack.train_epoch(members)


def gpu_table(steps: int) -> Any:
    """Return trials per hour both ways; what to run where there is no GPU."""
    if not torch.cuda.is_available():
        return "not measured: no GPU; python benchmarks/packs.py --gpu"

    def per_hour(count: int, *each: int) -> float:
        started = time.perf_counter()
        command = [sys.executable, __file__, "--part", "resnets"]
        running = [subprocess.Popen([*command, str(size), str(steps)], stdout=subprocess.DEVNULL) for size in each]
        assert all(process.wait() == 0 for process in running)
        return rounded(3600 * count / (time.perf_counter() - started))

    return {count: {"packed": per_hour(count, count), "apart": per_hour(count, *[1] * count)} for count in (1, 8, 32)}


def main() -> None:
    """Print figures as they come, and all of them as one JSON object in the last line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few epochs: shows that the script runs")
    parser.add_argument("--gpu", action="store_true", help="the table of the GPU alone")
    parser.add_argument("--part", nargs=3, help=argparse.SUPPRESS)  # what a process of its own does
    asked = parser.parse_args()
    quick = asked.quick
    torch.set_num_threads(1)
    if asked.gpu:
        print(json.dumps({"gpu": gpu_table(20 if quick else 100)}))
        return
    if asked.part is not None and asked.part[0] == "resnets":
        resnets(int(asked.part[1]), int(asked.part[2]))
        return
    if asked.part is not None:
        torch.set_flush_denormal(asked.part[0] == "together")
        (bessel_alone if asked.part[0] == "alone" else bessel_together)(int(asked.part[1]), int(asked.part[2]))
        return
    from growing import SWEEP, lambda_step_seconds

    rates = tiny(32 if quick else 256, 80 if quick else 4000)
    print(f"tiny: {rates}", flush=True)
    torch.set_flush_denormal(True)
    step_seconds = rounded(lambda_step_seconds(int(SWEEP.epochs * (0.01 if quick else 1.0))))
    torch.set_flush_denormal(False)
    print(f"lambda step: {step_seconds} CPU s", flush=True)
    mlp = mlp_table(2 if quick else 6)
    print(f"mlp: {mlp}", flush=True)
    trial = bessel_table(20 if quick else 5000, 2**10 if quick else 2**15)
    print(f"bessel: {trial}", flush=True)
    figures = {
        "tiny_speedup": rounded(rates["compiled"] / rates["alone"]),
        "tiny_eager_speedup": rounded(rates["eager"] / rates["alone"]),
        "tiny_closed_form_speedup": rounded(rates["closed_form"] / rates["alone"]),
        "bessel_cpu_ratio": trial["ratio"],
        "mlp_speedup": min(value for name, value in mlp.items() if "drawn" in name),
        "lambda_step_cpu_seconds": step_seconds,
        "tiny": rates,
        "bessel": trial,
        "mlp": mlp,
        "gpu": gpu_table(20 if quick else 100),
        "load": os.getloadavg()[0],
        "quick": quick,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
