"""Operations that work on every element by itself: the labels of their operands are the same."""

from collections.abc import Sequence

from torch import Tensor

from neurosearch.neurons.labels import Labels, Obstacle, Role
from neurosearch.neurons.reshape import Dims
from neurosearch.neurons.tracer import Call, Rule, Tracer, refuse

FIXED_PARTNER = "it meets a dimension of fixed size (an input, a kernel or a constant)"

# f(0) = 0 and f'(0) != 0, or linear in each operand.
KEEP_ZERO = [
    "asin",
    "asinh",
    "atan",
    "celu",
    "div",
    "elu",
    "erf",
    "expm1",
    "gelu",
    "hardswish",
    "leaky_relu",
    "log1p",
    "minimum",
    "maximum",
    "mish",
    "mul",
    "multiply",
    "neg",
    "negative",
    "rrelu",
    "selu",
    "silu",
    "sin",
    "sinh",
    "sub",
    "subtract",
    "tan",
    "tanh",
    "add",
    "true_divide",
    "nan_to_num",
]
# f(r x) = r f(x) for r > 0; of two operands that both have units, r times each.
HOMOGENEOUS = ["leaky_relu", "neg", "negative"]
SUMS = ["add", "sub", "subtract", "minimum", "maximum"]
PRODUCTS = ["mul", "multiply", "div", "true_divide"]
COPIES = [
    "_to_copy",
    "alias",
    "clone",
    "contiguous",
    "detach",
    "positive",
    "to",
    "type_as",
    "lift_fresh",
    "lift",
    "copy",
    "resolve_conj",
    "resolve_neg",
    "float",
    "half",
    "double",
    "bfloat16",
]
DROPOUTS = [
    "dropout",
    "feature_dropout",
    "native_dropout",
    "bernoulli",
]
SHIFTED_DROPOUTS = ["alpha_dropout", "feature_alpha_dropout"]
DEAD_AT_ZERO = [
    "relu",
    "relu6",
    "hardtanh",
    "clamp",
    "clamp_min",
    "clamp_max",
    "threshold",
    "hardshrink",
    "softshrink",
]
FLAT_AT_ZERO = ["square", "sign", "sqrt"]  # f(0) = 0, and no finite slope other than 0 there
MOVE_ZERO = [
    "sigmoid",
    "hardsigmoid",
    "exp",
    "exp2",
    "log",
    "log2",
    "log10",
    "logit",
    "log_sigmoid",
    "log_sigmoid_forward",
    "softplus",
    "cos",
    "cosh",
    "reciprocal",
    "rsqrt",
    "pow",
    "rsub",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "logical_not",
    "logical_and",
    "logical_or",
    "logical_xor",
    "bitwise_not",
    "bitwise_and",
    "bitwise_or",
    "isnan",
    "isinf",
    "isfinite",
    "masked_fill",
    "erfc",
    "acos",
    "digamma",
    "floor_divide",
    "floor",
    "ceil",
    "round",
    "remainder",
    "fmod",
    "sigmoid_",
    "special_erf",
    "atan2",
]
_ROLE = {"add": Role.SHIFT, "sub": Role.SHIFT, "mul": Role.SCALE, "multiply": Role.SCALE, "div": Role.SCALE}


def broadcast(tracer: Tracer, all_dims: Sequence[Dims], shapes: Sequence[Sequence[int]], out: Sequence[int]) -> Dims:
    """Unify the labels of operands that are broadcast against each other; return those of the result."""
    result: list[Labels | None] = []
    for index, size in enumerate(out):
        column = []
        for dims, shape in zip(all_dims, shapes, strict=True):
            own = index - (len(out) - len(shape))
            if own >= 0:
                column.append((dims[own], shape[own]))
        result.append(_unified(tracer, column, size))
    return tuple(result)


def _unified(tracer: Tracer, column: Sequence[tuple[Labels | None, int]], size: int) -> Labels | None:
    graph = tracer.graph
    full = [labels for labels, length in column if length == size]
    for labels, length in column:
        if length != size:
            graph.freeze(labels, "its one position is broadcast against several")
    labelled = [labels for labels in full if labels is not None]
    if not labelled:
        return None
    if len(labelled) < len(full) and size > 1:
        for labels in labelled:
            graph.freeze(labels, FIXED_PARTNER)
        return None
    for labels in labelled[1:]:
        graph.unify(labelled[0], labels)
    return labelled[0]


def elementwise(tracer: Tracer, call: Call) -> None:
    """Unify the operands and give the result their labels."""
    operands = [tensor for tensor in call.tensors() if tensor.ndim]
    out = call.out[0] if isinstance(call.out, (tuple, list)) else call.out
    dims = broadcast(tracer, [tracer.dims(tensor) for tensor in operands], [t.shape for t in operands], out.shape)
    weights = [tensor for tensor in operands if tracer.is_weight(tensor) or tracer.is_derived(tensor)]
    is_derived = bool(operands) and len(weights) == len(operands)
    for tensor in weights:
        for labels in tracer.dims(tensor):
            tracer.graph.play(labels, Role.DERIVED if is_derived else _role(call, tensor))
    for result in call.out if isinstance(call.out, (tuple, list)) else (call.out,):
        if isinstance(result, Tensor):
            tracer.put(result, dims, is_derived=is_derived)


def _role(call: Call, weight: Tensor) -> Role:
    """Return what a weight does for the units that it meets; one that is subtracted, or added in part, is no shift."""
    name = call.name.rstrip("_")
    is_last = weight is call.args[-1]
    if is_last and (name == "sub" or call.kwargs.get("alpha", 1) != 1):
        return Role.OTHER
    return _ROLE.get(name, Role.OTHER)


def _noting(*obstacles: Obstacle) -> Rule:
    def rule(tracer: Tracer, call: Call) -> None:
        elementwise(tracer, call)
        out = call.out[0] if isinstance(call.out, (tuple, list)) else call.out
        for obstacle in obstacles:
            note_all(tracer, out, obstacle, call.name)

    return rule


def note_all(tracer: Tracer, tensor: Tensor, obstacle: Obstacle, words: str) -> None:
    """Say of the units in every dimension of a tensor what an operation means for new ones."""
    for labels in tracer.dims(tensor):
        tracer.graph.note(labels, obstacle, words)


def choice(tracer: Tracer, call: Call) -> None:
    """One of two values at each place: the larger or smaller one, that of a condition, or something in between."""
    elementwise(tracer, call)
    values = call.args[1:3] if call.name == "where" else call.args[:2]
    note_constants(tracer, values, call.out, call.name)
    if any(tracer.is_weight(one) or tracer.is_derived(one) for one in values if isinstance(one, Tensor)):
        note_all(tracer, call.out, Obstacle.MOVES_ZERO, call.name)


def where(tracer: Tracer, call: Call) -> None:
    """Two values and a condition; a condition alone asks for the places at which it is true."""
    if len(call.args) < 3:
        refuse(tracer, call)
        return
    choice(tracer, call)
    note_all(tracer, call.out, Obstacle.BENDS, call.name)


def lerp(tracer: Tracer, call: Call) -> None:
    """A value on the way from one to another; the share may have units, too."""
    choice(tracer, call)
    note_all(tracer, call.out, Obstacle.BENDS, call.name)


def note_constants(tracer: Tracer, operands: Sequence[object], out: Tensor, words: str) -> None:
    """Say of units that something without units is added to them: 0 moves, and twice the unit is not twice the sum."""
    for place, labels in enumerate(tracer.dims(out)):
        if labels is not None and any(_is_shared(tracer, operand, place, out) for operand in operands):
            note_offset(tracer, labels, words)


def note_offset(tracer: Tracer, labels: Labels | None, words: str) -> None:
    """Say of units that something is added to them that does not depend on them."""
    tracer.graph.note(labels, Obstacle.BENDS, words)
    tracer.graph.note(labels, Obstacle.MOVES_ZERO, words)


def _is_shared(tracer: Tracer, operand: object, place: int, out: Tensor) -> bool:
    """Return whether an operand other than 0 is the same for all positions of a dimension of the result."""
    if not isinstance(operand, Tensor):
        return operand != 0
    own = place - out.ndim + operand.ndim
    return own < 0 or tracer.dims(operand)[own] is None or operand.shape[own] != out.shape[place]


def product(tracer: Tracer, call: Call) -> None:
    """Multiply or divide: two values of units, or one below the line, are no longer in proportion to the units."""
    elementwise(tracer, call)
    has_units = [_has_units(tracer, one) for one in call.args[:2]]
    if all(has_units) or (has_units[-1] and "div" in call.name):
        note_all(tracer, call.out, Obstacle.BENDS, call.name)
    if has_units[-1] and "div" in call.name:
        note_all(tracer, call.out, Obstacle.MOVES_ZERO, call.name)
    elif all(has_units):
        note_flat(tracer, call.args[:2], call.out, f"a product of two activations in {tracer.place()}")


def _has_units(tracer: Tracer, value: object) -> bool:
    """Return whether a value is computed from units, and not from parameters alone."""
    return (
        isinstance(value, Tensor)
        and not (tracer.is_weight(value) or tracer.is_derived(value))
        and any(labels is not None for labels in tracer.dims(value))
    )


def note_flat(tracer: Tracer, factors: Sequence[Tensor], out: Tensor, words: str) -> None:
    """Say of units that stand in both factors of a product that it has no slope where both are 0."""
    for place, labels in enumerate(tracer.dims(out)):
        if not any(_is_shared(tracer, factor, place, out) for factor in factors):
            tracer.graph.note(labels, Obstacle.DEAD_AT_ZERO, words)


def product_plus(tracer: Tracer, call: Call) -> None:
    """A term plus a product or quotient of two others."""
    elementwise(tracer, call)
    note_all(tracer, call.out, Obstacle.BENDS, call.name)
    note_constants(tracer, call.args[:1], call.out, call.name)
    if call.name.startswith("addcdiv") or tracer.is_weight(call.args[0]):
        note_all(tracer, call.out, Obstacle.MOVES_ZERO, call.name)
    elif all(_has_units(tracer, one) for one in call.args[1:3]):
        note_flat(tracer, call.args[1:3], call.out, f"a product of two activations in {tracer.place()}")


def add(tracer: Tracer, call: Call) -> None:
    """Add: a number or a value that all units share moves zero."""
    elementwise(tracer, call)
    note_constants(tracer, call.args[:2], call.out, call.name)


def prelu(tracer: Tracer, call: Call) -> None:
    """One slope per channel, or one for all."""
    inputs, weight = call.args
    dims = tracer.dims(inputs)
    own = tracer.dims(weight)[0]
    if weight.numel() == 1:
        tracer.graph.freeze(own, "one slope for all channels")
    elif own is not None:
        channels = dims[1] if inputs.ndim > 1 else dims[0]
        if channels is None:
            tracer.graph.freeze(own, FIXED_PARTNER)
        else:
            tracer.graph.unify(channels, own)
            tracer.graph.note(own, Obstacle.NEEDS_TWO, "one slope per channel")
        tracer.graph.play(own, Role.SCALE)
    tracer.put(call.out, dims)


def glu(tracer: Tracer, call: Call) -> None:
    """The first half of a dimension, times the sigmoid of the second: their aligned positions go together."""
    source = call.args[0]
    place = call.get(1, "dim", -1) % source.ndim
    dims = list(tracer.dims(source))
    labels = dims[place]
    dims[place] = None if labels is None else tracer.graph.unify_rows(labels, 2)
    tracer.put(call.out, tuple(dims))
    note_all(tracer, call.out, Obstacle.BENDS, call.name)


def copy(tracer: Tracer, call: Call) -> None:
    """The same numbers, perhaps of another type."""
    source = call.args[0]
    if call.name == "copy_":
        elementwise(tracer, call)
    else:
        tracer.put_like(call.out, tracer.dims(source), source)


RULES: dict[str, Rule] = {
    **dict.fromkeys(KEEP_ZERO, _noting(Obstacle.BENDS)),
    **dict.fromkeys(HOMOGENEOUS, elementwise),
    **dict.fromkeys(SUMS, choice),
    "where": where,
    "lerp": lerp,
    "glu": glu,
    **dict.fromkeys(PRODUCTS, product),
    **dict.fromkeys(DEAD_AT_ZERO, _noting(Obstacle.DEAD_AT_ZERO, Obstacle.BENDS)),
    **dict.fromkeys(FLAT_AT_ZERO, _noting(Obstacle.DEAD_AT_ZERO, Obstacle.BENDS)),
    **dict.fromkeys(("relu", "abs"), _noting(Obstacle.DEAD_AT_ZERO)),
    **dict.fromkeys(("addcmul", "addcdiv"), product_plus),
    **dict.fromkeys(MOVE_ZERO, _noting(Obstacle.MOVES_ZERO)),
    "prelu": prelu,
    **dict.fromkeys(("add", "sub", "subtract"), add),
    **dict.fromkeys(COPIES, copy),
    **dict.fromkeys(DROPOUTS, elementwise),
    **dict.fromkeys(SHIFTED_DROPOUTS, _noting(Obstacle.BENDS)),
}
