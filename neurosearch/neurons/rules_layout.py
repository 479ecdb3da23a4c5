"""Operations that only move elements: they are applied to the labels themselves."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from neurosearch.neurons.labels import Labels
from neurosearch.neurons.reshape import Dims, reshaped
from neurosearch.neurons.rules_elementwise import broadcast, note_offset
from neurosearch.neurons.tracer import Call, Rule, Tracer, refuse


def reshape(tracer: Tracer, call: Call) -> None:
    """Any change of shape that keeps the order of the elements."""
    source = call.args[0]
    dims = reshaped(tracer.graph, tracer.dims(source), source.shape, call.out.shape)
    tracer.put_like(call.out, dims, source)


def _reordering(order: Callable[[Call, int], Sequence[int]]) -> Rule:
    def rule(tracer: Tracer, call: Call) -> None:
        source = call.args[0]
        dims = tracer.dims(source)
        tracer.put_like(call.out, tuple(dims[index] for index in order(call, source.ndim)), source)

    return rule


def _swapped(call: Call, ndim: int) -> list[int]:
    order = list(range(ndim))
    if ndim > 1:
        first, second = (call.get(1, "dim0", 0), call.get(2, "dim1", 1)) if len(call.args) > 1 else (-1, -2)
        order[first], order[second] = order[second], order[first]
    return order


def _permuted(call: Call, ndim: int) -> list[int]:
    return [index % ndim for index in call.get(1, "dims")]


def _moved(call: Call, ndim: int) -> list[int]:
    sources, targets = ([value] if isinstance(value, int) else list(value) for value in call.args[1:3])
    targets = [index % ndim for index in targets]
    sources = [index % ndim for index in sources]
    rest = iter([index for index in range(ndim) if index not in sources])
    return [sources[targets.index(index)] if index in targets else next(rest) for index in range(ndim)]


def unsqueeze(tracer: Tracer, call: Call) -> None:
    """A new dimension of one position."""
    source = call.args[0]
    index = call.get(1, "dim") % call.out.ndim  # in place, the source has it already
    dims = tracer.dims(source)
    tracer.put_like(call.out, (*dims[:index], None, *dims[index:]), source)


def squeeze(tracer: Tracer, call: Call) -> None:
    """Drop dimensions of one position."""
    source = call.args[0]
    chosen = call.get(1, "dim", tuple(range(source.ndim)))
    chosen = {index % max(source.ndim, 1) for index in ([chosen] if isinstance(chosen, int) else chosen)}
    gone = {index for index in chosen if index < source.ndim and source.shape[index] == 1}
    dims = tracer.dims(source)
    for index in gone:
        tracer.graph.freeze(dims[index], "its one position is squeezed away")
    tracer.put_like(call.out, tuple(labels for index, labels in enumerate(dims) if index not in gone), source)


def squeeze_in_place(tracer: Tracer, call: Call) -> None:
    """Drop dimensions of one position of a tensor itself, whose former shape is gone."""
    refuse(tracer, call)
    tracer.put(call.out, (None,) * call.out.ndim)


def expand(tracer: Tracer, call: Call) -> None:
    """Repeat dimensions of one position without copying."""
    source = call.args[0]
    padded = (None,) * (call.out.ndim - source.ndim) + tracer.dims(source)
    shape = (1,) * (call.out.ndim - source.ndim) + tuple(source.shape)
    followed: Dims = tracer.dims(call.args[1]) if call.name == "expand_as" else (None,) * call.out.ndim
    result: list[Labels | None] = []
    for labels, old, new, other in zip(padded, shape, call.out.shape, followed, strict=True):
        if old != new:
            tracer.graph.freeze(labels, "its one position is expanded to several")
            note_offset(tracer, other, call.name)
        result.append(labels if old == new else other)
    tracer.put_like(call.out, tuple(result), source)


def repeat(tracer: Tracer, call: Call) -> None:
    """Copies side by side."""
    source = call.args[0]
    padded = (None,) * (call.out.ndim - source.ndim) + tracer.dims(source)
    shape = (1,) * (call.out.ndim - source.ndim) + tuple(source.shape)
    dims = tuple(
        None if labels is None else np.tile(labels, new // old)
        for labels, old, new in zip(padded, shape, call.out.shape, strict=True)
    )
    tracer.put(call.out, dims)


def cat(tracer: Tracer, call: Call) -> None:
    """Tensors one after the other along one dimension."""
    parts = [tensor for tensor in call.args[0] if tensor.numel() or tensor.ndim > 1]
    index = call.get(1, "dim", 0) % call.out.ndim
    known = [tracer.dims(tensor) for tensor in parts]
    shapes = [[1 if place == index else size for place, size in enumerate(tensor.shape)] for tensor in parts]
    others = [tuple(None if place == index else labels for place, labels in enumerate(dims)) for dims in known]
    target = [1 if place == index else size for place, size in enumerate(call.out.shape)]
    dims = list(broadcast(tracer, others, shapes, target))
    along = [one[index] for one in known]
    if any(labels is not None for labels in along):
        dims[index] = np.concatenate(
            [_named(tracer, labels, tensor.shape[index]) for labels, tensor in zip(along, parts, strict=True)]
        )
    tracer.put(call.out, tuple(dims), is_derived=all(tracer.is_weight(t) or tracer.is_derived(t) for t in parts))


def _named(tracer: Tracer, labels: Labels | None, size: int) -> Labels:
    """Return labels for a fixed dimension, too, so that it can stand beside labelled ones."""
    if labels is not None:
        return labels
    fixed = tracer.graph.fresh(size)
    tracer.graph.freeze(fixed, "it is joined with a dimension of fixed size")
    return fixed


def stack(tracer: Tracer, call: Call) -> None:
    """Tensors one after the other along a new dimension."""
    parts = list(call.args[0])
    index = call.get(1, "dim", 0) % call.out.ndim
    dims = broadcast(tracer, [tracer.dims(t) for t in parts], [t.shape for t in parts], parts[0].shape)
    tracer.put(call.out, (*dims[:index], None, *dims[index:]))


def chunk(tracer: Tracer, call: Call) -> None:
    """Parts of equal length: their aligned positions go together, so that the parts stay equal.

    Parts whose lengths the code lists are each on their own: if the lengths do not follow the units, a run at other
    widths will show it.
    """
    source = call.args[0]
    dimension = (call.args[2] if len(call.args) > 2 else call.kwargs.get("dim", 0)) % source.ndim
    dims = tracer.dims(source)
    labels = dims[dimension]
    sizes = [part.shape[dimension] for part in call.out]
    parts: list[Labels | None] = [None] * len(sizes)
    if labels is not None and len(set(sizes)) == 1:
        tracer.graph.unify_rows(labels, len(sizes))
        parts = list(labels.reshape(len(sizes), -1))
    elif labels is not None and "with_sizes" in call.name:
        own_parts = np.split(labels, np.cumsum(sizes)[:-1])
        tracer.graph.cuts.append(own_parts)
        parts = [*own_parts]
    elif labels is not None:
        tracer.graph.freeze(labels, f"it is cut into parts of unequal length in {tracer.place()}")
    for part, own in zip(call.out, parts, strict=True):
        tracer.put_like(part, (*dims[:dimension], own, *dims[dimension + 1 :]), source)


def slice_(tracer: Tracer, call: Call) -> None:
    """A range of one dimension: one of several equal parts, or nothing that can change."""
    source, out = call.args[0], call.out
    index = call.get(1, "dim", 0) % source.ndim
    dims = tracer.dims(source)
    labels, old, new = dims[index], source.shape[index], out.shape[index]
    if labels is not None and new != old:
        start = min(max((call.get(2, "start") or 0) + (old if (call.get(2, "start") or 0) < 0 else 0), 0), old)
        is_part = call.get(4, "step", 1) == 1 and new and old % new == 0 and start % new == 0
        if is_part:
            tracer.graph.unify_rows(labels, old // new)
            labels = labels[start : start + new]
        else:
            tracer.graph.freeze(labels, f"a part of it is cut out in {tracer.place()}")
            labels = None
    tracer.put_like(out, (*dims[:index], labels, *dims[index + 1 :]), source)


def select(tracer: Tracer, call: Call) -> None:
    """One position of one dimension, which then cannot change."""
    source = call.args[0]
    index = call.get(1, "dim", 0) % source.ndim
    dims = tracer.dims(source)
    tracer.graph.freeze(dims[index], f"single positions of it are picked in {tracer.place()}")
    tracer.put_like(call.out, (*dims[:index], *dims[index + 1 :]), source)


def unbind(tracer: Tracer, call: Call) -> None:
    """Every position of one dimension as a tensor of its own."""
    source = call.args[0]
    index = call.get(1, "dim", 0) % source.ndim
    dims = tracer.dims(source)
    tracer.graph.freeze(dims[index], f"single positions of it are picked in {tracer.place()}")
    for part in call.out:
        tracer.put_like(part, (*dims[:index], *dims[index + 1 :]), source)


def keep_all_but(tracer: Tracer, call: Call, changed: set[int], reason: str) -> None:
    """Give the result the labels of all dimensions but some, which cannot change."""
    source = call.args[0]
    dims = tracer.dims(source)
    for index in changed:
        tracer.graph.freeze(dims[index], reason)
    tracer.put(call.out, tuple(None if index in changed else labels for index, labels in enumerate(dims)))


def moved_along(tracer: Tracer, call: Call) -> None:
    """Roll or flip: the order of the positions changes along some dimensions."""
    chosen = call.args[2] if call.name == "roll" and len(call.args) > 2 else call.get(1, "dims", ())
    ndim = call.args[0].ndim
    changed = {index % ndim for index in ([chosen] if isinstance(chosen, int) else chosen)} or set(range(ndim))
    keep_all_but(tracer, call, changed, f"its positions change order ({call.name}) in {tracer.place()}")


def pad(tracer: Tracer, call: Call) -> None:
    """Positions of fixed number are added around some dimensions, or cut off."""
    last = call.args[0].ndim - 1
    changed = {last - place // 2 for place, amount in enumerate(call.args[1]) if amount}  # two for each, the last first
    keep_all_but(tracer, call, changed, f"positions are padded to it in {tracer.place()}")
    if call.get(3 if call.name == "pad" else 2, "value"):
        for labels in tracer.dims(call.out):
            note_offset(tracer, labels, call.name)


_MASKS = {torch.bool, torch.uint8}


def index(tracer: Tracer, call: Call) -> None:
    """Rows picked by tensors of indices, such as a table of position biases."""
    source, indices = call.args[0], call.args[1]
    places: list[int] = []
    place = 0
    for one in indices:
        width = one.ndim if one is not None and one.dtype in _MASKS else 1  # a mask picks from all its dimensions
        places += range(place, place + width) if one is not None else ()
        place += width
    dims = tracer.dims(source)
    for place in places:
        tracer.graph.freeze(dims[place], f"positions of it are picked by index in {tracer.place()}")
    picked = call.out.ndim - (source.ndim - len(places))
    rest = [labels for place, labels in enumerate(dims) if place not in places]
    are_neighbours = places == list(range(places[0], places[0] + len(places)))
    start = places[0] if are_neighbours else 0
    tracer.put_like(call.out, (*rest[:start], *(None,) * picked, *rest[start:]), source)


def _all_tensors_fixed(tracer: Tracer, tensors: Sequence[Tensor], reason: str) -> None:
    for tensor in tensors:
        for labels in tracer.dims(tensor):
            tracer.graph.freeze(labels, reason)


_ALONG = {"index_select": 1, "sort": 1, "topk": 2}  # where the dimension is among the arguments


def along(tracer: Tracer, call: Call) -> None:
    """Positions of one dimension are picked or ordered, for every unit in another one by itself."""
    source = call.args[0]
    place = call.get(_ALONG[call.name], "dim", -1) % source.ndim
    outs = call.out if isinstance(call.out, (tuple, list)) else (call.out,)
    for out in outs:
        reason = f"positions of it are picked or ordered ({call.name}) in {tracer.place()}"
        keep_all_but(tracer, Call(call.name, call.args, call.kwargs, out), {place}, reason)


def pixel_shuffle(tracer: Tracer, call: Call) -> None:
    """`(..., c * r * r, h, w)` to `(..., c, h * r, w * r)`: all positions that become one channel go together."""
    source, factor = call.args[:2]
    dims = tracer.dims(source)
    channels = dims[-3]
    if channels is not None:
        channels, places = tracer.graph.split(channels, source.shape[-3] // factor**2, factor**2)
        tracer.graph.freeze(places, f"it becomes positions in space in {tracer.place()}")
    tracer.put(call.out, (*_outside(tracer, dims), channels, None, None))


def pixel_unshuffle(tracer: Tracer, call: Call) -> None:
    """`(..., c, h * r, w * r)` to `(..., c * r * r, h, w)`: a channel becomes several ones side by side."""
    source, factor = call.args[:2]
    dims = tracer.dims(source)
    channels = dims[-3]
    several = None if channels is None else np.repeat(channels, factor**2)
    tracer.put(call.out, (*_outside(tracer, dims), several, None, None))


def _outside(tracer: Tracer, dims: Dims) -> Dims:
    """Return the dimensions before the channels of images, whose places cannot change."""
    for labels in dims[-2:]:
        if labels is not None:
            tracer.graph.freeze(labels, f"it is a position in space in {tracer.place()}")
    return dims[:-3]


def channel_shuffle(tracer: Tracer, call: Call) -> None:
    """The channels `(b, g * c, ...)` of g blocks in turn: the aligned ones of all blocks stand side by side."""
    source, num_blocks = call.args[:2]
    dims = tracer.dims(source)
    width = source.shape[1] // num_blocks
    rows, columns = (None, None) if dims[1] is None else tracer.graph.split(dims[1], num_blocks, width)
    tracer.put(call.out, (dims[0], tracer.graph.merge(columns, width, rows, num_blocks), *dims[2:]))


def read_value(tracer: Tracer, call: Call) -> None:
    """A number that leaves the tensors; a tensor of one element has nothing that could change."""
    _all_tensors_fixed(tracer, call.tensors(), f"a value is read ({call.name}) in {tracer.place()}")


RULES: dict[str, Rule] = {
    **dict.fromkeys(
        [
            "view",
            "reshape",
            "_unsafe_view",
            "flatten",
            "unflatten",
            "view_as",
            "reshape_as",
            "ravel",
            "_reshape_alias",
        ],
        reshape,
    ),
    **dict.fromkeys(("transpose", "t", "swapaxes", "swapdims", "numpy_T", "mT", "adjoint"), _reordering(_swapped)),
    "permute": _reordering(_permuted),
    **dict.fromkeys(("movedim", "moveaxis"), _reordering(_moved)),
    "unsqueeze": unsqueeze,
    "squeeze": squeeze,
    "squeeze_": squeeze_in_place,
    **dict.fromkeys(("expand", "expand_as", "broadcast_to"), expand),
    "repeat": repeat,
    **dict.fromkeys(("cat", "concat", "concatenate"), cat),
    "stack": stack,
    **dict.fromkeys(
        ("chunk", "unsafe_chunk", "split", "unsafe_split", "split_with_sizes", "unsafe_split_with_sizes"), chunk
    ),
    "slice": slice_,
    "select": select,
    "unbind": unbind,
    **dict.fromkeys(("roll", "flip"), moved_along),
    **dict.fromkeys(("pad", "constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "replication_pad2d"), pad),
    **dict.fromkeys(("index", "_unsafe_index"), index),
    **dict.fromkeys(_ALONG, along),
    "pixel_shuffle": pixel_shuffle,
    "pixel_unshuffle": pixel_unshuffle,
    **dict.fromkeys(("channel_shuffle", "native_channel_shuffle"), channel_shuffle),
    **dict.fromkeys(("_local_scalar_dense", "item", "is_nonzero"), read_value),
}
