"""Who shares a stack: networks of one form, and of smaller ones where padding costs less than a stack of their own.

A stack costs the same calls however many networks it has, so a few wide products too many are cheaper than another one.
"""

from collections.abc import Sequence
from functools import lru_cache

from neurosearch.training.form import Form, covering

# Seconds of one core, from steps of 64 examples measured on the CPU: ratios are what matters.
_STACK_SECONDS = 3e-4
_WEIGHT_SECONDS = 1.2e-8  # of each weight: its part of three products, and its update


@lru_cache(maxsize=64)
def companies(forms: tuple[Form, ...]) -> tuple[tuple[Form, tuple[int, ...]], ...]:
    """Return for networks of these forms which share a stack, by their places, and its form.

    Pairs of stacks are joined as long as that saves time, those first that save the most.
    """
    places: dict[Form, tuple[int, ...]] = {}
    for place, form in enumerate(forms):
        places[form] = (*places.get(form, ()), place)
    while (best := _best_pair(tuple((form, len(members)) for form, members in places.items()))) is not None:
        one, other, both = best
        members = places.pop(one) + places.pop(other)
        places[both] = tuple(sorted(places.get(both, ()) + members))
    return tuple(places.items())


def _best_pair(groups: Sequence[tuple[Form, int]]) -> tuple[Form, Form, Form] | None:
    best, saved = None, 0.0
    for index, (one, count) in enumerate(groups):
        for other, other_count in groups[index + 1 :]:
            both = covering(one, other)
            if both is None:
                continue
            padding = (count + other_count) * _weights(both) - count * _weights(one) - other_count * _weights(other)
            saving = _STACK_SECONDS - padding * _WEIGHT_SECONDS
            if saving > saved:
                best, saved = (one, other, both), saving
    return best


@lru_cache(maxsize=1024)
def _weights(form: Form) -> int:
    return sum(link.num_inputs * link.num_outputs for link in form.links)
