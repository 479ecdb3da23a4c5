"""What the values of units go through between the layer that makes them and the one that uses them.

Seen once, in the model's own forward pass, and then done again to the values of units that are not there yet. That is
possible for operations that work on every unit by itself: pooling, means over places, flattening, and whatever keeps
the shape.

Shape letters: b batch, u units, r places that flattening puts beside each other.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from neurosearch.neurons.rules_elementwise import DEAD_AT_ZERO

_RANKS = ("1d", "2d", "3d")
_MEANS = {"mean", "sum"}
_LINEAR = {"interpolate", *(f"{kind}_pool{rank}" for kind in ("avg", "adaptive_avg") for rank in _RANKS)}
_AVERAGES: dict[str, Callable[..., Tensor]] = {
    "max_pool1d": F.avg_pool1d,
    "max_pool2d": F.avg_pool2d,
    "max_pool3d": F.avg_pool3d,
    "adaptive_max_pool1d": F.adaptive_avg_pool1d,
    "adaptive_max_pool2d": F.adaptive_avg_pool2d,
    "adaptive_max_pool3d": F.adaptive_avg_pool3d,
}
_RESHAPES = {"flatten", "view", "reshape", "squeeze", "unsqueeze"}
_NORMS = {"batch_norm", "instance_norm"}
_NORMS_OVER_UNITS = {"group_norm", "layer_norm", "rms_norm"}
_DEAD = {*DEAD_AT_ZERO, "_threshold"}
_POOL_ARGUMENTS = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

Values = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Step:
    """One operation on the values of units.

    Attributes:
        real: What the network does to them.
        linear: What stands for it while directions are looked for, None for nothing.
        is_bent: Whether a unit and its negative come out differently.
        is_norm: Whether it divides by the values' spread, so that its slope at a constant is no guide.
    """

    real: Values
    linear: Values | None
    is_bent: bool = False
    is_norm: bool = False


@dataclass(frozen=True)
class Path:
    """Operations, in order."""

    steps: tuple[Step, ...]

    @property
    def is_bent(self) -> bool:
        """Whether a unit and its negative come out differently."""
        return any(step.is_bent for step in self.steps)

    @property
    def is_normed(self) -> bool:
        """Whether values are divided by their spread."""
        return any(step.is_norm for step in self.steps)

    @property
    def selects(self) -> bool:
        """Whether which values come through depends on the values themselves, as in a maximum."""
        return any(step.is_bent and step.linear is not None for step in self.steps)

    @property
    def is_plain(self) -> bool:
        """Whether nothing stands between the layers while directions are looked for."""
        return all(step.linear is None for step in self.steps)

    def real(self, values: Tensor) -> Tensor:
        """Return what the network makes of values."""
        for step in self.steps:
            values = step.real(values)
        return values

    def linear(self, values: Tensor) -> Tensor:
        """Return what the linear stand-ins make of values."""
        for step in self.steps:
            values = values if step.linear is None else step.linear(values)
        return values

    def linear_slopes(self, shape: torch.Size, slopes: Tensor) -> Tensor:
        """Return the slopes by values of a shape from those by what `linear` makes of them."""
        if self.is_plain:
            return slopes
        with torch.enable_grad():
            values = slopes.new_zeros(shape).requires_grad_()
            (found,) = torch.autograd.grad(self.linear(values), values, slopes)
        return found


class Onlooker(TorchFunctionMode):
    """Follows values through the calls of a forward pass.

    A value may be followed for several reasons at once, each under a name of its own. What cannot be done again is
    followed as words that say so.

    Args:
        layers: For some weights, by `id`: is shown the input and the result of each call that is given the weight
            second, as linear and convolution layers do, and returns the result to go on with.
    """

    def __init__(self, layers: Mapping[int, Callable[["Onlooker", Tensor, Tensor], Tensor]]) -> None:
        super().__init__()
        self._layers = layers
        self._followed: dict[int, tuple[Tensor, dict[str, Path | str]]] = {}  # an id is unique while its tensor lives

    def follow(self, name: str, values: Tensor) -> None:
        """Start to follow values under a name."""
        _, paths = self._followed.get(id(values), (values, {}))
        self._followed[id(values)] = (values, {**paths, name: Path(())})

    def path(self, name: str, values: Tensor) -> Path | str:
        """Return how these values came of those that were followed under a name, or why that cannot be done again."""
        _, paths = self._followed.get(id(values), (values, {}))
        return paths.get(name, "what is between its layers could not be followed")

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if len(args) > 1 and id(args[1]) in self._layers:
            return self._layers[id(args[1])](self, args[0], func(*args, **kwargs))
        sources = self._sources(args)
        # What an operation in place starts from is gone afterwards, but for its shape.
        shapes = [values.shape for values, _ in sources]
        result = func(*args, **kwargs)
        if sources and isinstance(result, Tensor):
            name = _plain_name(getattr(func, "__name__", str(func)))
            step = _step(name, partial(_again, func, args, kwargs), shapes[0], result.shape, args[1:], kwargs)
            paths: Mapping[str, Path | str] = sources[0][1]
            for _, others in sources[1:]:
                paths = _joined(paths, others)
            self._followed[id(result)] = (result, {key: _longer(path, step) for key, path in paths.items()})
        return result

    def _sources(self, args: tuple[Any, ...]) -> list[tuple[Tensor, dict[str, Path | str]]]:
        """Return what is followed among the arguments."""
        found = []
        for one in args:
            for value in one if type(one) in (tuple, list) else (one,):
                source = self._followed.get(id(value))
                if source is not None:
                    found.append(source)
        return found


def _plain_name(name: str) -> str:
    """Return an operation's name without the mark of its variant in place."""
    return name if name.endswith("__") else name.removesuffix("_")


def _again(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], values: Tensor) -> Tensor:
    result: Tensor = func(values, *args[1:], **kwargs)
    return result


def _longer(path: Path | str, step: Step | str | None) -> Path | str:
    if step is None or isinstance(path, str):
        return path
    return step if isinstance(step, str) else Path((*path.steps, step))


def _joined(paths: Mapping[str, Path | str], others: Mapping[str, Path | str]) -> dict[str, Path | str]:
    """Return what is known of values that were made of two; ways that differ cannot be done again."""
    both = dict(paths)
    for key, path in others.items():
        other = both.setdefault(key, path)
        if isinstance(path, Path) and isinstance(other, Path) and path.steps != other.steps:
            both[key] = "its values reach the layer that uses them in several ways"
    return both


def _step(
    name: str, call: Values, old: torch.Size, new: torch.Size, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Step | str | None:
    """Return what a call does to values, None where it is as good as nothing, or why it cannot be done again."""
    if name in _LINEAR or (name in _MEANS and _is_over_places(old, args, kwargs)):
        return Step(call, call)
    if name in _AVERAGES:
        average = _average(name, args, kwargs)
        return f"{name} between its layers is dilated" if average is None else Step(call, average, is_bent=True)
    if old == new:
        return _at_each_place(name, call, args)
    reshape = _reshape(old, new) if name in _RESHAPES else None
    return _changed(name, old, new) if reshape is None else Step(reshape, reshape)


def _at_each_place(name: str, call: Values, args: tuple[Any, ...]) -> Step | None:
    if name in _NORMS:
        return Step(_normalised, None, is_norm=True)
    if name in _NORMS_OVER_UNITS:
        return Step(lambda values: values, None, is_norm=True)
    is_alone = not any(isinstance(one, Tensor) for one in args)
    return Step(call, None, is_bent=True) if name in _DEAD and is_alone else None


def _changed(name: str, old: torch.Size, new: torch.Size) -> str:
    return f"{name} between its layers changes the shape from {tuple(old)} to {tuple(new)}"


def _is_over_places(shape: torch.Size, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Return whether a mean or sum leaves batch and units alone."""
    wanted = args[0] if args else kwargs.get("dim", kwargs.get("axis"))
    dims = (wanted,) if isinstance(wanted, int) else wanted
    return dims is not None and len(shape) > 2 and all(dim % len(shape) > 1 for dim in dims)


def _average(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Values | None:
    """Return the average that stands for a maximum: of each window's values, every one is as likely the largest."""
    if name.startswith("adaptive"):
        return partial(_AVERAGES[name], output_size=args[0] if args else kwargs["output_size"])
    given = {**dict(zip(_POOL_ARGUMENTS, args, strict=False)), **kwargs}
    dilation = given.get("dilation", 1)
    if any(step != 1 for step in (dilation if isinstance(dilation, (tuple, list)) else (dilation,))):
        return None
    taken = {key: given[key] for key in ("kernel_size", "stride", "padding", "ceil_mode") if key in given}
    return partial(_AVERAGES[name], **taken, count_include_pad=False)


def _reshape(old: torch.Size, new: torch.Size) -> Values | None:
    """Return a reshaping that works for any number of units, which are in the second dimension."""
    if old[:2] == new[:2]:
        places = tuple(new[2:])
        return lambda values: values.reshape(*values.shape[:2], *places)
    if len(new) == 2 and new[1] == prod(old[1:]):
        return lambda values: values.flatten(1)
    return None


def _normalised(values: Tensor) -> Tensor:
    """Return values with mean 0 and spread 1 in each unit; units are in the second dimension."""
    others = [index for index in range(values.ndim) if index != 1]
    spread = values.std(others, correction=0, keepdim=True).clamp(min=torch.finfo(values.dtype).tiny)
    return (values - values.mean(others, keepdim=True)) / spread
