"""Shapes of common operations' results on the meta device, by formula.

PyTorch computes many of them in Python, which takes up to milliseconds per call. A shortcut returns None whenever
anything is out of the ordinary; then PyTorch decides, and raises what it would raise.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Shortcut = Callable[[tuple[Any, ...], Mapping[str, Any]], Tensor | None]


def _empty(like: Tensor, shape: Sequence[int]) -> Tensor:
    """Return a contiguous tensor without values; `new_empty` takes fifty times as long."""
    return torch.empty_strided(shape, _contiguous(shape), dtype=like.dtype, device="meta")


def _contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(strides[::-1])


def _empty_like(tensor: Tensor) -> Tensor | None:
    """Return a tensor of the same shape and order of dimensions, or None if its elements overlap or leave gaps."""
    shape, strides = tensor.shape, tensor.stride()
    if tensor.is_contiguous() and 1 not in shape:  # most are: their strides are the plain ones
        return torch.empty_strided(shape, strides, dtype=tensor.dtype, device="meta")
    order = sorted(range(len(shape)), key=lambda place: (-strides[place], place))
    if tuple(strides[place] for place in order) != _contiguous([shape[place] for place in order]):
        return None
    return torch.empty_strided(shape, strides, dtype=tensor.dtype, device="meta")


def _is_plain(*tensors: object) -> bool:
    """Return whether all are floating-point tensors of one type."""
    first = tensors[0]
    return isinstance(first, Tensor) and all(
        isinstance(one, Tensor) and one.dtype is first.dtype and one.is_floating_point() and one.is_meta
        for one in tensors
    )


def _same(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    """One tensor in, the same shape out."""
    return _empty_like(args[0]) if _is_plain(args[0]) and kwargs.get("dtype") is None else None


def _normalised_last(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    inputs, shape = args[:2]
    weight = args[2] if len(args) > 2 else None
    fits = tuple(inputs.shape[-len(shape) :]) == tuple(shape) and (
        weight is None or tuple(weight.shape) == tuple(shape)
    )
    return _same(args, kwargs) if fits else None


def _normalised_channels(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    inputs, *tensors = args[:5]
    fits = inputs.ndim > 1 and all(one is None or tuple(one.shape) == (inputs.shape[1],) for one in tensors)
    return _same(args, kwargs) if fits and not args[5] else None


def _pair(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    """Two tensors, one of which already has the shape of the result, or a tensor and a number."""
    first, second = args[:2]
    if isinstance(second, (int, float)) and not isinstance(second, bool):
        return _same(args, kwargs)
    if not _is_plain(first, second):
        return None
    large, small = (first, second) if first.numel() >= second.numel() else (second, first)
    offset = large.ndim - small.ndim
    fits = offset >= 0 and all(size in (1, large.shape[offset + place]) for place, size in enumerate(small.shape))
    return _empty_like(large) if fits else None


def _linear(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    inputs, weight = args[:2]
    bias = args[2] if len(args) > 2 else kwargs.get("bias")
    is_plain = _is_plain(inputs, weight) and (bias is None or tuple(bias.shape) == (weight.shape[0],))
    if not is_plain or weight.ndim != 2 or inputs.ndim < 2 or inputs.shape[-1] != weight.shape[1]:
        return None
    return _empty(inputs, (*inputs.shape[:-1], weight.shape[0]))


def _convolved(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    """`(b, i, ...)`, `(o, i/g, k...)`, `(o)` to `(b, o, ...)`."""
    inputs, weight, bias = (*args, None)[:3]
    is_plain = _is_plain(inputs, weight) and (bias is None or tuple(bias.shape) == (weight.shape[0],))
    if kwargs or not is_plain or inputs.ndim != weight.ndim or not inputs.is_contiguous():
        return None
    num_space = weight.ndim - 2
    stride, padding, dilation = (_each(option, num_space) for option in (*args[3:6], *(1, 0, 1)[len(args[3:6]) :]))
    groups = args[6] if len(args) > 6 else 1
    if not (stride and padding and dilation) or min(*stride, *dilation, groups) < 1 or min(padding) < 0:
        return None
    space = [
        (size + 2 * pad - wide * (kernel - 1) - 1) // step + 1
        for size, kernel, step, pad, wide in zip(
            inputs.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True
        )
    ]
    shape = (inputs.shape[0], weight.shape[0], *space)
    has_channels = inputs.shape[1] == groups * weight.shape[1] and weight.shape[0] % groups == 0
    return _empty(inputs, shape) if has_channels and min(*shape, *inputs.shape, *weight.shape) > 0 else None


def _each(option: object, num_space: int) -> list[int]:
    """Return an option for each dimension in space, or nothing if it is given in another way than by numbers."""
    values = list(option) if isinstance(option, (list, tuple)) else [option]
    numbers = [one for one in values if isinstance(one, int)] * (num_space if len(values) == 1 else 1)
    return numbers if len(numbers) == num_space else []


def _attention(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    query, key, value = args[:3]
    has_options = len(args) > 3 or kwargs
    batch = {tuple(one.shape[:-2]) for one in (query, key, value)}
    if has_options or len(batch) > 1 or query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        return None
    return _empty(query, (*query.shape[:-1], value.shape[-1]))


def _joined(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    parts = args[0]
    if not _is_plain(*parts) or len({one.ndim for one in parts}) > 1 or not all(one.is_contiguous() for one in parts):
        return None
    place = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % parts[0].ndim
    shapes = {(*one.shape[:place], *one.shape[place + 1 :]) for one in parts}
    if len(shapes) > 1:
        return None
    shape = list(parts[0].shape)
    shape[place] = sum(one.shape[place] for one in parts)
    return _empty(parts[0], shape)


def _pooled(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    inputs, size = args[:2]
    sizes = [size, size] if isinstance(size, int) else list(size)
    if not _is_plain(inputs) or not inputs.is_contiguous() or len(sizes) not in (1, 2) or None in sizes or kwargs:
        return None
    return _empty(inputs, (*inputs.shape[:-2], sizes[0], sizes[-1]))


def _in_place(shortcut: Shortcut) -> Shortcut:
    """The first tensor keeps its shape and holds the result."""

    def run(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
        out = shortcut(args, kwargs)
        target: Tensor = args[0]
        return target if out is not None and out.shape == target.shape else None

    return run


_SAME = """
    relu gelu silu hardtanh hardswish hardsigmoid sigmoid tanh leaky_relu elu selu mish dropout feature_dropout softmax
    relu6 exp
"""

_OUT_OF_PLACE: dict[str, Shortcut] = {
    **dict.fromkeys(_SAME.split(), _same),
    "layer_norm": _normalised_last,
    "batch_norm": _normalised_channels,
    **dict.fromkeys(("add", "sub", "mul", "div"), _pair),
    "linear": _linear,
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _convolved),
    "scaled_dot_product_attention": _attention,
    "cat": _joined,
    "adaptive_avg_pool2d": _pooled,
}

SHORTCUTS = _OUT_OF_PLACE | {f"{name}_": _in_place(shortcut) for name, shortcut in _OUT_OF_PLACE.items()}
