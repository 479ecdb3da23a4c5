"""How much memory a trial will need when its network is at its largest, and what share of a GPU that is.

Pure functions of the config and of what is known about the data: nothing is trained and nothing large is allocated.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, prod

import torch
from torch import Tensor, nn

from neurosearch.build.task import build_task
from neurosearch.build.trial import build_model, build_policy, training_settings
from neurosearch.config.kinds import kinds
from neurosearch.config.remedies import RetrainedFields
from neurosearch.config.training import TrainingFields
from neurosearch.config.trial import TrialConfig, kind_of
from neurosearch.data.batches import large_batch
from neurosearch.data.manifest import Manifest
from neurosearch.neurons import Units, apply_plan, find_units, grow, growth_refusals
from neurosearch.training.decorrelation import Decorrelation
from neurosearch.training.footprint import peak_bytes
from neurosearch.training.memory import CONTEXT_BYTES
from neurosearch.training.network import Network
from neurosearch.training.second_stage import find_head

_META = torch.device("meta")
# Beside what tensors hold: the allocator's gaps and the workspaces of convolutions.
_MARGIN = 1.3
_GRID = 8
_PROCESS_BYTES = 600 * 2**20  # a worker that has imported torch


@dataclass(frozen=True)
class MemoryNeed:
    """What a trial holds at its fullest, in bytes.

    Attributes:
        weights: Parameters and buffers of the largest network; on the CPU those of neurons that may come back, too.
        optimizer: What the optimizer keeps of them.
        working: What comes and goes beside these, at its most: activations and gradients of a step, a scoring or an
            evaluation pass, the old tensors beside the new ones while the network changes, or what a classifier is
            retrained on.
        data: The arrays, where they are copied to the device.
    """

    weights: int
    optimizer: int
    working: int
    data: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.optimizer + self.working + self.data


def memory_need(config: TrialConfig, manifest: Manifest, *, on_gpu: bool) -> MemoryNeed:
    """Returns what a trial will hold at the peak of its growth schedule.

    Args:
        config: The trial.
        manifest: Of its data.
        on_gpu: Whether it runs on a GPU, where the data is copied to; on the CPU it is mapped from the disk.
    """
    model, units = largest_network(config, manifest, _META)
    weights = _bytes_of(model)
    reserve = 0 if on_gpu else _reserve_bytes(config, model, units)
    optimizer = _slots(config.training) * sum(p.numel() * p.element_size() for p in model.parameters())
    working = max(_passes(config, manifest, model, units))
    if kinds("growth")[kind_of(config.growth)].peak is not None:
        working = max(working, weights + optimizer)  # until a change is through, the network before it can come back
    working = max(working, _features(config, manifest, model))
    return MemoryNeed(weights + reserve, optimizer, working, _data_bytes(manifest) if on_gpu else 0)


def peak_sizes(config: TrialConfig, base_sizes: Mapping[str, int]) -> dict[str, int]:
    """Returns the most neurons that each group may come to hold."""
    peak = kinds("growth")[kind_of(config.growth)].peak
    return {name: size if peak is None else max(size, peak(config.growth, size)) for name, size in base_sizes.items()}


def gpu_share(need: MemoryNeed, gpu_bytes: int) -> float:
    """Returns the share of a GPU that a trial should have: in eighths, so that workers can be used again, at most 1.

    Args:
        need: What it holds.
        gpu_bytes: Memory of one GPU.
    """
    share = (need.total * _MARGIN + CONTEXT_BYTES) / gpu_bytes
    return min(1.0, ceil(share * _GRID) / _GRID)


def node_share(need: MemoryNeed | None) -> int:
    """Returns how many bytes of a node's memory a trial should have: whole GiB, so that workers can be used again.

    Args:
        need: What it holds on the CPU; None if that is not known.
    """
    held = 0.0 if need is None else need.total * _MARGIN
    return ceil((held + _PROCESS_BYTES) / 2**30) * 2**30


def largest_network(config: TrialConfig, manifest: Manifest, device: torch.device) -> tuple[nn.Module, Units]:
    """Builds the trial's network as large as its growth schedule makes it, and finds its neurons."""
    with device:
        model = build_model(config, manifest.input_shape, manifest.num_outputs)
        units = find_units(model, (torch.zeros(2, *manifest.input_shape),))
    sizes = {group.name: group.size for group in units.groups}
    fixed = growth_refusals(units)
    largest = {name: size for name, size in peak_sizes(config, sizes).items() if name not in fixed}
    added = {name: size - sizes[name] for name, size in largest.items() if size > sizes[name]}
    if added:  # any start would do: only the shapes matter, and this one asks for nothing
        units = apply_plan(grow(units, added, start="zero_outgoing", generator=torch.Generator()), model)
    return model, units


def _reserve_bytes(config: TrialConfig, model: nn.Module, units: Units) -> int:
    """Returns what is kept on the CPU of neurons that leave and come back as they were."""
    policy = build_policy(config)
    policy.attach(units, _META, next(model.parameters()).dtype, torch.Generator())
    kept = {part.tensor for name in policy.largest_sizes() for part in units.layout.slices[units.layout.index[name]]}
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return sum(tensors[name].numel() * tensors[name].element_size() for name in kept)


def _passes(config: TrialConfig, manifest: Manifest, model: nn.Module, units: Units) -> list[int]:
    """Returns the working bytes of a training step, of scoring neurons, and of an evaluation batch."""
    training = config.training
    task, policy = build_task(config, manifest), build_policy(config)
    first = next(model.parameters())
    task.to(_META, first.dtype)
    policy.attach(units, _META, first.dtype, torch.Generator())
    # Under autocast and in other memory orders a pass holds about as much or less; it does not exist on this device.
    settings = training_settings(training, config.seed)
    network = Network(model, units, policy, amp=False, channels_last=settings.channels_last, compiled=False)
    num_bytes = 4 * prod(manifest.input_shape)
    large = min(large_batch(training.batch_size, num_bytes), sum(manifest.train_counts))

    def step() -> None:
        inputs, targets = _batch(manifest, min(training.batch_size, sum(manifest.train_counts)))
        forward = network.for_training()
        if settings.decorrelation:
            decorrelation = Decorrelation(settings.decorrelation, model, units)
            loss = task.loss(decorrelation.watching(forward, units)(inputs), targets) + decorrelation.loss()
        else:
            loss = task.loss(forward(inputs), targets)
        loss.backward()  # type: ignore[no-untyped-call]

    def scoring() -> None:
        inputs, targets = _batch(manifest, min(large, training.importance_examples * len(manifest.train_counts)))
        task.loss(network.for_evaluation()(inputs), targets).backward()  # type: ignore[no-untyped-call]

    def evaluation() -> None:
        with torch.no_grad():
            network.for_evaluation()(_batch(manifest, min(large, sum(manifest.validation_counts)))[0])

    computations = [step, evaluation]
    if kinds("growth")[kind_of(config.growth)].peak is not None and not policy.trained():
        computations.append(scoring)
    found = []
    for computation in computations:
        found.append(peak_bytes(computation))
        model.zero_grad(set_to_none=True)
    return found


def _features(config: TrialConfig, manifest: Manifest, model: nn.Module) -> int:
    """Returns the bytes of what reaches a classifier that is retrained: batch by batch, and then joined."""
    if not isinstance(config.training.classifier, RetrainedFields):
        return 0
    _, head = find_head(model, torch.zeros(1, *manifest.input_shape, device=_META))
    return 2 * sum(manifest.train_counts) * head.in_features * head.weight.element_size()


def _batch(manifest: Manifest, size: int) -> tuple[Tensor, Tensor]:
    size = max(2, size)
    inputs = torch.zeros(size, *manifest.input_shape, device=_META)
    dtype, shape = manifest.targets_of_one
    return inputs, torch.zeros(size, *shape, dtype=getattr(torch, dtype), device=_META)


def _slots(training: TrainingFields) -> int:
    """Returns how many tensors of a parameter's shape the optimizer keeps for each."""
    if training.optimizer == "sgd":
        return 1 if training.momentum > 0 else 0
    return 2


def _bytes_of(model: nn.Module) -> int:
    tensors = [*model.parameters(), *model.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _data_bytes(manifest: Manifest) -> int:
    if not manifest.is_normalised:
        return 8 * (sum(manifest.train_counts) + sum(manifest.validation_counts))  # the inputs come batch by batch
    examples = sum(manifest.train_counts) + sum(manifest.validation_counts)
    return examples * (4 * prod(manifest.input_shape) + 8)  # float32 inputs, int64 labels
