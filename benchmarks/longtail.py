"""Does adding and removing neurons help rare classes: growth beside its controls, with the usual remedies.

Every arm ends with the same network, has the same initialisation and data order in each seed, trains on the whole
long-tailed training set and chooses nothing: the score is the balanced accuracy of the last epoch's network on the
test set. Arms:

- `fixed`: the network as it is.
- `periodic`: neurons come and go in cycles (our reading of arXiv:2507.09940).
- `prolonged`: fixed, with as many more epochs as the periodic arm's training costs more multiply-adds.
- `wide`: fixed, with the grown width, which is kept. The one arm whose final network is larger.
- `wide_then_prune`: the grown width from the start, pruned once.
- `recycle`: dormant neurons begin anew in place (arXiv:2302.12902).
- `random_importance`: periodic, with neurons pruned at random.
- `two_cycles`: periodic, in two long cycles instead of one each 5 epochs; in 15 epochs they are the same. Only where it
  is named.

`arms`: for each case and remedy, each arm's mean and 95 % interval over the seeds, its paired difference to `fixed`
with its interval, and the multiply-adds of its training. Cases of the published recipe (ResNet-32, 200 epochs, ratio
100; in bfloat16 and channels-last) are "not measured" without a GPU, unless `--device cpu` asks for the hours they take
there. With `--keep` a training that was interrupted goes on from its last checkpoint, and one that is done is not done
again. Needs torch, numpy, and the npz files in NEUROSEARCH_TEST_DATA.

Usage: python benchmarks/longtail.py [--cases mnist_mlp16 cifar10_mini_cnn] [--remedies cross_entropy balanced_softmax]
       [--arms fixed periodic] [--seeds 7] [--epochs N] [--workers 2] [--device cpu] [--compile] [--keep FOLDER]
       [--quick]
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from math import sqrt
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch
from longtail_cases import BETA, CASES, FOLDER, REMEDIES, Data, Remedy, data
from torch import Tensor, nn

from neurosearch import names
from neurosearch.data.augmentation import Augmentation
from neurosearch.data.batches import ArrayBatches
from neurosearch.data.sampling import Sampling
from neurosearch.growth import (
    PeriodicPolicy,
    PeriodicSettings,
    RecyclePolicy,
    RecycleSettings,
    StaticPolicy,
    WideThenPrunePolicy,
    WideThenPruneSettings,
)
from neurosearch.models.head import with_cosine_head
from neurosearch.randomness import derive_seed
from neurosearch.training.checkpoint import FolderCheckpointStore, MemoryCheckpointStore
from neurosearch.training.losses import class_balanced_weights
from neurosearch.training.mixing import MixedBatches, MixedTask, Mixup
from neurosearch.training.seams import Batches, GrowthPolicy, Task
from neurosearch.training.second_stage import RetrainedClassifier, SecondStage
from neurosearch.training.tasks import Classification
from neurosearch.training.trainer import Trainer

ARMS = ("fixed", "periodic", "prolonged", "wide", "wide_then_prune", "recycle", "random_importance", "two_cycles")
GROW_SHARE, LATE_SHARE = 0.5, 0.2
PERIODIC = PeriodicSettings(
    period_epochs=5,
    grown_epochs=3,
    grow_share=GROW_SHARE,
    groups="all",
    stop_share=0.7,
    start="zero_outgoing",
    importance="class_balanced_taylor",
    protected_share=0.0,
    copy_noise=0.0,
    explained_share=0.0,
    merge_threshold=0.0,
)
WIDE = WideThenPruneSettings(
    grow_share=GROW_SHARE, prune_share=0.7, importance="class_balanced_taylor", protected_share=0.0, merge_threshold=0.0
)
RECYCLE = RecycleSettings(
    period_epochs=2,
    measure="activation",
    threshold=0.1,
    largest_share=0.5,
    stop_share=0.7,
    start="zero_outgoing",
    copy_noise=0.0,
)


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        keep: Folder for what outlives an interruption; None: nothing does.
    """

    case: str
    remedy: str
    arm: str
    seed: int
    epochs: int
    device: str
    is_compiled: bool
    keep: Path | None

    @property
    def folder(self) -> Path | None:
        """Where this training is kept."""
        name = f"{self.case}-{self.remedy}-{self.arm}-{self.epochs}-{self.seed}"
        return None if self.keep is None else self.keep / name


class LastScored(ArrayBatches):
    """Scores all test images after the last epoch, and a hundred of them after the others, which nobody asks for."""

    last_epoch: int
    _is_last = False

    def train(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the epoch's batches."""
        self._is_last = epoch >= self.last_epoch
        return super().train(epoch)

    def validation(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the test images."""
        for x, y in super().validation():
            if not self._is_last:
                yield x[:100], y[:100]
                return
            yield x, y


def trained(job: Job) -> dict[str, float]:
    """Trains one network and returns its last scores on the test set, with what the training cost."""
    done = None if job.folder is None else job.folder / "result.json"
    if done is not None and done.exists():
        result: dict[str, float] = json.loads(done.read_text())
        return result
    result = scored(job)
    if done is not None:
        done.write_text(json.dumps(result))
        print(json.dumps({done.parent.name: result}), file=sys.stderr, flush=True)
    return result


def scored(job: Job) -> dict[str, float]:
    """Trains one network to its end."""
    torch.set_num_threads(1)
    case, remedy, stored = CASES[job.case], REMEDIES[job.remedy], data(CASES[job.case].data)
    device = torch.device(job.device)
    settings = replace(case.settings, seed=job.seed, epochs=job.epochs, compiled=job.is_compiled)
    batches = LastScored(
        stored.train,
        stored.test,  # in the validation part's place: nothing is chosen by it
        case.batch_size,
        job.seed,
        device,
        stored.num_classes,
        sampling=Sampling(remedy.sampling, job.epochs),
        augmentation=Augmentation(4, flip=True, fill=stored.black) if case.augments else None,
    )
    batches.last_epoch = job.epochs - 1
    trainer = Trainer(
        settings,
        network(job, stored),
        mixed(batches, remedy, job.seed, device),
        task(remedy, batches.class_counts),
        policy(job.arm, job.epochs),
        MemoryCheckpointStore() if job.folder is None else FolderCheckpointStore(job.folder),
        device,
        (torch.zeros(2, *stored.train.x.shape[1:]),),
        second_stage=stage(remedy, batches.class_counts),
    )
    for _ in trainer.epochs():
        pass
    metrics = trainer.finish().record.metrics
    return {
        "score": metrics[names.BALANCED_ACCURACY],
        "accuracy": metrics[names.ACCURACY],
        "multiply_adds": metrics[names.TRAINING_MULTIPLY_ADDS],
        "parameters": metrics[names.PARAMETERS],
    }


def network(job: Job, stored: Data) -> nn.Module:
    """Builds an arm's network; the same seed draws the same weights in every arm of the same widths."""
    torch.manual_seed(derive_seed(job.seed, "init"))
    model = CASES[job.case].network(1 + GROW_SHARE if job.arm == "wide" else 1.0, stored.num_classes)
    scale = REMEDIES[job.remedy].cosine_scale
    example = torch.zeros(1, *stored.train.x.shape[1:])
    return with_cosine_head(model, example, scale) if scale else model


def mixed(batches: ArrayBatches, remedy: Remedy, seed: int, device: torch.device) -> Batches:
    """Returns the batches as the remedy wants them."""
    return MixedBatches(batches, Mixup(remedy.mixup_alpha), seed, device) if remedy.mixup_alpha else batches


def task(remedy: Remedy, counts: Sequence[int]) -> Task:
    """Builds what is learned."""
    late = remedy.loss(counts, class_balanced_weights(counts, BETA)) if remedy.is_reweighted_late else None
    class_names = [str(label) for label in range(len(counts))]
    plain = Classification(remedy.loss(counts, None), counts, class_names, late_loss=late, late_share=LATE_SHARE)
    return MixedTask(plain) if remedy.mixup_alpha else plain


def stage(remedy: Remedy, counts: Sequence[int]) -> SecondStage | None:
    """Builds what happens to the classifier at the end."""
    if not remedy.is_retrained:
        return None
    return RetrainedClassifier(10, 0.1, "class_balanced", task(REMEDIES["cross_entropy"], counts))


def policy(arm: str, epochs: int) -> GrowthPolicy:
    """Builds an arm's growth in a training of so many epochs."""
    match arm:
        case "periodic":
            return PeriodicPolicy(PERIODIC)
        case "random_importance":
            return PeriodicPolicy(replace(PERIODIC, importance="random"))
        case "two_cycles":
            period = int(epochs * PERIODIC.stop_share / 2)
            grown = round(period * PERIODIC.grown_epochs / PERIODIC.period_epochs)
            return PeriodicPolicy(replace(PERIODIC, period_epochs=period, grown_epochs=grown))
        case "wide_then_prune":
            return WideThenPrunePolicy(WIDE)
        case "recycle":
            return RecyclePolicy(RECYCLE)
        case _:
            return StaticPolicy()


def main() -> None:
    """Prints the figures as one JSON object."""
    arguments = parsed()
    cases = [name for name in arguments.cases if device_of(name, arguments) is not None]
    missing = [name for name in cases if not (FOLDER / f"{CASES[name].data}.npz").exists()]
    if missing:
        raise SystemExit(f"{FOLDER} lacks the data of {', '.join(missing)}; name its folder in NEUROSEARCH_TEST_DATA")
    arms = {name: measured(name, arguments) for name in cases}
    rest = {name: not_measured(name, arguments) for name in CASES if name not in cases}
    settings = {"periodic": asdict(PERIODIC), "wide_then_prune": asdict(WIDE), "recycle": asdict(RECYCLE)}
    print(json.dumps({"arms": arms | rest, "seeds": arguments.seeds, "settings": settings, "quick": arguments.quick}))


def parsed() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--remedies", nargs="+", choices=REMEDIES, default=["cross_entropy", "balanced_softmax"])
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS[:-1]))
    parser.add_argument("--seeds", type=int, default=7)
    parser.add_argument("--epochs", type=int, help="instead of each case's own")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that train, on the CPU")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="of the published recipe")
    parser.add_argument("--compile", action="store_true", help="compile the steps of the published recipe")
    parser.add_argument("--keep", type=Path, help="folder for checkpoints and finished trainings")
    parser.add_argument("--quick", action="store_true", help="three seeds, six epochs: shows that the script runs")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seeds, arguments.epochs = 3, arguments.epochs or 6
    return arguments


def device_of(case: str, arguments: argparse.Namespace) -> str | None:
    """Returns where a case is trained; None: it needs a GPU, and there is none."""
    if not CASES[case].gpu_hours or arguments.device == "cpu":
        return "cpu"
    return "cuda" if torch.cuda.is_available() else None


def measured(case: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Trains a case in every remedy and arm on every seed."""
    epochs, device = arguments.epochs or CASES[case].settings.epochs, device_of(case, arguments)
    assert device is not None
    workers = arguments.workers if device == "cpu" else 1
    is_compiled = bool(arguments.compile and CASES[case].gpu_hours)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        found = {}
        for remedy in arguments.remedies:
            jobs = [
                Job(case, remedy, arm, seed, epochs, device, is_compiled, arguments.keep)
                for arm in arguments.arms
                if arm != "prolonged"
                for seed in range(arguments.seeds)
            ]
            results = dict(zip(jobs, pool.map(trained, jobs), strict=True))
            if "prolonged" in arguments.arms:
                longer = prolonged(epochs, results)
                results |= dict(zip(longer, pool.map(trained, longer), strict=True))
            found[remedy] = summary(results, arguments.arms)
            print(json.dumps({case: {remedy: found[remedy]}}), file=sys.stderr, flush=True)
    return found


def prolonged(epochs: int, results: Mapping[Job, dict[str, float]]) -> list[Job]:
    """Returns the fixed trainings with as many epochs as the periodic ones could pay for."""
    cost = {
        arm: fmean(result["multiply_adds"] for job, result in results.items() if job.arm == arm)
        for arm in ("fixed", "periodic")
    }
    longer = round(epochs * cost["periodic"] / cost["fixed"])
    return [replace(job, arm="prolonged", epochs=longer) for job in results if job.arm == "fixed"]


def summary(results: Mapping[Job, dict[str, float]], arms: Sequence[str]) -> dict[str, Any]:
    """Returns each arm's mean and interval, and its paired difference to the fixed one."""
    by_arm = {arm: {job.seed: result for job, result in results.items() if job.arm == arm} for arm in arms}
    rows = {}
    for arm, of_seed in by_arm.items():
        row = interval([result["score"] for result in of_seed.values()], "")
        if arm != "fixed" and "fixed" in by_arm:
            pairs = [result["score"] - by_arm["fixed"][seed]["score"] for seed, result in of_seed.items()]
            row |= interval(pairs, "difference_")
        for what in ("accuracy", "multiply_adds", "parameters"):
            row[what] = float(f"{fmean(result[what] for result in of_seed.values()):.5g}")
        rows[arm] = row | {"epochs": next(job.epochs for job in results if job.arm == arm)}
    return rows


def interval(values: Sequence[float], prefix: str) -> dict[str, float]:
    """Returns mean, low and high of the 95 % interval of Student's t."""
    mean = fmean(values)
    room = t_quantile(len(values) - 1) * stdev(values) / sqrt(len(values)) if len(values) > 1 else float("nan")
    ends = {"mean": mean, "low": mean - room, "high": mean + room}
    return {prefix.rstrip("_") if prefix and name == "mean" else prefix + name: round(x, 4) for name, x in ends.items()}


def t_quantile(freedom: int) -> float:
    """Returns the 97.5 % quantile of Student's t, by its integral: a machine with a GPU may have no SciPy."""
    x = np.linspace(0.0, 100.0, 1_000_001)
    density = (1 + x**2 / freedom) ** (-(freedom + 1) / 2)
    mass = np.cumsum(density)
    return float(x[np.searchsorted(mass, 0.95 * mass[-1])])


def not_measured(case: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Says how a case that was left out is measured, and about how long that takes."""
    num = len(arguments.remedies) * len(arguments.arms) * arguments.seeds
    hours = f"{num * CASES[case].gpu_hours:.0f} hours on a GPU" if CASES[case].gpu_hours else "minutes on a CPU"
    remedies = " ".join(arguments.remedies)
    command = f"python benchmarks/longtail.py --cases {case} --remedies {remedies} --seeds {arguments.seeds}"
    return {"not measured": f"{command}  # about {hours}"}


if __name__ == "__main__":
    main()
