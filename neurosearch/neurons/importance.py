"""How much each unit matters: scores by which a policy chooses what to prune.

Shape letters: b batch, u units of a group, c classes, p positions.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neurosearch.neurons.anatomy import anatomy_of
from neurosearch.neurons.asked import Batch, pairs, refuse_inference_mode
from neurosearch.neurons.certificate import check_tensors
from neurosearch.neurons.errors import SurgeryError
from neurosearch.neurons.find import plain_model
from neurosearch.neurons.observer import Observer
from neurosearch.neurons.squares import sums_of_squares
from neurosearch.neurons.units import Units

KINDS = ("l2", "taylor", "class_balanced_taylor", "activation", "gradient", "random")
Loss = Callable[..., Tensor]


def importance(
    model: nn.Module,
    units: Units,
    batches: Iterable[Batch],
    *,
    kind: str,
    class_counts: Sequence[int] | None = None,
    loss: Loss = F.cross_entropy,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """Score every unit of every group with one forward and backward pass over some batches.

    A unit's slices, wherever they are, count together: their squares are summed over the whole unit.

    - `l2`: square root of the sum of squared weights. Needs no batches.
    - `taylor`: sum of (weight * gradient)^2 over the unit (arXiv:1906.10771, eq. 8), gradient of the mean loss.
    - `gradient`: square root of the sum of squared gradients (GraMa, arXiv:2505.24061, by unit).
    - `activation`: mean |h| where the unit is used, divided by the group's mean (ReDo, arXiv:2302.12902, eq. 1).
    - `class_balanced_taylor`: mean over classes c of |E_{x in c}[h * dL/dh]|, each class's scores divided by their mean
      over the group first, so that every class counts once, however few its images. Our reading of arXiv:2507.09940,
      whose criterion is not public.
    - `random`: uniform, the control.

    Args:
        model: The network. Runs in eval mode; nothing of it changes.
        units: Its units.
        batches: (inputs, targets) pairs; targets are class numbers `(b,)` for the class-balanced kind.
        kind: One of the above.
        class_counts: Training examples of each class; targets are checked against it. Classes that no batch shows have
            no say.
        loss: Mean loss from outputs and targets.
        generator: Draws the `random` scores; without one they are always the same.

    Returns:
        For each group, by name, one score per unit, `(u,)`, on the CPU.

    Raises:
        SurgeryError: For an unknown kind, or no batch where one is needed.
    """
    if kind not in KINDS:
        raise SurgeryError(f"importance kind {kind!r} is unknown. Choose one of {', '.join(KINDS)}.")
    model = plain_model(model)
    anatomy = anatomy_of(model)
    check_tensors(anatomy.tensors, units, "the model")
    if kind == "l2":
        weights = {name: weight.detach() for name, weight in anatomy.parameters.items() if name in units.layout.tensors}
        return _by_name(units, [total.sqrt() for total in sums_of_squares(units, weights)])
    if kind == "random":
        generator = generator or torch.Generator().manual_seed(0)
        return _by_name(units, [torch.rand(size, generator=generator) for size in units.sizes])
    num_classes = None if class_counts is None else len(class_counts)
    batches = pairs(batches)
    with evaluating(model):
        if kind in {"taylor", "gradient"}:
            return _by_name(units, _from_gradients(model, units, batches, kind, loss))
        if kind == "class_balanced_taylor":
            batches = _labelled(batches, num_classes)
        return _by_name(units, _from_activations(model, units, batches, kind, loss))


def _by_name(units: Units, scores: Sequence[Tensor]) -> dict[str, Tensor]:
    return {facts.name: score.detach().cpu() for facts, score in zip(units.layout.groups, scores, strict=True)}


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Run in eval mode, so that no running statistic moves; every module's own mode is restored.

    Raises:
        SurgeryError: Inside `torch.inference_mode`.
    """
    refuse_inference_mode()
    modes = [(module, module.training) for module in model.modules()]
    has_recurrence = any(isinstance(module, nn.RNNBase) for module, _ in modes)
    model.eval()
    try:
        # cuDNN has no backward pass of recurrent layers in eval mode.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False) if has_recurrence else nullcontext():
            yield
    finally:
        for module, training in modes:
            module.training = training


def _from_gradients(model: nn.Module, units: Units, batches: Iterable[Batch], kind: str, loss: Loss) -> list[Tensor]:
    tensors = anatomy_of(model).parameters
    names = [name for name in units.layout.tensors if name in tensors and tensors[name].requires_grad]
    weights = [tensors[name] for name in names]
    totals = [torch.zeros_like(weight, dtype=torch.promote_types(weight.dtype, torch.float32)) for weight in weights]
    num_examples = 0
    for inputs, targets in batches:
        gradients = torch.autograd.grad(loss(model(inputs), targets), weights, allow_unused=True)
        num_examples += len(targets)
        for total, gradient in zip(totals, gradients, strict=True):
            if gradient is not None:
                total.add_(gradient, alpha=len(targets))
    _need_examples(num_examples, kind)
    with torch.no_grad():
        for total, weight in zip(totals, weights, strict=True):
            total.div_(num_examples)
            if kind == "taylor":
                total.mul_(weight.conj())
        totals = [total.real for total in totals] if kind == "taylor" else totals
        sums = sums_of_squares(units, dict(zip(names, totals, strict=True)))
        return sums if kind == "taylor" else [total.sqrt() for total in sums]


def _labelled(batches: Iterable[Batch], num_classes: int | None) -> Iterator[Batch]:
    """Yield batches whose targets are class numbers.

    Raises:
        SurgeryError: If a target is no class number, or of a class that does not exist.
    """
    for inputs, targets in batches:
        if targets.ndim != 1 or targets.is_floating_point():
            raise SurgeryError(
                f"targets of shape {tuple(targets.shape)} and type {targets.dtype} are no class numbers `(b,)`. "
                "Choose taylor, which needs no classes."
            )
        if num_classes is not None and len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < num_classes:
            raise SurgeryError(
                f"targets go from {int(targets.min())} to {int(targets.max())}, with {num_classes} classes."
            )
        yield inputs, targets


def _need_examples(num_examples: int, kind: str) -> None:
    if not num_examples:
        raise SurgeryError(f"importance {kind!r} was given no batch. Pass at least one (inputs, targets) pair.")


def _from_activations(
    model: nn.Module,
    units: Units,
    batches: Iterable[Batch],
    kind: str,
    loss: Loss,
) -> list[Tensor]:
    observer = Observer(model, units)
    num_examples = 0
    for inputs, targets in batches:
        num_examples += len(targets)
        if kind == "activation":
            with torch.no_grad():
                observer.add_magnitudes(model, inputs)
        else:
            observer.add_products(model, inputs, targets, loss)
    _need_examples(num_examples, kind)
    if kind == "activation":
        return [
            mean / mean.mean().clamp(min=torch.finfo(mean.dtype).tiny) for mean in observer.magnitudes(num_examples)
        ]
    return [_class_balanced(means) for means in observer.class_means()]


def _class_balanced(means: Tensor) -> Tensor:
    """Return the mean over classes of `(c, u)` class means, each class divided by its mean over units."""
    sizes = means.abs()
    scale = sizes.mean(1, keepdim=True)
    return (sizes / torch.where(scale > 0, scale, torch.ones_like(scale))).mean(0)
