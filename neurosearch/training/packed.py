"""Many small trainings as one: members lie side by side in the last dimension, and one compiled step serves them all.

A step is a pure function `(state, given) -> state` of nested named tuples of tensors: the state changes from step to
step, what is given stays. Every tensor has the members in its last dimension, and a step computes within a member only.
All packs have one size, the last one is filled up with copies; so each member meets the same compiled code, and its
result does not depend on what else was trained.

Shape letter: t members.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

State = TypeVar("State", bound=tuple[Any, ...])
Given = TypeVar("Given", bound=tuple[Any, ...])

# Inductor computes a value anew in every loop that uses it, unless it takes more operations than this. With its own
# limit, 30, the sine of a gate ran once for every example instead of once for every neuron: half the speed.
_COMPILER_OPTIONS: dict[str, Any] = {"realize_opcount_threshold": 12}


class AdamState(NamedTuple):
    """Weights with what Adam keeps for them: means of gradients and of their squares, and steps done, `(t,)`."""

    weights: Any
    means: Any
    squares: Any
    steps: Tensor


def compiled(step: Callable[[State, Given], State]) -> Callable[[State, Given], State]:
    """Return a step fused by Inductor, compiled anew for each shape it meets; needs a C++ compiler on CPUs."""
    return torch.compile(step, fullgraph=True, dynamic=False, options=_COMPILER_OPTIONS)


def train(step: Callable[[State, Given], State], state: State, given: Given, num_steps: int, pack_size: int) -> State:
    """Return the state of all members after so many steps.

    Args:
        step: One step of a pack, `compiled` or not.
        state: Where all members start; not changed.
        given: What they learn from, with as many members.
        num_steps: Steps of each member, at least 0.
        pack_size: Members computed together. A multiple of 16 fills the vectors of any CPU; what a step keeps at once
            should fit the core's second cache.

    Raises:
        ValueError: When tensors disagree on the number of members.
    """
    counts = {tensor.shape[-1] for tensor in (*_tensors(state), *_tensors(given))}
    if len(counts) != 1:
        raise ValueError(
            f"all tensors have the members in their last dimension, but these have {sorted(counts)} of them"
        )
    (num_members,) = counts
    done = []
    with torch.no_grad():
        for start in range(0, num_members, pack_size):
            picked = torch.arange(start, start + pack_size).clamp(max=num_members - 1)
            pack, pack_given = take(state, picked), take(given, picked)
            for _ in range(num_steps):
                pack = step(pack, pack_given)
            done.append(take(pack, torch.arange(min(pack_size, num_members - start))))
    joined: State = _mapped(lambda *parts: torch.cat(parts, dim=-1), *done)
    return joined


def take(members: State, numbers: Tensor) -> State:
    """Return some of the members, by their numbers, as contiguous copies."""
    taken: State = _mapped(lambda tensor: tensor[..., numbers.to(tensor.device)].contiguous(), members)
    return taken


def descend(weights: State, gradients: State, rates: State) -> State:
    """Return weights after a step of gradient descent; rates are shaped or broadcast like them, 0 holds a weight."""
    moved: State = _mapped(lambda weight, gradient, rate: weight - rate * gradient, weights, gradients, rates)
    return moved


def adam_start(weights: Any) -> AdamState:
    """Return the state of Adam before its first step."""
    nothing = _mapped(torch.zeros_like, weights)
    first = next(_tensors(weights))
    return AdamState(weights, nothing, nothing, first.new_zeros(first.shape[-1]))


def adam(state: AdamState, gradients: Any, rate: float) -> AdamState:
    """Return the state after a step of Adam with its usual decays, 0.9 and 0.999, and 1e-8 in the denominator.

    Source: arXiv:1412.6980, Algorithm 1.
    """
    steps = state.steps + 1
    means = _mapped(lambda mean, gradient: 0.9 * mean + 0.1 * gradient, state.means, gradients)
    squares = _mapped(lambda square, gradient: 0.999 * square + 0.001 * gradient**2, state.squares, gradients)
    mean_share, square_share = 1 - 0.9**steps, 1 - 0.999**steps

    def moved(weight: Tensor, mean: Tensor, square: Tensor) -> Tensor:
        return weight - rate * (mean / mean_share) / ((square / square_share).sqrt() + 1e-8)

    return AdamState(_mapped(moved, state.weights, means, squares), means, squares, steps)


def _mapped(function: Callable[..., Tensor], *trees: Any) -> Any:
    if isinstance(trees[0], Tensor):
        return function(*trees)
    return type(trees[0])._make(_mapped(function, *parts) for parts in zip(*trees, strict=True))


def _tensors(tree: Any) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    else:
        for part in tree:
            yield from _tensors(part)
