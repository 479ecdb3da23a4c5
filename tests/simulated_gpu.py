"""A GPU that is not there: tensors that say they lie on it, hold real values, and refuse to meet those of the CPU.

Every tensor is a plain one of the CPU. Those "on the GPU" have a mark on their storage, so views, parameters, gradients
and checkpoints carry it as they carry their memory. Two modes of PyTorch look after the marks:

- A function mode sees calls of Python: it answers `tensor.device`, carries out `.to` and `device=`, and refuses what
  needs the host's memory, such as `.numpy()`.
- A dispatch mode sees every operation, those of autograd, too: it refuses operands from both places as CUDA does and
  marks the results. The exceptions are CUDA's: copies, tensors of no dimension among the operands of pointwise
  operations, and indices of `x[...]`.

Values are those of the CPU's kernels. The GPU has a generator of random numbers of its own, and
`torch.cuda.set_sync_debug_mode("error")` refuses what would wait for it.

It cannot see: kernels that CUDA lacks or that round otherwise, memory, time and streams (a copy that does not block has
always arrived), compiled code, several GPUs, autocast's choice of operations (the CPU's is taken), other threads and
processes, and Python code that runs inside of an operation other than `Tensor.backward`.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

GPU, CPU = torch.device("cuda", 0), torch.device("cpu")

_COPIES = {"copy_", "_to_copy", "to", "_copy_from", "_foreach_copy_"}
_BY_INDEX = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put"}
_TAKE_SCALARS = {"fill_", "masked_fill", "masked_fill_", "index_fill", "index_fill_"}  # pointwise, but without the tag
_OF_SEQUENCES = {torch.tensor, torch.as_tensor, torch.asarray}
_WAITING = {
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "is_nonzero",
    "equal",
    "_unique2",
    "unique_dim",
    "unique_consecutive",
    "repeat_interleave",
    "bincount",
    "histc",
}


@contextmanager
def simulated_gpu() -> Iterator[torch.device]:
    """Let this thread have a GPU, `cuda:0`, for the block."""
    operations = _Operations()
    with pytest.MonkeyPatch.context() as patch:
        nothing = {name: lambda *_: None for name in ("synchronize", "empty_cache", "set_device", "init")}
        module = {
            "is_available": lambda: True,
            "device_count": lambda: 1,
            "current_device": lambda: 0,
            "device": lambda _device: nullcontext(),
            "manual_seed": operations.generator.manual_seed,
            "manual_seed_all": operations.generator.manual_seed,
            "get_rng_state": lambda _device=None: operations.generator.get_state(),
            "set_rng_state": lambda state, _device=None: operations.generator.set_state(state),
            "set_sync_debug_mode": lambda mode: setattr(operations, "refuses_waiting", mode == "error"),
        }
        for name, function in (nothing | module).items():
            patch.setattr(torch.cuda, name, function)
        patch.setattr(torch.accelerator, "current_accelerator", lambda **_: None)  # it would ask for streams
        autocast = torch.autocast
        patch.setattr(torch, "Generator", _Generator)
        patch.setattr(torch, "autocast", lambda _type, *args, **words: autocast("cpu", *args, **words))
        with operations, _Calls(operations):
            yield GPU


class _Generator(torch.Generator):
    """A generator that says where it is."""

    def __new__(cls, device: torch.device | str = CPU) -> "_Generator":
        made = super().__new__(cls, "cpu")
        made.place = torch.device(device).type
        return made

    @property
    def device(self) -> torch.device:
        return GPU if self.place == "cuda" else CPU


class _Operations(TorchDispatchMode):
    """Checks and marks every operation.

    Attributes:
        place: Where results without a tensor among the operands go, and those of `.to`; None: where its operand is.
        generator: The GPU's own.
        refuses_waiting: Whether what makes the host wait is refused.
    """

    def __init__(self) -> None:
        super().__init__()
        self.place: str | None = None
        self.generator = torch.Generator()
        self.refuses_waiting = False

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with torch._C.DisableTorchFunction():
            name = function._schema.name.removeprefix("aten::")
            found = [(argument, each) for argument, each in _given(function, args, kwargs) if not each.is_meta]
            on_gpu = _place(name, function, found, args)
            if name in _COPIES:
                on_gpu = self.place == "cuda" if self.place else on_gpu and is_on_gpu(args[0])
            elif not found or (self.place and kwargs.get("device") is not None):
                on_gpu = self.place == "cuda"
            if self.refuses_waiting and any(is_on_gpu(each) for _, each in found):
                _check_wait(name, args, kwargs)
            is_drawn = on_gpu and torch.Tag.nondeterministic_seeded in function.tags and not kwargs.get("generator")
            with self._own_generator() if is_drawn else nullcontext():
                results = function(*args, **kwargs)
            if on_gpu and name not in {"copy_", "_foreach_copy_"}:
                mark(results)
            return results

    @contextmanager
    def _own_generator(self) -> Iterator[None]:
        of_cpu = torch.default_generator.get_state()
        torch.default_generator.set_state(self.generator.get_state())
        try:
            yield
        finally:
            self.generator.set_state(torch.default_generator.get_state())
            torch.default_generator.set_state(of_cpu)


class _Calls(TorchFunctionMode):
    """Lets calls of Python believe in the GPU."""

    def __init__(self, operations: _Operations) -> None:
        super().__init__()
        self._operations = operations

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        on_gpu = any(is_on_gpu(each) for each in tree_leaves((args, kwargs)))
        if function in _ANSWERS:
            return _ANSWERS[function](*args) if on_gpu else function(*args, **kwargs)
        if function in _REFUSED and on_gpu:
            raise TypeError(f"can't convert {GPU} device type tensor to numpy. Use Tensor.cpu() first")
        if function is Tensor.pin_memory:
            if on_gpu:
                raise RuntimeError("cannot pin 'torch.cuda.FloatTensor' only dense CPU tensors can be pinned")
            return args[0].clone()
        if function == Tensor.grad.__set__ and args[1] is not None and is_on_gpu(args[0]) != is_on_gpu(args[1]):
            raise RuntimeError("assigned grad has data located on a different device")
        if function is Tensor.backward:
            with self._at("cuda" if on_gpu else None), self:  # hooks are Python code with calls of their own
                kwargs["grad_tensors"] = kwargs.pop("gradient", None)
                return torch.autograd.backward(*args, **kwargs)
        if self._operations.refuses_waiting and (
            (function is Tensor.tolist and on_gpu) or (function in _OF_SEQUENCES and kwargs.get("device") is not None)
        ):
            raise RuntimeError("called a synchronizing CUDA operation")
        if function in (Tensor.to, Tensor.cpu, Tensor.cuda):
            return self._moved(*args, **_as_of_to(function, kwargs))
        if function in _OF_SEQUENCES and is_on_gpu(args[0]):
            return self._moved(args[0], **{"device": GPU, "copy": function is torch.tensor, **kwargs})
        asked = None
        if kwargs.get("device") is not None:
            asked = torch.device(kwargs["device"]).type
            kwargs["device"] = "cpu" if asked == "cuda" else kwargs["device"]
        place = asked or ("cuda" if on_gpu and function not in _OF_SEQUENCES else "cpu")
        for generator in tree_leaves((args, kwargs)):
            if isinstance(generator, _Generator) and place != "meta" and generator.place != place:
                raise RuntimeError(f"Expected a '{place}' device type for generator but found '{generator.place}'")
        with self._at(place if asked or on_gpu else None):
            results = function(*args, **kwargs)
        if asked == "cuda":
            mark(results)
        return results

    def _moved(self, tensor: Tensor, *args: Any, copy: bool = False, other: Any = None, **words: Any) -> Tensor:
        like, rest = (args[0], args[1:]) if args and isinstance(args[0], Tensor) else (other, args)
        if like is not None:
            words |= {"device": GPU if is_on_gpu(like) else like.device, "dtype": like.dtype}
        device, dtype, non_blocking, layout = torch._C._nn._parse_to(*rest, **words)
        old = "cuda" if is_on_gpu(tensor) else tensor.device.type
        new = old if device is None else device.type
        if self._operations.refuses_waiting and {old, new} == {"cpu", "cuda"} and not non_blocking:
            raise RuntimeError("called a synchronizing CUDA operation")
        words = {"dtype": dtype or tensor.dtype, "copy": copy or old != new}
        words |= {} if layout is None else {"memory_format": layout}
        with self._at(new):
            return tensor.to(CPU if new == "cuda" else torch.device(new), **words)

    @contextmanager
    def _at(self, place: str | None) -> Iterator[None]:
        before, self._operations.place = self._operations.place, place
        try:
            yield
        finally:
            self._operations.place = before


_ANSWERS = {
    Tensor.device.__get__: lambda *_: GPU,
    Tensor.is_cuda.__get__: lambda *_: True,
    Tensor.is_cpu.__get__: lambda *_: False,
    Tensor.get_device: lambda *_: 0,
    Tensor.is_pinned: lambda *_: False,
}
_REFUSED = {Tensor.numpy, Tensor.__array__, Tensor.__dlpack__}


def is_on_gpu(value: Any) -> bool:
    """Say whether a value is a tensor that lies on the simulated GPU."""
    with torch._C.DisableTorchFunction():
        value = _plain(value)
        return value is not None and getattr(value.untyped_storage(), "is_on_gpu", False)


def mark(values: Any) -> Any:
    """Put the tensors among values onto the simulated GPU, and return the values."""
    with torch._C.DisableTorchFunction():
        for tensor in map(_plain, tree_leaves(values)):
            if tensor is not None:
                tensor.untyped_storage().is_on_gpu = True
    return values


def _plain(value: Any) -> Tensor | None:
    """Return a tensor that could be on the GPU, without the wrappers of `vmap`; None for anything else."""
    if not isinstance(value, Tensor):
        return None
    while torch._C._functorch.is_functorch_wrapped_tensor(value):
        value = torch._C._functorch.get_unwrapped(value)
    return value if value.device.type == "cpu" else None


def _given(function: Any, args: Any, kwargs: Any) -> list[tuple[Any, Tensor]]:
    """Return the tensors that an operation is given, with the arguments that they are given for."""
    named = {argument.name: argument for argument in function._schema.arguments}
    pairs = [*zip(function._schema.arguments, args, strict=False), *((named[name], kwargs[name]) for name in kwargs)]
    return [(argument, each) for argument, value in pairs for each in tree_leaves(value) if isinstance(each, Tensor)]


def _place(name: str, function: Any, found: list[tuple[Any, Tensor]], args: Any) -> bool:
    """Return whether an operation runs on the GPU; refuse operands that it must not meet there."""
    if name in _BY_INDEX and is_on_gpu(args[0]):
        found = [(argument, each) for argument, each in found if argument.name != "indices"]
    of_cpu = [(argument, each) for argument, each in found if not is_on_gpu(each)]
    if len(of_cpu) == len(found):
        return False
    is_pointwise = torch.Tag.pointwise in function.tags or name in _TAKE_SCALARS or name.startswith("_foreach")
    for argument, each in of_cpu:
        is_scalar = each.dim() == 0 and not argument.is_write and (is_pointwise or name in _BY_INDEX)
        if not is_scalar and name not in _COPIES:
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, {GPU} and {CPU}! "
                f"(when checking argument {argument.name} in {function})"
            )
    return True


def _check_wait(name: str, args: Any, kwargs: Any) -> None:
    by_mask = name in _BY_INDEX and any(
        each.dtype in (torch.bool, torch.uint8) or not is_on_gpu(each) for each in args[1] if each is not None
    )
    crosses = name == "copy_" and is_on_gpu(args[0]) != is_on_gpu(args[1]) and not (*args[2:], *kwargs.values())[:1]
    if name in _WAITING or by_mask or crosses:
        raise RuntimeError(f"called a synchronizing CUDA operation: {name}")


def _as_of_to(function: Any, words: dict[str, Any]) -> dict[str, Any]:
    """Return the keywords by which `Tensor.to` does what `Tensor.cpu` or `Tensor.cuda` do."""
    return words if function is Tensor.to else {"device": CPU if function is Tensor.cpu else GPU} | words
