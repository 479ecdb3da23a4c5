"""Operations that make new numbers: the sizes may follow units, the numbers do not."""

from neurosearch.neurons.rules_elementwise import elementwise, note_offset
from neurosearch.neurons.tracer import Call, Rule, Tracer

SAME_SHAPE = [
    "zeros_like",
    "ones_like",
    "empty_like",
    "rand_like",
    "randn_like",
    "full_like",
]
FILLS = [
    "zero",
    "fill",
    "bernoulli_",
    "uniform",
    "normal_",
    "random",
]


def same_shape(tracer: Tracer, call: Call) -> None:
    """A new tensor whose size follows another one's."""
    tracer.put(call.out, tracer.dims(call.args[0]))
    _note_filling(tracer, call)


def factory(tracer: Tracer, call: Call) -> None:
    """A new tensor of a size that code names: it may follow units, which a run at other widths will show."""
    tracer.put(call.out, tuple(tracer.graph.fresh(size) for size in call.out.shape))
    _note_filling(tracer, call)


def normal(tracer: Tracer, call: Call) -> None:
    """Random numbers around others, or of a size that code names."""
    if not call.tensors():
        factory(tracer, call)
        return
    elementwise(tracer, call)
    _note_filling(tracer, call)


def arange(tracer: Tracer, call: Call) -> None:
    """Numbers that count positions: those behind a unit that goes would have others."""
    factory(tracer, call)
    for labels in tracer.dims(call.out):
        tracer.graph.freeze(labels, f"its positions are numbered (arange) in {tracer.place()}")


def _note_filling(tracer: Tracer, call: Call) -> None:
    """Say of new numbers other than 0 that they are there where a unit is 0, and not in proportion to its values."""
    if not call.name.startswith(("zero", "new_zeros", "empty", "new_empty")):
        for labels in tracer.dims(call.out):
            note_offset(tracer, labels, call.name)


RULES: dict[str, Rule] = {
    **dict.fromkeys((*SAME_SHAPE, *FILLS), same_shape),
    "normal": normal,
    "arange": arange,
    **dict.fromkeys(
        [
            "zeros",
            "ones",
            "empty",
            "full",
            "rand",
            "randn",
            "new_zeros",
            "new_ones",
            "new_empty",
            "new_full",
            "scalar_tensor",
        ],
        factory,
    ),
}
