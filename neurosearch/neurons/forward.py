"""One labelled forward pass of a model, at its own widths or at others, on the meta device if the code allows it."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from neurosearch.neurons.anatomy import Anatomy
from neurosearch.neurons.borrowed import Settings, borrowed
from neurosearch.neurons.code import reads
from neurosearch.neurons.labels import LabelGraph, Labels
from neurosearch.neurons.limits import limit
from neurosearch.neurons.rules import RULES
from neurosearch.neurons.script import Constants, Script
from neurosearch.neurons.shortcuts import SHORTCUTS
from neurosearch.neurons.tracer import Tracer

UNUSED = "the forward never uses it"
OUTPUT = "it is an output of the network"
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Trace:
    """What a run found out.

    Attributes:
        graph: What the labels say.
        outputs: Shapes of the outputs.
        used: Names of the tensors that some operation took.
        script: What the code asked for.
    """

    graph: LabelGraph
    outputs: list[Shape]
    used: set[str]
    script: Script


@dataclass(frozen=True)
class Pass:
    """What a forward pass is run with.

    Attributes:
        model: The model; unchanged.
        inputs: Its positional arguments.
        modes: Whether to run in training mode; several runs add to one graph.
        on_meta: Whether to compute shapes alone.
        anatomy: What the model consists of.
        watches_constants: Whether to see the numbers from which code makes tensors on the meta device.
    """

    model: nn.Module
    inputs: tuple[Any, ...]
    modes: tuple[bool, ...]
    on_meta: bool
    anatomy: Anatomy
    watches_constants: bool = False

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """Every parameter and buffer by name."""
        return self.anatomy.tensors

    @property
    def modules(self) -> dict[str, nn.Module]:
        """Every module by name."""
        return self.anatomy.modules

    def follow(self, shapes: Mapping[str, Shape], settings: Settings, earlier: Script | None = None) -> Trace:
        """Run the model with some tensors at other shapes and some attributes of modules at other values.

        Args:
            shapes: Tensors to replace by zeros of these shapes.
            settings: Attributes of modules, and the values they have meanwhile.
            earlier: What the code asked for at the model's own widths.

        Raises:
            WidthReadError: If the code asks for something else now.
        """
        script = Script(None if earlier is None else earlier.steps)
        graph = LabelGraph()
        lender = _Lender(self, graph, shapes)
        lender.limit()
        outputs: list[Shape] = []
        used: set[str] = set()
        with _quiet(on_meta=self.on_meta):
            for training in self.modes:
                tracer = Tracer(graph, RULES, self.modules, SHORTCUTS if self.on_meta else {}, script)
                watched = Constants(script) if self.watches_constants else nullcontext()
                with watched, borrowed(self.modules, lender, settings, training=training):
                    lender.introduce(tracer)
                    outputs += _run(self.model, lender.inputs(self.inputs), tracer)
                used |= lender.used(tracer)
        script.close()
        lender.freeze_all_but(used)
        return Trace(graph, outputs, used, script)


@contextmanager
def _quiet(*, on_meta: bool) -> Iterator[None]:
    """Draw no random numbers that the caller would miss, and take no fused path that hides operations.

    Every run begins with the same random numbers, so that code which draws some takes the same way each time.
    """
    is_on_cuda = not on_meta and torch.cuda.is_available()
    devices = list(range(torch.cuda.device_count())) if is_on_cuda else []
    had_onednn = torch._C._get_mkldnn_enabled()  # noqa: SLF001  torch.backends.mkldnn.flags warns where no GPU is
    torch._C._set_mkldnn_enabled(had_onednn and on_meta)  # noqa: SLF001
    states = random.getstate(), np.random.get_state()  # noqa: NPY002  the user's code may draw from it
    try:
        with torch.random.fork_rng(devices=devices), torch.inference_mode():
            yield
    finally:
        torch._C._set_mkldnn_enabled(had_onednn)  # noqa: SLF001
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002


def _run(model: nn.Module, inputs: tuple[Any, ...], tracer: Tracer) -> list[Shape]:
    with tracer:
        result = model(*inputs)
    tensors = list(_tensors(result))
    for tensor in tensors:
        for labels in tracer.dims(tensor):
            tracer.graph.freeze(labels, OUTPUT)
    return [tuple(tensor.shape) for tensor in tensors]


def _tensors(value: object) -> Iterator[Tensor]:
    """Yield every tensor in what a model returned, also inside plain objects."""
    for leaf in tree_leaves(value):
        if isinstance(leaf, Tensor):
            yield leaf
        elif is_dataclass(leaf) and not isinstance(leaf, type):
            for one in fields(leaf):
                yield from _tensors(getattr(leaf, one.name))
        elif isinstance(leaf, Mapping):
            yield from _tensors(dict(leaf))
        elif leaf is not None and not isinstance(leaf, (bool, int, float, complex, str)):
            raise TypeError(f"the model returns a {type(leaf).__name__}, in which tensors cannot be found")


@dataclass
class _Lender:
    """Gives each tensor of the model its stand-in, the same one every time."""

    run: Pass
    graph: LabelGraph
    shapes: Mapping[str, Shape]
    stand_ins: dict[int, Tensor] = field(default_factory=dict)
    labelled: dict[str, tuple[Tensor, tuple[Labels, ...]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, tensor in self.run.tensors.items():
            stand_in = self._make(tensor, self.shapes.get(name))
            self.stand_ins[id(tensor)] = stand_in
            dims = tuple(self.graph.own(name, index, size) for index, size in enumerate(stand_in.shape))
            self.labelled[name] = (stand_in, dims)

    def __call__(self, tensor: Tensor) -> Tensor:
        key = id(tensor)
        if key not in self.stand_ins:
            self.stand_ins[key] = self._make(tensor, None)
        return self.stand_ins[key]

    def introduce(self, tracer: Tracer) -> None:
        """Tell a tracer the labels of all parameters and buffers."""
        for tensor, dims in self.labelled.values():
            tracer.put(tensor, dims, is_weight=True)

    def used(self, tracer: Tracer) -> set[str]:
        """Return the names of the tensors that an operation took."""
        return {name for name, (tensor, _) in self.labelled.items() if id(tensor) in tracer.used}

    def limit(self) -> None:
        """Note what modules demand; first of all, so that these reasons are the ones that are given."""
        known = {name: dims for name, (_, dims) in self.labelled.items()}
        for name, module in self.run.modules.items():
            limit(self.graph, name, module, known)

    def freeze_all_but(self, names: set[str]) -> None:
        """Freeze every tensor of which nothing is known, because the forward never uses it."""
        for name, (_, dims) in self.labelled.items():
            if name not in names:
                self._freeze(dims, UNUSED)

    def _freeze(self, dims: tuple[Labels, ...], reason: str) -> None:
        for labels in dims:
            self.graph.freeze(labels, reason)

    def inputs(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the inputs as this run needs them."""
        mapped: tuple[Any, ...] = tree_map(lambda value: self(value) if isinstance(value, Tensor) else value, values)
        return mapped

    def _make(self, tensor: Tensor, shape: Shape | None) -> Tensor:
        device = torch.device("meta") if self.run.on_meta else tensor.device
        if shape is not None and (not self.run.on_meta or shape != tuple(tensor.shape)):
            make = torch.empty if self.run.on_meta else torch.zeros
            return make(shape, dtype=tensor.dtype, device=device)
        if self.run.on_meta:
            return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)
        return tensor.detach() if isinstance(tensor, nn.Parameter) else tensor.detach().clone()


def needs_training_run(anatomy: Anatomy, used: set[str]) -> bool:
    """Return whether training may take another way through the code than evaluation.

    True if a parameter was not reached in evaluation, or if a module that is not PyTorch's own reads `training`.
    """
    if not used.issuperset(anatomy.parameters):
        return True
    kinds: dict[object, nn.Module] = {}
    for module in anatomy.modules.values():
        kinds.setdefault(module if "forward" in vars(module) else type(module), module)
    return any(reads(module, "training") for module in kinds.values())
