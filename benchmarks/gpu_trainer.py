"""How fast the trainer feeds a GPU, beside two loops written by hand.

ResNet-32 on CIFAR-10-LT, batch 128, random crops and flips, SGD, cross-entropy, and one pass over the test part after
every epoch: the same work on every side, in bfloat16 and channels-last on a GPU.

- `trainer`: the product's, with the static policy: data resident on the device, augmented there batch by batch.
- `dataloader`: a plain loop over a DataLoader with 8 persistent workers and pinned memory, augmented by torchvision.
- `plain`: a plain loop over data resident on the device, augmented there batch by batch.

In a turn each side does one epoch, in an order that alternates; the first turn warms up and does not count.
`images_per_second` is the trainer's, evaluation included; `dataloader_ratio` and `plain_ratio` say how many times as
fast the trainer is (medians over the turns). `event_share` is the time of a growth event (periodic: scoring, growing or
pruning half the width of all groups), as a share of an epoch of the same training without one; each is waited for.
`recompile_share` is what the epoch after an event takes longer than the next one, as a share of the same: next to
nothing, but with `--compile` the time to compile the changed network.

Needs torch, torchvision, numpy, and the npz files in NEUROSEARCH_TEST_DATA; without a GPU the figures are "not
measured".

Usage: python benchmarks/gpu_trainer.py [--quick] [--device cpu] [--compile]
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from longtail_cases import FOLDER, PUBLISHED, data, entropy, resnet32
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from neurosearch import names
from neurosearch.data.augmentation import Augmentation, Augmenter
from neurosearch.data.batches import ArrayBatches
from neurosearch.data.prepared import Arrays
from neurosearch.growth import PeriodicPolicy, PeriodicSettings, StaticPolicy
from neurosearch.growth.policy import Clock, Decision, Need
from neurosearch.training.checkpoint import MemoryCheckpointStore
from neurosearch.training.seams import GrowthPolicy
from neurosearch.training.tasks import Classification
from neurosearch.training.trainer import Trainer

BATCH, WORKERS, PADDING, LARGE = 128, 8, 4, 2048
FIGURES = ("images_per_second", "dataloader_ratio", "plain_ratio", "event_share", "recompile_share")
PERIODIC = PeriodicSettings(
    period_epochs=4,  # two epochs after each event: the first one compiles, the second one shows what an epoch takes
    grown_epochs=2,
    grow_share=0.5,
    groups="all",
    stop_share=1.0,
    start="zero_outgoing",
    importance="class_balanced_taylor",
    protected_share=0.0,
    copy_noise=0.1,
    explained_share=0.0,
    merge_threshold=0.0,
)


@dataclass(frozen=True)
class Setup:
    """What all sides share."""

    device: torch.device
    compiled: bool
    turns: int
    train: Arrays
    test: Arrays
    num_classes: int
    black: tuple[float, ...]

    @property
    def is_fast(self) -> bool:
        """Whether bfloat16 and channels-last are worth it."""
        return self.device.type == "cuda"


def main() -> None:
    """Prints the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="128 images and two turns: shows that the script runs")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu needs --quick")
    parser.add_argument("--compile", action="store_true", help="compile the steps of every side")
    words = parser.parse_args()
    if words.device == "cuda" and not torch.cuda.is_available():
        command = "python benchmarks/gpu_trainer.py  # on a machine with a GPU, minutes"
        print(json.dumps({name: {"not measured": command} for name in FIGURES}))
        return
    if words.device == "cpu" and not words.quick:
        parser.error("a ResNet-32 takes hours on a CPU: add --quick")
    print(json.dumps(measured(make_setup(torch.device(words.device), words.compile, words.quick), words.quick)))


def make_setup(device: torch.device, compiled: bool, quick: bool) -> Setup:
    """Reads the data; a few of them for a quick run."""
    name = "cifar10_lt_mini" if quick else "cifar10_lt"
    if not (FOLDER / f"{name}.npz").exists():
        raise SystemExit(f"{FOLDER} lacks {name}.npz; name its folder in NEUROSEARCH_TEST_DATA")
    found = data(name)
    count = 128 if quick else len(found.train.y)
    chosen = np.random.default_rng(0).permutation(len(found.train.y))[:count]
    train = Arrays(found.train.x[chosen], found.train.y[chosen])
    test = Arrays(found.test.x[:64], found.test.y[:64]) if quick else found.test
    return Setup(device, compiled, 2 if quick else 6, train, test, found.num_classes, found.black)


def measured(setup: Setup, quick: bool) -> dict[str, object]:
    """Lets the sides take turns and returns the figures."""
    sides = {
        "trainer": trainer(setup, StaticPolicy(), setup.turns).epochs(),
        "dataloader": plain_loop(setup, loaded(setup)),
        "plain": plain_loop(setup, resident(setup)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(setup.turns):
        for name in list(sides) if turn % 2 else list(reversed(sides)):
            seconds[name].append(timed(sides[name], setup.device))
    print({name: [round(each, 3) for each in times] for name, times in seconds.items()}, flush=True)
    cycles = 1 if quick or setup.compiled else 3  # compiling a changed network takes up to a minute
    counted = {name: np.array(times[1:]) for name, times in seconds.items()}
    ratios = {name: float(np.median(counted[name] / counted["trainer"])) for name in ("dataloader", "plain")}
    return {
        "images_per_second": round(len(setup.train.y) / statistics.median(counted["trainer"].tolist())),
        **{f"{name}_ratio": round(ratio, 3) for name, ratio in ratios.items()},
        **{name: round(share, 4) for name, share in event_shares(setup, cycles).items()},
        "device": torch.cuda.get_device_name() if setup.is_fast else "cpu",
        "compile": setup.compiled,
        "images": len(setup.train.y),
        "torch": torch.__version__,
        "quick": quick,
        "runs": setup.turns - 1,
    }


def timed(side: Iterator[object], device: torch.device) -> float:
    """Returns the seconds of a side's next epoch, all of the device's work included."""
    wait(device)
    started = time.perf_counter()
    next(side)
    wait(device)
    return time.perf_counter() - started


def wait(device: torch.device) -> None:
    """Waits until the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def trainer(setup: Setup, policy: GrowthPolicy, epochs: int) -> Trainer:
    """Builds the product's trainer."""
    augmentation = Augmentation(PADDING, flip=True, fill=setup.black)
    batches = ArrayBatches(
        setup.train, setup.test, BATCH, 0, setup.device, setup.num_classes, augmentation=augmentation
    )
    counts = batches.class_counts
    return Trainer(
        settings=replace(
            PUBLISHED,
            epochs=epochs,
            drops=(),
            warmup_epochs=0,
            amp=setup.is_fast,
            channels_last=setup.is_fast,
            compiled=setup.compiled,
        ),
        model=resnet32(1.0, setup.num_classes),
        batches=batches,
        task=Classification(entropy(counts, None), counts, [str(label) for label in range(len(counts))]),
        policy=policy,
        checkpoints=MemoryCheckpointStore(),
        device=setup.device,
        example_inputs=(torch.zeros(2, 3, 32, 32),),
    )


def plain_loop(setup: Setup, epochs: Iterator[Iterator[tuple[Tensor, Tensor]]]) -> Iterator[float]:
    """Trains without anything around it; yields the test accuracy after each epoch."""
    model: nn.Module = resnet32(1.0, setup.num_classes).to(setup.device)
    if setup.is_fast:
        model.to(memory_format=torch.channels_last)
    # A function of its own: what the compiler has made of a class's `forward` serves every network of that class, and
    # the trainer would run on the plain loops' code.
    forward = torch.compile(lambda images: model(images)) if setup.compiled else model  # noqa: PLW0108
    optimizer = torch.optim.SGD(
        model.parameters(), PUBLISHED.learning_rate, PUBLISHED.momentum, weight_decay=PUBLISHED.weight_decay, fused=True
    )
    test_x, test_y = (torch.from_numpy(each).to(setup.device) for each in (setup.test.x, setup.test.y))
    for batches in epochs:
        model.train()
        for x, y in batches:
            optimizer.zero_grad()
            F.cross_entropy(passed(setup, forward, x), y).backward()
            optimizer.step()
        model.eval()
        with torch.inference_mode():
            parts = zip(test_x.split(LARGE), test_y.split(LARGE), strict=True)
            hits = torch.stack([(passed(setup, model, x).argmax(1) == y).sum() for x, y in parts])
        yield hits.sum().item() / len(test_y)


def passed(setup: Setup, forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Returns the logits, in bfloat16 and channels-last where that is worth it."""
    if not setup.is_fast:
        return forward(x)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        return forward(x.contiguous(memory_format=torch.channels_last))


class Pictures(Dataset):
    """Images one by one, augmented as torchvision does it."""

    def __init__(self, train: Arrays, black: tuple[float, ...]) -> None:
        self._train = train
        # The images are normalised already, so what a crop pads with is what black has become; it pads one channel
        # value for all here, which costs as much as three.
        crop = transforms.RandomCrop(32, padding=PADDING, fill=black[0])
        self._change = transforms.Compose([crop, transforms.RandomHorizontalFlip()])

    def __len__(self) -> int:
        return len(self._train.y)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._change(torch.from_numpy(self._train.x[index])), int(self._train.y[index])


def loaded(setup: Setup) -> Iterator[Iterator[tuple[Tensor, Tensor]]]:
    """Yields epoch by epoch the batches of a DataLoader."""
    loader = DataLoader(
        Pictures(setup.train, setup.black),
        BATCH,
        shuffle=True,
        num_workers=WORKERS if setup.is_fast else 2,
        persistent_workers=True,
        pin_memory=setup.is_fast,
    )
    while True:
        yield ((x.to(setup.device, non_blocking=True), y.to(setup.device, non_blocking=True)) for x, y in loader)


def resident(setup: Setup) -> Iterator[Iterator[tuple[Tensor, Tensor]]]:
    """Yields epoch by epoch batches of data that lie on the device."""
    x, y = (torch.from_numpy(each).to(setup.device) for each in (setup.train.x, setup.train.y))
    augmenter = Augmenter(Augmentation(PADDING, flip=True, fill=setup.black), 32, 32, setup.device)
    epoch = 0
    while True:
        order = torch.randperm(len(y), device=setup.device)
        drawn = augmenter.draw(len(y), epoch).to(setup.device)
        parts = zip(order.split(BATCH), drawn.split(BATCH), strict=True)
        yield ((augmenter.apply(x[positions], how), y[positions]) for positions, how in parts)
        epoch += 1


class TimedPolicy(PeriodicPolicy):
    """Notes when an event begins: every call of `due` that asks for one."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(PERIODIC)
        self._device = device
        self.began: float | None = None

    def due(self, clock: Clock) -> Need | None:
        """Returns what the periodic policy says."""
        need = super().due(clock)
        if need is not None:
            wait(self._device)
            self.began = time.perf_counter()
        return need


def event_shares(setup: Setup, cycles: int) -> dict[str, float]:
    """Returns the median times of a growth event and of what follows it, as shares of an epoch without either."""
    policy = TimedPolicy(setup.device)
    growing = trainer(setup, policy, cycles * PERIODIC.period_epochs)
    carry_out = growing.carry_out
    events: list[float] = []

    def timed_change(decisions: Sequence[Decision]) -> None:
        carry_out(decisions)
        wait(setup.device)
        assert policy.began is not None
        events.append(time.perf_counter() - policy.began)

    growing.carry_out = timed_change  # an event ends where its decisions are carried out
    epochs = [record.metrics[names.EPOCH_SECONDS] for record in growing.epochs()]
    # One event comes before the first epoch, every other one at the end of a quiet epoch, in whose time it is.
    quiet = [seconds - event for seconds, event in zip(epochs[1::2], [*events[1:], 0.0], strict=True)]
    longer = [first - second for first, second in zip(epochs[::2], quiet, strict=True)]
    seconds = {"event_seconds": events, "longer_seconds": longer, "quiet_seconds": quiet}
    print({name: [round(each, 4) for each in found] for name, found in seconds.items()}, flush=True)
    per_epoch = statistics.median(quiet)
    return {
        "event_share": statistics.median(events) / per_epoch,
        "recompile_share": statistics.median(longer) / per_epoch,
    }


if __name__ == "__main__":
    main()
