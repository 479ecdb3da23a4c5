"""One compiled step for all networks of a stack: forward, losses, backward and update, fused over the networks.

The networks lie in the last dimension of every tensor, and a product of matrices is written as products of numbers with
a sum over the small dimension. So the compiler's vectors hold one number of many networks each, every network is
computed in the same order whoever else is there, and nothing of a layer is ever read twice from far. That pays as long
as layers are small; wide ones are better off with matrix products.

A step is compiled for a number of seats out of a short list, so that members come and go without a new one.

Shape letters: k seats, b batch, i and o padded inputs and outputs of a layer, n numbers of a row, w size weights.
"""

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F

from neurosearch.training.form import Form
from neurosearch.training.moves import move
from neurosearch.training.rows import Piece, Rows
from neurosearch.training.stacked_gates import SizeTables, StackedSizes
from neurosearch.training.stacked_layers import ACTIVATIONS

Loss = Callable[[Tensor, Tensor], Tensor]
Step = Callable[..., tuple[Tensor, ...]]

_SEATS = (16, 32, 64, 128, 256)
_OPTIONS: dict[str, Any] = {
    # A value that is used twice is kept, not computed again in each loop that uses it: see `training.packed`.
    "realize_opcount_threshold": 12,
    "compile_threads": 1,  # no pool of processes that outlives the training
    "cpp.threads": 1,  # what a step does is less than starting threads costs
}


class StepLosses(NamedTuple):
    """What a step has lost.

    Attributes:
        task: Task losses, `(k,)`.
        size: Size losses, `(k,)`; None where no sizes are trained.
        at_rest: Whether each policy would change nothing now and the losses are numbers, `(k,)`; None as well.
    """

    task: Tensor
    size: Tensor | None
    at_rest: Tensor | None


def num_seats(count: int) -> int:
    """Return for how many networks the step of so many is compiled."""
    return next((seats for seats in _SEATS if seats >= count), -(-count // _SEATS[-1]) * _SEATS[-1])


def members_last(tensors: Sequence[Tensor], seats: int) -> Tensor:
    """Return tensors `(...)`, one of each network, as one `(..., k)`; 0 in seats that nobody has."""
    stacked = torch.stack(list(tensors))
    flat = stacked.flatten(1).t()
    if len(tensors) < seats:
        flat = F.pad(flat, (0, seats - len(tensors)))
    return flat.contiguous().view(*stacked.shape[1:], seats)


class CompiledSteps:
    """The compiled steps of a pack, whose members all learn the same, by form and shapes.

    Attributes:
        seconds: Spent on tracing and compiling.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._known: dict[tuple[Any, ...], Step] = {}

    def take(
        self,
        form: Form,
        task_loss: Loss,
        rows: Rows,
        sizes: tuple[Rows, SizeTables] | None,
        inputs: Tensor,
        targets: Tensor,
    ) -> StepLosses:
        """Take a step of all networks of a stack, whose rows are changed.

        Args:
            form: The stack's.
            task_loss: Of one network.
            rows: The networks' parameters.
            sizes: The size weights, if there are any, with what the networks make of them.
            inputs: `(b, i, k)`.
            targets: `(b, ..., k)`.
        """
        given = _given(rows, sizes, inputs, targets)
        key = form, inputs.shape, inputs.dtype, targets.shape, targets.dtype
        step = self._known.get(key)
        if step is None:
            started = perf_counter()
            step = self._known[key] = _compiled(_step(form, task_loss, rows.pieces, tuple(given)), [*given.values()])
            self.seconds += perf_counter() - started
        task, *others = step(*given.values())
        return StepLosses(task, *others) if others else StepLosses(task, None, None)


def _given(rows: Rows, sizes: tuple[Rows, SizeTables] | None, inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Return everything that a step reads or changes, by name."""
    given = {"inputs": inputs, "targets": targets, **rows.state(), **_prefixed("told", rows.options())}
    if sizes is not None:
        size_rows, tables = sizes
        given |= _prefixed("size", size_rows.state()) | _prefixed("size told", size_rows.options())
        given |= _prefixed("table", {name: each for name, each in tables._asdict().items() if name != "held"})
        given |= _prefixed("held", {str(index): held for index, held in enumerate(tables.held)})
    return given


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix} {name}": tensor for name, tensor in tensors.items()}


def _under(prefix: str, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors that `_prefixed` has named so, by their own names."""
    return {name.removeprefix(f"{prefix} "): each for name, each in given.items() if name.startswith(f"{prefix} ")}


def _step(form: Form, task_loss: Loss, pieces: Mapping[str, Piece], names: Sequence[str]) -> Step:
    """Return a step as a function of the tensors with these names, in which it changes the rows; see `_given`."""

    def step(*tensors: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip(names, tensors, strict=True))
        weights = {name: _leaf(piece.of_members_last(given["weights"])) for name, piece in pieces.items()}
        size_weights = [_leaf(given["size weights"])] if form.num_size_weights else []
        with torch.enable_grad():
            losses = _losses(form, task_loss, given, weights, size_weights)
            gradients = torch.autograd.grad(torch.cat(losses).sum(), [*weights.values(), *size_weights])
        flat = torch.cat([gradient.flatten(0, -2) for gradient in gradients[: len(weights)]])  # (n, k)
        _move(form, _under("told", given), given, flat)
        if size_weights:
            _move(form, _under("size told", given), _under("size", given), gradients[-1])
            sizes = _sizes(form, given, given["size weights"])
            found = [*losses, sizes.are_at_rest() & torch.isfinite(losses[0]) & torch.isfinite(losses[1])]
            return tuple(each.detach() for each in found)
        return (losses[0].detach(),)

    return step


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().requires_grad_()


def _move(form: Form, told: Mapping[str, Tensor], state: Mapping[str, Tensor], gradients: Tensor) -> None:
    """Move weights `(n, k)` by their gradients."""
    moments = [tensor for name, tensor in state.items() if name.startswith("moment")]
    steps = state["steps"].add_(1)
    move(form.optimizer, state["weights"], gradients, moments, steps, told)


def _losses(
    form: Form,
    task_loss: Loss,
    given: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    size_weights: Sequence[Tensor],
) -> list[Tensor]:
    """Return the task losses and, where sizes are trained, the size losses, `(k,)` each.

    Args:
        form: The stack's.
        task_loss: Of one network.
        given: See `_given`.
        weights: The pieces of the rows, `(..., k)`.
        size_weights: `(w, k)`; none where no sizes are trained.
    """
    sizes = _sizes(form, given, size_weights[0]) if size_weights else None
    outputs = _outputs(form, given["inputs"], weights, sizes)
    # `vmap` has the networks first; what comes back to the layers must have them last in memory again.
    outputs.register_hook(  # type: ignore[no-untyped-call]
        lambda slopes: slopes.clone(memory_format=torch.contiguous_format)
    )
    task_losses = torch.func.vmap(task_loss, in_dims=-1)(outputs, given["targets"])
    return [task_losses] if sizes is None else [task_losses, sizes.loss()]


def _sizes(form: Form, given: Mapping[str, Tensor], weights: Tensor) -> StackedSizes:
    """Return what the networks make of size weights `(w, k)`."""
    tables = SizeTables(**_under("table", given), held=tuple(_under("held", given).values()))
    return StackedSizes(weights.t(), form.links, tables)


def _outputs(form: Form, inputs: Tensor, weights: Mapping[str, Tensor], sizes: StackedSizes | None) -> Tensor:
    """Return what the networks give, `(b, o, k)`, for inputs `(b, i, k)`.

    A gate is a factor of the weights that the next layer reads its neuron by: they are fewer than its outputs.
    """
    layer_sizes = [None] * len(form.links) if sizes is None else sizes.sizes()
    hidden, gate = inputs, None
    for index, (link, size) in enumerate(zip(form.links, layer_sizes, strict=True)):
        weight, offset = weights[f"{index}.weight"], weights[f"{index}.bias"]
        weight = weight if gate is None else weight * gate  # (o, i, k)
        gate = None
        if sizes is not None and size is not None:
            column = weights.get(f"{index}.column")
            shift = sizes.shift(index, size, None if column is None else column.t())
            offset = offset if shift is None else offset + shift.t()
            gate = sizes.gate(index, size).t()  # (i, k) of the next layer
        outputs = (hidden[:, None] * weight).sum(2) + offset  # (b, o, k)
        hidden = ACTIVATIONS[link.activation](outputs) if link.activation else outputs
    assert gate is None, "nothing reads the outputs but the loss"
    return hidden


_COMPILED: dict[tuple[Any, ...], Step] = {}  # of this process, by what they compute


def _compiled(step: Step, given: Sequence[Tensor]) -> Step:
    """Return a step compiled for tensors like the given ones, which stay as they are.

    It is traced first, gradients and all, so the compiler sees operations alone, and those who trace the same share it.
    """
    with torch.no_grad():
        graph = make_fx(step, decomposition_table=_SPELT_OUT)(*(tensor.clone() for tensor in given))
        key = _key(graph, given)
        if key not in _COMPILED:
            _COMPILED[key] = _fused(graph)
            _COMPILED[key](*(tensor.clone() for tensor in given))  # only a call compiles
    return _COMPILED[key]


def _picked(values: Tensor, dimension: int, index: Tensor, *, sparse_grad: bool = False) -> Any:  # noqa: ARG001
    """Return what `gather` does, where it picks one value of a dimension: a sum of which one term is not 0."""
    if index.size(dimension) != 1:
        return NotImplemented
    return torch.where(_is_at(values, dimension, index), values, 0).sum(dimension, keepdim=True)


def _placed(values: Tensor, dimension: int, index: Tensor, source: Tensor) -> Any:
    """Return what `scatter_add` does, where it adds to one value of a dimension."""
    if index.size(dimension) != 1:
        return NotImplemented
    is_here = _is_at(values, dimension, index)
    values, is_here, source = (each.movedim(0, -1) for each in (values, is_here, source))
    return (values + torch.where(is_here, source, 0)).movedim(-1, 0)


def _is_at(values: Tensor, dimension: int, index: Tensor) -> Tensor:
    shape = [1] * values.ndim
    shape[dimension] = -1
    return torch.arange(values.size(dimension), device=values.device).view(shape) == index


# A loss of classes picks the logit of each label; vectors pick nothing, but all of them compare.
_SPELT_OUT: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.gather.default: _picked,
    torch.ops.aten.scatter_add.default: _placed,
}


def _fused(graph: GraphModule) -> Step:
    """Return a traced step as one kernel; it is compiled by its first call."""
    step: Step = torch.compile(graph.forward, fullgraph=True, dynamic=False, options=_OPTIONS)
    return step


def _key(graph: GraphModule, given: Sequence[Tensor]) -> tuple[Any, ...]:
    """Return what tells a traced step from others: its operations, its constants, and what it takes."""
    constants = [value for _, value in sorted(vars(graph).items()) if isinstance(value, Tensor)]
    constants += [*graph.buffers(), *graph.parameters()]
    read = tuple((tuple(each.shape), each.dtype, each.numpy().tobytes()) for each in constants)
    return graph.code, read, tuple((each.dtype, each.shape, each.stride()) for each in given)
