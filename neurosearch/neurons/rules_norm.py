"""Normalisations, poolings and reductions: what they do along the units decides what can be done to them."""

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from neurosearch.neurons.labels import Labels, Obstacle, Role
from neurosearch.neurons.reshape import Dims
from neurosearch.neurons.rules_elementwise import FIXED_PARTNER, choice, note_all, note_offset
from neurosearch.neurons.rules_layout import keep_all_but
from neurosearch.neurons.tracer import Call, Rule, Tracer


def _attach(tracer: Tracer, tensor: Tensor | None, labels: Labels | None, role: Role, place: int = 0) -> None:
    """Unify a parameter or buffer of a normalisation with the dimension it belongs to."""
    if tensor is None:
        return
    own = tracer.dims(tensor)[place]
    if own is not None and labels is not None:
        tracer.graph.unify(labels, own)
    else:
        tracer.graph.freeze(own, FIXED_PARTNER)
        tracer.graph.freeze(labels, FIXED_PARTNER)
    tracer.graph.play(own, role)


def batch_norm(tracer: Tracer, call: Call) -> None:
    """`(b, c, ...)` normalised per channel: every channel by itself, over all else or all else but b."""
    inputs, weight, bias, mean, variance = call.args[:5]
    dims = tracer.dims(inputs)
    for tensor, role in (
        (weight, Role.SCALE),
        (bias, Role.SHIFT),
        (mean, Role.MEAN),
        (variance, Role.VARIANCE),
    ):
        _attach(tracer, tensor, dims[1], role)
    if weight is None and mean is None:
        tracer.follow(_NormBase, ["num_features"], dims[1])
    out = call.out if isinstance(call.out, Tensor) else call.out[0]
    tracer.put(out, dims)
    note_all(tracer, out, Obstacle.BENDS, call.name)
    _note_others(tracer, dims, call.name, is_over_examples="batch_norm" in call.name)


def _note_others(tracer: Tracer, dims: Dims, name: str, *, is_over_examples: bool) -> None:
    """Say of units that are no channels what it means that mean, variance and shift are those of a channel."""
    for place, labels in enumerate(dims):
        if labels is None or place == 1:
            continue
        note_offset(tracer, labels, name)
        if place or is_over_examples:
            tracer.graph.note(labels, Obstacle.NORMALISED, f"{name} in {tracer.place()}")


def layer_norm(tracer: Tracer, call: Call) -> None:
    """The last dimensions normalised together: each unit changes all others."""
    inputs, shape = call.args[:2]
    dims = tracer.dims(inputs)
    first = inputs.ndim - len(shape)
    weight, bias = call.get(2, "weight"), None if call.name == "rms_norm" else call.get(3, "bias")
    for place in range(len(shape)):
        labels = dims[first + place]
        _attach(tracer, weight, labels, Role.SCALE, place)
        _attach(tracer, bias, labels, Role.SHIFT, place)
        tracer.graph.note(labels, Obstacle.NORMALISED, f"{call.name} in {tracer.place()}")
    for labels in dims[:first]:
        tracer.graph.note(labels, Obstacle.BENDS, call.name)
        if bias is not None:
            tracer.graph.note(labels, Obstacle.MOVES_ZERO, call.name)
    out = call.out if isinstance(call.out, Tensor) else call.out[0]
    tracer.put(out, dims)


def group_norm(tracer: Tracer, call: Call) -> None:
    """Channels normalised in equal blocks, whose aligned positions go together."""
    inputs, num_groups = call.args[:2]
    dims = tracer.dims(inputs)
    labels = dims[1]
    if labels is not None and 1 < num_groups == inputs.shape[1]:
        tracer.graph.note(labels, Obstacle.NEEDS_TWO, f"{call.name} with one channel per group in {tracer.place()}")
    elif labels is not None:
        tracer.graph.unify_rows(labels, num_groups)
        if num_groups > 1:
            tracer.graph.note(labels, Obstacle.NEEDS_TWO, f"{call.name} in {tracer.place()}")
        tracer.graph.note(labels, Obstacle.NORMALISED, f"{call.name} in {tracer.place()}")
    if call.get(2, "weight") is None:
        tracer.follow(nn.GroupNorm, ["num_channels", "num_groups"], labels)
    _attach(tracer, call.get(2, "weight"), labels, Role.SCALE)
    _attach(tracer, call.get(3, "bias"), labels, Role.SHIFT)
    _note_others(tracer, dims, call.name, is_over_examples=False)
    tracer.put(call.out, dims)
    note_all(tracer, call.out, Obstacle.BENDS, call.name)


def pool(tracer: Tracer, call: Call) -> None:
    """Positions in space are pooled, resized or dropped; channels stay."""
    source = call.args[0]
    num_space = {"1d": 1, "2d": 2, "3d": 3}.get(call.name.replace("_with_indices", "")[-2:], source.ndim - 2)
    reason = f"it is a position in space in {tracer.place()}"
    for out in call.out if isinstance(call.out, tuple) else (call.out,):
        keep_all_but(
            tracer,
            Call(call.name, call.args, call.kwargs, out),
            set(range(source.ndim - num_space, source.ndim)),
            reason,
        )


def reduce(tracer: Tracer, call: Call) -> None:
    """A mean, sum or maximum: what it is taken over cannot change."""
    source = call.args[0]
    if len(call.args) > 1 and isinstance(call.args[1], Tensor):  # the larger of two tensors, element by element
        return choice(tracer, call)
    chosen = call.get(2 if "norm" in call.name else 1, "dim")
    if not isinstance(chosen, (int, list, tuple)) or chosen == []:
        chosen = range(source.ndim)
    gone = {index % max(source.ndim, 1) for index in ([chosen] if isinstance(chosen, int) else chosen)}
    dims = tracer.dims(source)
    for index in gone:
        if index < source.ndim:
            tracer.graph.freeze(dims[index], f"{call.name} is taken over it in {tracer.place()}")
    rest = tuple(labels for index, labels in enumerate(dims) if index not in gone)
    keeps = tuple(None if index in gone else labels for index, labels in enumerate(dims))
    for out in call.out if isinstance(call.out, (tuple, list)) else (call.out,):
        tracer.put(out, keeps if out.ndim == source.ndim and gone else rest)
        if call.name not in _HOMOGENEOUS:
            note_all(tracer, out, Obstacle.BENDS, call.name)
        if call.name == "logsumexp":
            note_all(tracer, out, Obstacle.MOVES_ZERO, call.name)
        elif call.name not in _SLOPED:
            note_all(tracer, out, Obstacle.DEAD_AT_ZERO, call.name)
    return None


def softmax(tracer: Tracer, call: Call) -> None:
    """Positions along one dimension share a sum."""
    source = call.args[0]
    index = call.get(1, "dim") % source.ndim
    dims = tracer.dims(source)
    tracer.graph.freeze(dims[index], f"{call.name} is taken over it in {tracer.place()}")
    for labels in dims:
        tracer.graph.note(labels, Obstacle.MOVES_ZERO, call.name)
    tracer.put(call.out, tuple(None if place == index else labels for place, labels in enumerate(dims)))


_POOLS = [
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_pool2d_with_indices",
    "max_pool3d_with_indices",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "_adaptive_avg_pool2d",
    "_adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "upsample_nearest1d",
    "upsample_nearest2d",
    "upsample_nearest3d",
    "upsample_bilinear2d",
    "upsample_bicubic2d",
    "upsample_linear1d",
    "upsample_trilinear3d",
    "_upsample_nearest_exact2d",
    "_upsample_bilinear2d_aa",
]

_REDUCTIONS = [
    "mean",
    "sum",
    "amax",
    "amin",
    "max",
    "min",
    "prod",
    "var",
    "std",
    "var_mean",
    "std_mean",
    "norm",
    "linalg_vector_norm",
    "argmax",
    "argmin",
    "logsumexp",
    "all",
    "any",
    "cumsum",
]

_HOMOGENEOUS = frozenset({"mean", "sum", "amax", "amin", "max", "min"})  # r times every value gives r times the result
_SLOPED = _HOMOGENEOUS | {"cumsum"}  # a slope other than 0 where every value is 0

_BATCH_NORMS = [
    "batch_norm",
    "instance_norm",
    "native_batch_norm",
    "_native_batch_norm_legit_no_training",
    "cudnn_batch_norm",
]

RULES: dict[str, Rule] = {
    **dict.fromkeys(_BATCH_NORMS, batch_norm),
    **dict.fromkeys(("layer_norm", "rms_norm"), layer_norm),
    "group_norm": group_norm,
    **dict.fromkeys(_POOLS, pool),
    **dict.fromkeys(_REDUCTIONS, reduce),
    **dict.fromkeys(("softmax", "log_softmax", "_softmax", "_log_softmax"), softmax),
}
