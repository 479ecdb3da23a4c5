"""What a model's code asks for at one width: its operations in order, with the numbers they are given.

Labels say where units lie, and nothing of numbers: `x / x.shape[1]` has the same labels at any width, and another
value. So the operations of a run at other widths are held against those of the run at the model's own. Code that knows
of its width only through the shapes of tensors asks for the same operations with the same numbers.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

Numbers = tuple[Any, ...]
_Inner = tuple[str, Numbers]  # name and numbers of an operation inside another one


class WidthReadError(Exception):
    """Code computes something else at another width; the message says what instead of what."""


class Step(NamedTuple):
    """One operation that code asked for.

    Attributes:
        name: Its name.
        numbers: The numbers among its arguments that are no sizes.
        inner: Name and numbers of the operations that it consists of, if it was taken apart.
        shape: Shape of its result, None if that is not one tensor.
        extent: How many positions it takes or makes, None where it does neither.
        first: Whole numbers that say which ones: they follow a width rightly only if their number does.
    """

    name: str
    numbers: Numbers
    inner: tuple[_Inner, ...]
    shape: torch.Size | None
    extent: object = None
    first: Numbers = ()


class Script:
    """Writes down the steps of a run and compares them with those of an earlier one.

    Args:
        earlier: Steps of the run at the model's own widths, None for that run itself.

    Attributes:
        steps: The steps so far.
        has_hidden: Whether a constant was made whose value cannot be seen, because it lies on the meta device.
    """

    def __init__(self, earlier: Sequence[Step] | None) -> None:
        self.steps: list[Step] = []
        self.has_hidden = False
        self._earlier = earlier
        self._inner: list[_Inner] | None = None

    def note(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any, inner: Sequence[_Inner] = ()
    ) -> torch.Size | None:
        """Write down an operation that was run.

        Args:
            name: Its name.
            args: Its arguments.
            kwargs: Its arguments by name.
            out: Its result.
            inner: What `inside` gathered, if it was taken apart.

        Returns:
            The shape that its result had in the earlier run, if that was another one.

        Raises:
            WidthReadError: If the earlier run did something else here.
        """
        numbers = self._constant(args[0]) if name in _CONSTANTS else _numbers(name, args, kwargs)
        if self._inner is not None:
            self._inner.append((name, numbers))
            return None
        shape = out.shape if isinstance(out, Tensor) else None
        former = self._add(Step(name, numbers, tuple(inner), shape, *_taken(name, args, kwargs, shape)))
        return former if former != shape else None

    @contextmanager
    def inside(self) -> Iterator[list[_Inner] | None]:
        """Gather the operations that one consists of; nothing inside one that is itself inside another."""
        if self._inner is not None:
            yield None
            return
        inner: list[_Inner] = []
        self._inner = inner
        try:
            yield inner
        finally:
            self._inner = None

    def note_constant(self, value: object) -> None:
        """Write down numbers from which code makes a tensor."""
        if isinstance(value, (bool, int, float, complex, list, tuple, np.ndarray, np.generic)):
            self._add(Step("tensor", (repr(value),), (), None))

    def close(self) -> None:
        """Check at the end that nothing is missing.

        Raises:
            WidthReadError: If the earlier run went on.
        """
        if self._earlier is not None and len(self.steps) < len(self._earlier):
            raise WidthReadError(
                f"takes another way at another width: no {self._earlier[len(self.steps)].name} follows"
            )

    def _add(self, step: Step) -> torch.Size | None:
        """Add a step; return the shape of its result in the earlier run."""
        place = len(self.steps)
        self.steps.append(step)
        if self._earlier is None:
            return None
        former = self._earlier[place] if place < len(self._earlier) else None
        if former is None or former.name != step.name:
            raise WidthReadError(f"{step.name} instead of {former.name if former else 'nothing'}")
        _compare(step.name, former.numbers, step.numbers)
        if former.extent == step.extent:
            _compare(step.name, former.first, step.first)
        if former.inner and [name for name, _ in former.inner] == [name for name, _ in step.inner]:
            for (name, old), (_, new) in zip(former.inner, step.inner, strict=True):
                _compare(name, old, new)
        return former.shape

    def _constant(self, value: Tensor) -> Numbers:
        if value.is_meta:
            self.has_hidden = True
            return ()
        return (repr(value.tolist() if value.numel() <= _MOST_VALUES else value.sum().item()),)


class Constants(TorchFunctionMode):
    """Lets a script see the numbers from which code makes tensors on the meta device, where they are lost."""

    def __init__(self, script: Script) -> None:
        super().__init__()
        self._script = script

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Note what a tensor is made from."""
        kwargs = kwargs or {}
        if func in _MAKERS:
            self._script.note_constant(kwargs.get("data", args[-1] if args else None))
        return func(*args, **kwargs)


def _numbers(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Numbers:
    """Return the numbers among an operation's arguments, sizes left out."""
    kinds = _FRACTIONS if name in _SIZED else _ANY
    found = []
    for value in (*args, *kwargs.values()) if kwargs else args:
        kind = type(value)
        if kind in kinds:
            found.append(value)
        elif kind in _LISTS:
            found += [item for item in value if type(item) in kinds]
    if name in _FILLED:
        found.append(args[_FILLED[name]] if len(args) > _FILLED[name] else kwargs.get("fill_value"))
    return tuple(found)


def _taken(
    name: str, args: Sequence[Any], kwargs: Mapping[str, Any], shape: torch.Size | None
) -> tuple[object, Numbers]:
    """Return how many positions an operation takes or makes, and the whole numbers that say which ones."""
    if name in _COUNTED:
        return shape, tuple(value for value in (*args, *kwargs.values()) if type(value) is int)
    if name == "slice" and shape is not None and len(args) > 2:
        return shape[args[1]], (args[2],)
    if name == "narrow" and len(args) > 3:
        return args[3], (args[2],)
    return None, ()


def _compare(name: str, old: Numbers, new: Numbers) -> None:
    if old != new and repr(old) != repr(new):  # nan is not equal to itself
        pairs = [(one, other) for one, other in zip(old, new, strict=False) if one != other]
        one, other = pairs[0] if pairs else (old, new)
        raise WidthReadError(f"{name} with {other} instead of {one}")


# Operations that make a tensor of a size that code names.
_FACTORIES = """
    zeros ones empty full rand randn normal new_zeros new_ones new_empty new_full arange eye linspace scalar_tensor
"""
FACTORIES = frozenset(_FACTORIES.split())
_COUNTED = frozenset({"arange", "linspace"})  # of these, each number depends on the whole ones that are given
_ANY, _FRACTIONS, _LISTS = {bool, int, float, complex}, {float, complex}, {list, tuple, torch.Size}
_CONSTANTS = {"lift_fresh", "lift_fresh_copy", "lift"}
_MOST_VALUES = 4096
_FILLED = {"full": 1, "new_full": 2, "scalar_tensor": 0}  # where a factory is told what to fill in
_MAKERS = {torch.tensor, torch.as_tensor, torch.asarray, torch.scalar_tensor, Tensor.new_tensor}
# Operations whose whole numbers are sizes, counts or places, which follow a width rightly.
_SIZES = """
    view reshape _unsafe_view flatten unflatten view_as reshape_as _reshape_alias expand expand_as broadcast_to repeat
    tile repeat_interleave chunk unsafe_chunk split unsafe_split split_with_sizes unsafe_split_with_sizes tensor_split
    slice narrow unfold as_strided pad constant_pad_nd index_select convolution conv1d conv2d conv3d conv_transpose1d
    conv_transpose2d conv_transpose3d layer_norm rms_norm group_norm native_group_norm embedding
"""
_SIZED = FACTORIES | frozenset(_SIZES.split())
