"""Operations that sum over a dimension of two tensors: the summed dimensions change together, the others live on.

Shape letters: b batch, i input channels, o output channels, g groups, k kernel, n and m rows and columns.
"""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from neurosearch.neurons.labels import Labels, Obstacle, Role
from neurosearch.neurons.reshape import Dims
from neurosearch.neurons.rules_elementwise import FIXED_PARTNER, broadcast, note_constants, note_offset
from neurosearch.neurons.tracer import Call, Rule, Tracer


def contract(tracer: Tracer, first: tuple[Tensor, Labels | None], second: tuple[Tensor, Labels | None]) -> None:
    """Unify two summed dimensions and note what they are for each other."""
    graph = tracer.graph
    left_labels, right_labels = first[1], second[1]
    if left_labels is None or right_labels is None:
        graph.freeze(left_labels, FIXED_PARTNER)
        graph.freeze(right_labels, FIXED_PARTNER)
        return
    graph.unify(left_labels, right_labels)
    used = [_use(tracer, tensor, labels, Role.OUTGOING) for tensor, labels in (first, second)]
    if not any(used):
        graph.note(left_labels, Obstacle.MIXED, f"a product of two activations in {tracer.place()}")
    elif all(used):
        graph.sums.append(left_labels)
        for labels in (left_labels, right_labels):
            graph.play(labels, Role.DERIVED)


def _use(tracer: Tracer, tensor: Tensor, labels: Labels | None, role: Role) -> bool:
    """Note what a weight's dimension does; return whether the tensor is a weight at all."""
    if tracer.is_weight(tensor):
        tracer.graph.play(labels, role)
    elif tracer.is_derived(tensor):
        tracer.graph.play(labels, Role.DERIVED)
        tracer.graph.note(labels, Obstacle.DERIVED, f"the weight in {tracer.place()} is computed from parameters")
    else:
        return False
    return True


def shift(tracer: Tracer, bias: Tensor | None, labels: Labels | None, others: Dims) -> None:
    """Unify a bias with the dimension that it is added to; in other dimensions all units share it."""
    if bias is None:
        return
    for other in others:
        note_offset(tracer, other, "a bias that all units share")
    own = tracer.dims(bias)[0]
    if own is not None and labels is not None:
        tracer.graph.unify(labels, own)
    else:
        tracer.graph.freeze(own, FIXED_PARTNER)
        tracer.graph.freeze(labels, FIXED_PARTNER)
    _use(tracer, bias, own, Role.SHIFT)


def linear(tracer: Tracer, call: Call) -> None:
    """`(..., i)`, `(o, i)`, `(o)` to `(..., o)`."""
    inputs, weight = call.args[:2]
    weight_dims = tracer.dims(weight)
    contract(tracer, (inputs, tracer.dims(inputs)[-1]), (weight, weight_dims[-1]))
    rows = weight_dims[:-1]
    for labels in rows:
        _use(tracer, weight, labels, Role.INCOMING)
    if rows:
        shift(tracer, call.get(2, "bias"), rows[0], tracer.dims(inputs)[:-1])
    tracer.put(call.out, (*tracer.dims(inputs)[:-1], *rows))


def bilinear(tracer: Tracer, call: Call) -> None:
    """`(..., i)`, `(..., j)`, `(o, i, j)`, `(o)` to `(..., o)`."""
    first, second, weight = call.args[:3]
    weight_dims = tracer.dims(weight)
    known = [tracer.dims(first), tracer.dims(second)]
    for tensor, dims, labels in zip((first, second), known, weight_dims[1:], strict=True):
        contract(tracer, (tensor, dims[-1]), (weight, labels))
    _use(tracer, weight, weight_dims[0], Role.INCOMING)
    batch = broadcast(tracer, [dims[:-1] for dims in known], [first.shape[:-1], second.shape[:-1]], call.out.shape[:-1])
    for labels in batch:
        tracer.graph.note(labels, Obstacle.DEAD_AT_ZERO, f"a product of two activations in {tracer.place()}")
    shift(tracer, call.get(3, "bias"), weight_dims[0], batch)
    tracer.put(call.out, (*batch, weight_dims[0]))


def matmul(tracer: Tracer, call: Call) -> None:
    """`(..., n, k)` and `(..., k, m)` to `(..., n, m)`; also `mm`, `bmm`, `mv` and `dot`."""
    _product(tracer, call.args[0], call.args[1], call.out)


def addmm(tracer: Tracer, call: Call) -> None:
    """A product plus a term that is broadcast to it."""
    term, first, second = call.args[:3]
    _product(tracer, first, second, call.out)
    _add_term(tracer, term, call.out)


def _add_term(tracer: Tracer, term: Tensor, out: Tensor) -> None:
    dims = tracer.dims(out)
    tracer.put(out, broadcast(tracer, [dims, tracer.dims(term)], [out.shape, term.shape], out.shape))
    note_constants(tracer, [term], out, "addmm")
    for labels in tracer.dims(term):
        _use(tracer, term, labels, Role.SHIFT)


def _product(tracer: Tracer, first: Tensor, second: Tensor, out: Tensor) -> None:
    left, right = tracer.dims(first), tracer.dims(second)
    contract(tracer, (first, left[-1]), (second, right[-2] if second.ndim > 1 else right[-1]))
    rows = left[-2:-1]
    columns = right[-1:] if second.ndim > 1 else ()
    for tensor, dims in ((first, rows), (second, columns)):
        for labels in dims:
            _use(tracer, tensor, labels, Role.INCOMING)
    batch = _batch(tracer, (first, left), (second, right), out.ndim - len(rows) - len(columns), out)
    is_derived = all(tracer.is_weight(tensor) or tracer.is_derived(tensor) for tensor in (first, second))
    tracer.put(out, (*batch, *rows, *columns), is_derived=is_derived)


def _batch(
    tracer: Tracer, first: tuple[Tensor, Dims], second: tuple[Tensor, Dims], num_batch: int, out: Tensor
) -> Dims:
    """Unify the dimensions over which products are stacked; a unit there works on its own, like an attention head."""
    dims = [dims[:-2] for _, dims in (first, second)]
    shapes = [tuple(tensor.shape[:-2]) for tensor, _ in (first, second)]
    batch = broadcast(tracer, dims, shapes, out.shape[:num_batch])
    for labels in batch:
        tracer.graph.prefer_rows(labels)
    if not any(tracer.is_weight(tensor) or tracer.is_derived(tensor) for tensor in (first[0], second[0])):
        for labels in batch:
            tracer.graph.note(labels, Obstacle.DEAD_AT_ZERO, f"a product of two activations in {tracer.place()}")
    for tensor, dims_of_tensor in (first, second):
        for labels in dims_of_tensor[:-2]:
            _use(tracer, tensor, labels, Role.OTHER)
    return batch


def convolution(tracer: Tracer, call: Call) -> None:
    """`(b, i, ...)`, `(o, i/g, k...)`, `(o)` to `(b, o, ...)`; transposed: weight `(i, o/g, k...)`."""
    inputs, weight, bias = call.args[0], call.args[1], call.get(2, "bias")
    is_transposed, num_groups = _convolution_options(call)
    dims, weight_dims = tracer.dims(inputs), tracer.dims(weight)
    for labels in weight_dims[2:]:
        tracer.graph.freeze(labels, "kernel dimension")
    channel = inputs.ndim - (weight.ndim - 1)
    for labels in dims[channel + 1 :]:
        if labels is not None:
            tracer.graph.freeze(labels, f"it is a position in space in {tracer.place()}")
    channels = (inputs, dims[channel])
    if num_groups > 1 and num_groups == inputs.shape[channel]:
        out = _depthwise(tracer, channels, weight, num_groups, is_transposed=is_transposed)
    else:
        out = _grouped(tracer, channels, weight, num_groups, is_transposed=is_transposed)
    shift(tracer, bias, out, dims[:channel])
    tracer.put(call.out, (*dims[:channel], out, *(None,) * (weight.ndim - 2)))


def _convolution_options(call: Call) -> tuple[bool, int]:
    """Return whether a convolution is transposed, and its number of groups."""
    if call.name == "convolution":
        return bool(call.args[6]), call.args[8]
    if call.name.startswith("conv_transpose"):
        return True, call.get(6, "groups", 1)
    return False, call.get(6, "groups", 1)


def _depthwise(
    tracer: Tracer, channels: tuple[Tensor, Labels | None], weight: Tensor, num_groups: int, *, is_transposed: bool
) -> Labels | None:
    """Each input channel has outputs of its own: whole groups come and go, and the number of groups with them."""
    rows, columns = tracer.dims(weight)[:2]
    repeat = weight.shape[1] if is_transposed else weight.shape[0] // num_groups
    tracer.graph.freeze(columns, "each group of a depthwise convolution keeps its shape")
    _use(tracer, weight, rows, Role.THROUGH)
    labels = channels[1]
    if labels is None or rows is None:
        tracer.graph.freeze(labels, FIXED_PARTNER)
        tracer.graph.freeze(rows, FIXED_PARTNER)
        return rows if not is_transposed or rows is None else np.repeat(rows, repeat)
    tracer.graph.note(labels, Obstacle.NEEDS_TWO, f"a depthwise convolution in {tracer.place()}")
    if is_transposed:
        tracer.graph.unify(labels, rows)
        return rows if repeat == 1 else np.repeat(rows, repeat)
    tracer.graph.unify(labels if repeat == 1 else np.repeat(labels, repeat), rows)
    return rows


def _grouped(
    tracer: Tracer, channels: tuple[Tensor, Labels | None], weight: Tensor, num_groups: int, *, is_transposed: bool
) -> Labels | None:
    """Aligned channels of all groups come and go together, so that groups stay equal."""
    graph = tracer.graph
    first, second = tracer.dims(weight)[:2]
    incoming, outgoing = (second, first) if is_transposed else (first, second)
    _use(tracer, weight, incoming, Role.INCOMING)
    inputs, labels = channels
    if num_groups > 1:
        graph.note(labels, Obstacle.NEEDS_TWO, f"a grouped convolution in {tracer.place()}")
        labels = None if labels is None else graph.unify_rows(labels, num_groups)
        if is_transposed:
            outgoing = None if outgoing is None else graph.unify_rows(outgoing, num_groups)
            incoming = None if incoming is None else np.tile(incoming, num_groups)
        elif incoming is not None:
            graph.unify_rows(incoming, num_groups)
    contract(tracer, (inputs, labels), (weight, outgoing))
    return incoming


def embedding(tracer: Tracer, call: Call) -> None:
    """Rows `(v, e)` picked by `(...)` indices to `(..., e)`."""
    weight, indices = call.args[:2]
    rows, columns = tracer.dims(weight)
    tracer.graph.freeze(rows, "positions of it are picked by index")
    _use(tracer, weight, columns, Role.INCOMING)
    tracer.put(call.out, (*(None,) * indices.ndim, columns))


def attention(tracer: Tracer, call: Call) -> None:
    """Queries `(..., n, d)`, keys `(..., m, d)`, values `(..., m, e)` to `(..., n, e)`."""
    query, key, value = call.args[:3]
    known = [tracer.dims(tensor) for tensor in (query, key, value)]
    graph = tracer.graph
    if call.get(6, "scale") is None:
        for dims in known[:2]:
            graph.freeze(dims[-1], f"the scale of attention depends on its size in {tracer.place()}")
    contract(tracer, (query, known[0][-1]), (key, known[1][-1]))
    for dims in known:
        graph.freeze(dims[-2], f"attention mixes its positions in {tracer.place()}")
    shapes = [tuple(tensor.shape[:-2]) for tensor in (query, key, value)]
    batches = [dims[:-2] for dims in known]
    if call.get(7, "enable_gqa", default=False):
        batches, shapes = _shared(batches, shapes)
    batch = broadcast(tracer, batches, shapes, call.out.shape[:-2])
    for labels in batch:
        graph.prefer_rows(labels)
        graph.note(labels, Obstacle.DEAD_AT_ZERO, f"queries and keys of 0 have no slope in {tracer.place()}")
    mask = call.get(3, "attn_mask")
    if mask is not None:
        _mask(tracer, mask, batch)
    tracer.put(call.out, (*batch, None, known[2][-1]))


def _shared(batches: Sequence[Dims], shapes: Sequence[tuple[int, ...]]) -> tuple[list[Dims], list[tuple[int, ...]]]:
    """Return labels and shapes as if each head of keys and values stood there once per head of queries that it serves.

    A single one is broadcast, so the heads of the queries are on their own.
    """
    num_heads = shapes[0][-1]
    repeats = [1 if shape[-1] == 1 else num_heads // shape[-1] for shape in shapes]
    repeated = [
        dims if dims[-1] is None or times == 1 else (*dims[:-1], np.repeat(dims[-1], times))
        for dims, times in zip(batches, repeats, strict=True)
    ]
    return repeated, [(*shape[:-1], shape[-1] * times) for shape, times in zip(shapes, repeats, strict=True)]


def _mask(tracer: Tracer, mask: Tensor, batch: Dims) -> None:
    dims = tracer.dims(mask)
    for labels in dims[-2:]:
        tracer.graph.freeze(labels, "attention mixes its positions")
    for own, labels, size in zip(dims[:-2][::-1], batch[::-1], mask.shape[:-2][::-1], strict=False):
        if size == 1:
            tracer.graph.freeze(own, "its one position is broadcast against several")
        elif own is not None and labels is not None:
            tracer.graph.unify(own, labels)
        else:
            tracer.graph.freeze(own, FIXED_PARTNER)
            tracer.graph.freeze(labels, FIXED_PARTNER)


_CONVOLUTIONS = [
    "convolution",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
]

RULES: dict[str, Rule] = {
    "linear": linear,
    "bilinear": bilinear,
    **dict.fromkeys(("matmul", "mm", "bmm", "mv", "dot"), matmul),
    **dict.fromkeys(("addmm", "baddbmm", "addmv"), addmm),
    **dict.fromkeys(_CONVOLUTIONS, convolution),
    "embedding": embedding,
    "scaled_dot_product_attention": attention,
}
