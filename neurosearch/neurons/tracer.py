"""Runs a model once and lets labels flow through its operations.

The run happens under a `TorchDispatchMode` in inference mode, where PyTorch shows its composite operations whole
(`linear`, not `t` and `addmm`), so that one rule serves every device. An operation with a rule is followed by it; a
composite one without is taken apart; anything else is refused by name, which freezes the units that touch it.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch._C import DispatchKey
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from neurosearch.neurons.labels import LabelGraph, Labels
from neurosearch.neurons.reshape import Dims
from neurosearch.neurons.script import FACTORIES, Script, WidthReadError
from neurosearch.neurons.shortcuts import Shortcut


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of a tensor during a trace.

    Attributes:
        tensor: The tensor; kept alive, because its id names it.
        dims: Labels of each dimension, None where it is fixed.
        is_weight: Whether it is a parameter or buffer, or a view of one.
        is_derived: Whether it was computed from parameters and buffers alone.
    """

    tensor: Tensor
    dims: Dims
    is_weight: bool
    is_derived: bool


@dataclass(frozen=True)
class Call:
    """One operation with its arguments and result."""

    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    out: Any

    def get(self, index: int, name: str, default: Any = None) -> Any:
        """Return an argument given by place or by name."""
        return self.args[index] if index < len(self.args) else self.kwargs.get(name, default)

    def tensors(self) -> list[Tensor]:
        """Return every tensor among the arguments."""
        found: list[Tensor] = []
        for value in (*self.args, *self.kwargs.values()):
            if isinstance(value, Tensor):
                found.append(value)
            elif isinstance(value, (list, tuple)):
                found += [item for item in value if isinstance(item, Tensor)]
        return found


Rule = Callable[["Tracer", Call], None]


class Tracer(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows labels through every operation of a forward pass.

    Args:
        graph: Where what is found out is collected.
        rules: Rule of each operation, by name without overload and trailing underscore.
        modules: Every module by name.
        shortcuts: How to make the result of some operations without running them.
        script: Where the operations are written down, and held against those of an earlier run.

    Attributes:
        used: Ids of parameters, buffers and their views that some operation took.
    """

    def __init__(
        self,
        graph: LabelGraph,
        rules: Mapping[str, Rule],
        modules: Mapping[str, nn.Module],
        shortcuts: Mapping[str, Shortcut],
        script: Script,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph = graph
        self._rules = rules
        self._modules = modules
        self._names = {id(module): name for name, module in modules.items()}
        self._shortcuts = shortcuts
        self._script = script
        self._known: dict[int, Known] = {}
        self.used: set[int] = set()

    def __torch_dispatch__(
        self, func: OpOverload, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation and apply its rule."""
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        rule = self._rules.get(name) or self._rules.get(name.rstrip("_"))
        if rule is None and func.has_kernel_for_dispatch_key(DispatchKey.CompositeImplicitAutograd):
            with self, self._script.inside() as inner:
                out = func.decompose(*args, **kwargs)
                out = _with_flat_states(out, args) if func is torch.ops.aten.lstm.input else out
            return out if inner is None else self._written(name, args, kwargs, out, inner)
        shortcut = self._shortcuts.get(name)
        out = None if shortcut is None else shortcut(args, kwargs)
        if out is None:
            out = func(*args, **kwargs)
        (rule or refuse)(self, Call(name, args, kwargs, out))
        return self._written(name, args, kwargs, out, ())

    def _written(
        self,
        name: str,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        out: Any,
        inner: Sequence[tuple[str, tuple[Any, ...]]],
    ) -> Any:
        """Write down an operation and return its result; check that widths alone make it wider than it was.

        Raises:
            WidthReadError: If it is another one than in the earlier run.
        """
        former = self._script.note(name, args, kwargs, out, inner)
        if former is not None:
            self._check_sizes(name, out, former)
        return out

    def _check_sizes(self, name: str, out: Tensor, former: torch.Size) -> None:
        """Check that only units make a tensor wider than it was.

        Raises:
            WidthReadError: If a size follows a width without being one.
        """
        dims = self.dims(out)
        for labels, size, old in zip(dims, out.shape, former, strict=False):
            if (size != old and labels is None) or len(dims) != len(former):
                raise WidthReadError(f"{name} with a size of {size} instead of {old}, which no unit makes")
            if size != old and labels is not None and name in FACTORIES:
                self.graph.followed.append(labels)

    def dims(self, tensor: Tensor) -> Dims:
        """Return the labels of a tensor's dimensions; every dimension of an unknown one is fixed."""
        known = self._known.get(id(tensor))
        if known is None:
            return (None,) * tensor.ndim
        if known.is_weight:
            self.used.add(id(tensor))
        return known.dims

    def is_weight(self, tensor: Tensor) -> bool:
        """Return whether a tensor is a parameter or buffer, or a view of one."""
        known = self._known.get(id(tensor))
        return known is not None and known.is_weight

    def is_derived(self, tensor: Tensor) -> bool:
        """Return whether a tensor was computed from parameters and buffers alone."""
        known = self._known.get(id(tensor))
        return known is not None and known.is_derived

    def put(self, tensor: Tensor, dims: Dims, *, is_weight: bool = False, is_derived: bool = False) -> None:
        """Remember the labels of a tensor."""
        assert len(dims) == tensor.ndim, (len(dims), tensor.shape)
        self._known[id(tensor)] = Known(tensor, dims, is_weight, is_derived)

    def put_like(self, tensor: Tensor, dims: Dims, source: Tensor) -> None:
        """Remember the labels of a tensor that holds the very numbers of another one."""
        self.put(tensor, dims, is_weight=self.is_weight(source), is_derived=self.is_derived(source))

    def follow(self, kind: type[nn.Module], attributes: Sequence[str], labels: Labels | None) -> None:
        """Note that attributes of the running module, if it is of this kind, hold the number of these positions."""
        name = self._running()
        module = None if name is None else self._modules[name]
        if labels is None or name is None or not isinstance(module, kind):
            return
        for attribute in attributes:
            if vars(module).get(attribute) == len(labels):
                self.graph.followers.setdefault((name, attribute), []).append(labels)

    def place(self) -> str:
        """Return the name of the module whose forward is running, for messages."""
        name = self._running()
        return "the model" if name is None else describe(name, self._modules[name])

    def _running(self) -> str | None:
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  cheap, and only on a refusal
        while frame is not None:
            owner = frame.f_locals.get("self")
            if isinstance(owner, nn.Module) and id(owner) in self._names:
                return self._names[id(owner)]
            frame = frame.f_back
        return None


def _with_flat_states(out: Sequence[Tensor], args: tuple[Any, ...]) -> tuple[Tensor, ...]:
    """Return an LSTM's results with states in the shape of those it began with.

    PyTorch 2.11's decomposition leaves a dimension of 1 in them (`squeeze(1)` where `squeeze(0)` is meant).
    """
    outputs, *states = out
    flat = (state.reshape(begun.shape) for state, begun in zip(states, args[1], strict=True))
    return (outputs, *flat)


def describe(name: str, module: nn.Module) -> str:
    """Return how messages name a module."""
    return f"{name or 'the model itself'} ({type(module).__name__})"


def refuse(tracer: Tracer, call: Call) -> None:
    """Freeze everything that an operation without a rule touches."""
    reason = f"the operation {call.name} in {tracer.place()} has no rule"
    for tensor in call.tensors():
        for labels in tracer.dims(tensor):
            tracer.graph.freeze(labels, reason)
