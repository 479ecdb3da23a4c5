"""A GPU that is not there: tensors that say they lie on it, hold real values, and refuse to meet those of the CPU.

Every tensor is a plain one of the CPU. Those "on the GPU" have a mark on their storage, so views, parameters, optimizer
states and gradients carry it along with their memory. Two of PyTorch's modes look after the marks:

- `_Calls` sees what Python calls: it answers `tensor.device`, carries out `.to` and `device=`, and refuses what needs
  the host's memory, such as `.numpy()`, or a generator of the other place.
- `_Operations` sees every operation, those of the backward pass, too: it refuses operands from both places as CUDA
  does, and marks results. CUDA's exceptions are copies, a tensor without dimensions as an operand of a pointwise
  operation, and indices in `x[...]`. What else only CUDA refuses is refused, too: optimizer states that lie in memory
  in another order than their parameter, and matrix products of whole numbers.

Values are those of the CPU's kernels, so a training comes out as on the CPU, unless it draws on the GPU, which has a
generator of its own. `torch.cuda.set_sync_debug_mode("error")` refuses what would make the host wait.

What this cannot see: kernels that CUDA lacks, or that round otherwise; memory, time and streams (a copy that does not
block has always arrived); compiled code; several GPUs; what autocast chooses on CUDA (the CPU's choice is taken);
other threads and processes.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Self

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

GPU, CPU = torch.device("cuda", 0), torch.device("cpu")

# What makes the host wait for a GPU: values it wants to see, and results whose shape depends on values.
WAITING = {
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
_COPIES = {"copy_", "_to_copy", "to"}
_BY_INDEX = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put"}
_TAKE_SCALARS = _BY_INDEX | {"where", "clamp", "fill_", "masked_fill", "masked_fill_", "index_fill", "index_fill_"}
_PRODUCTS = {"mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot", "convolution"}
_OF_VALUES = {torch.tensor, torch.as_tensor, torch.asarray}  # made on the CPU, and copied from there


@contextmanager
def simulated_gpu() -> Iterator[torch.device]:
    """Let this thread have a GPU for the block."""
    operations = _Operations()
    calls, own = _Calls(operations), operations.generator
    autocast, run_backward = torch.autocast, torch.autograd._engine_run_backward

    def seen_backward(*args: Any, **words: Any) -> Any:
        with calls:  # hooks are Python, whose calls are to be seen as well
            return run_backward(*args, **words)

    functions = {name: lambda *_: None for name in ("synchronize", "empty_cache", "set_device")} | {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "is_current_stream_capturing": lambda: False,  # older optimizers ask
        "device": lambda _device: nullcontext(),
        "manual_seed": own.manual_seed,
        "manual_seed_all": own.manual_seed,
        "get_rng_state": lambda _device=GPU: own.get_state(),
        "set_rng_state": lambda state, _device=GPU: own.set_state(state),
        "set_sync_debug_mode": lambda mode: setattr(operations, "refuses_waiting", mode == "error"),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, function in functions.items():
            patch.setattr(torch.cuda, name, function)
        patch.setattr(torch.accelerator, "current_accelerator", lambda **_: None)  # optimizers ask it for streams
        patch.setattr(torch.backends.cudnn, "is_acceptable", lambda _tensor: False)
        patch.setattr(torch, "Generator", _Generator)
        patch.setattr(torch, "autocast", lambda _type, *args, **words: autocast("cpu", *args, **words))
        patch.setattr(torch.autograd, "_engine_run_backward", seen_backward)
        with operations, calls:
            yield GPU


def is_on_gpu(value: Any) -> bool:
    """Say whether a value is a tensor that lies on the simulated GPU."""
    with torch._C.DisableTorchFunction():
        tensor = _plain(value)
        return tensor is not None and getattr(tensor.untyped_storage(), "is_on_gpu", False)


class _Generator(torch.Generator):
    """A generator that says where it is."""

    def __new__(cls, device: torch.device | str = CPU) -> Self:
        made = super().__new__(cls, CPU)
        made.place = torch.device(device).type
        return made

    @property
    def device(self) -> torch.device:
        return GPU if self.place == "cuda" else CPU


class _Operations(TorchDispatchMode):
    """Checks every operation, and marks what it makes on the GPU.

    Attributes:
        place: Where the call under way wants its result; decides where there is no operand, and where there is a copy.
        generator: The GPU's own.
        refuses_waiting: Whether what makes the host wait is refused.
    """

    def __init__(self) -> None:
        super().__init__()
        self.place = ""
        self.generator = torch.Generator()
        self.refuses_waiting = False

    @contextmanager
    def at(self, place: str) -> Iterator[None]:
        before, self.place = self.place, place
        try:
            yield
        finally:
            self.place = before

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with torch._C.DisableTorchFunction():
            name = function._schema.name.removeprefix("aten::")
            found = [(argument, each) for argument, each in _given(function, args, kwargs) if not each.is_meta]
            on_gpu = _runs_on_gpu(name, function, found)
            if self.refuses_waiting and on_gpu:
                _check_waiting(name, args, kwargs)
            if not found or (self.place and (name in _COPIES or kwargs.get("device") is not None)):
                on_gpu = self.place == "cuda"
            is_drawn = on_gpu and torch.Tag.nondeterministic_seeded in function.tags and not kwargs.get("generator")
            with _drawing_from(self.generator) if is_drawn else nullcontext():
                results = function(*args, **kwargs)
            return _marked(results) if on_gpu and name not in {"copy_", "set_"} else results


class _Calls(TorchFunctionMode):
    """Lets what Python calls believe in the GPU."""

    def __init__(self, operations: _Operations) -> None:
        super().__init__()
        self._operations = operations

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        words, leaves = dict(kwargs or {}), [*_leaves(args), *_leaves(kwargs)]
        if function is Tensor.__deepcopy__:  # whose other argument holds what was copied before
            return _marked(function(*args)) if is_on_gpu(args[0]) else function(*args)
        on_gpu = any(map(is_on_gpu, leaves))
        if function in _ANSWERS and on_gpu:
            return _ANSWERS[function]
        if on_gpu:
            _check_call(function, args)
        if function is Tensor.pin_memory:
            return args[0].clone()
        if function in (Tensor.cpu, Tensor.cuda):
            return self._moved(args[0], CPU if function is Tensor.cpu else GPU, **words)
        if function is Tensor.to or (function in _OF_VALUES and is_on_gpu(args[0])):
            return self._moved(*args, **({"device": GPU} if function in _OF_VALUES else {}) | words)
        return self._called(function, args, words, leaves, on_gpu=on_gpu)

    def _called(self, function: Any, args: Any, words: dict[str, Any], leaves: list[Any], *, on_gpu: bool) -> Any:
        """Call a function so that what it makes lies where its keywords, or else its arguments, say."""
        place = torch.device(words["device"]).type if words.get("device") is not None else ""
        if place == "cuda":
            words["device"] = CPU
        waits = (function in _WAITING_CALLS and (on_gpu or place == "cuda")) or _puts_number(function, args)
        if self._operations.refuses_waiting and waits:
            raise RuntimeError("called a synchronizing CUDA operation")
        where = place or ("cuda" if on_gpu and function not in _OF_VALUES else "cpu")
        for each in leaves:
            if isinstance(each, _Generator) and where not in {"meta", each.place}:
                raise RuntimeError(f"Expected a '{where}' device type for generator but found '{each.place}'")
        with self._operations.at(where):
            results = function(*args, **words)
        return _marked(results) if place == "cuda" else results

    def _moved(self, tensor: Tensor, *args: Any, copy: bool = False, other: Any = None, **words: Any) -> Tensor:
        """Do what `Tensor.to` does."""
        like = args[0] if args and isinstance(args[0], Tensor) else other
        if like is not None:
            args, words = args[1:], {"device": GPU if is_on_gpu(like) else like.device, "dtype": like.dtype} | words
        device, dtype, non_blocking, layout = torch._C._nn._parse_to(*args, **words)
        old = "cuda" if is_on_gpu(tensor) else tensor.device.type
        new = old if device is None else device.type
        if self._operations.refuses_waiting and {old, new} == {"cpu", "cuda"} and not non_blocking:
            raise RuntimeError("called a synchronizing CUDA operation: a copy")
        order = {} if layout is None else {"memory_format": layout}
        place = CPU if new == "cuda" else torch.device(new)
        with self._operations.at(new), torch._C.DisableTorchFunction():
            return tensor.to(place, dtype or tensor.dtype, copy=copy or old != new, **order)


_ANSWERS = {
    Tensor.device.__get__: GPU,
    Tensor.is_cuda.__get__: True,
    Tensor.is_cpu.__get__: False,
    Tensor.get_device: 0,
    Tensor.is_pinned: False,
}
_NEED_HOST = {Tensor.numpy, Tensor.__array__, Tensor.__dlpack__}
_WAITING_CALLS = _OF_VALUES | {Tensor.tolist}


def _leaves(value: Any) -> Iterator[Any]:
    """Yield what stands in lists, tuples and dicts; PyTorch's own function for it takes most of a training's time."""
    if isinstance(value, list | tuple):
        for each in value:
            yield from _leaves(each)
    elif isinstance(value, dict):
        yield from _leaves([*value.values()])
    else:
        yield value


def _plain(value: Any) -> Tensor | None:
    """Return a tensor that could be on the GPU, without the wrappers of `vmap`; None for anything else."""
    if not isinstance(value, Tensor):
        return None
    while torch._C._functorch.is_functorch_wrapped_tensor(value):
        value = torch._C._functorch.get_unwrapped(value)
    return value if value.device.type == "cpu" else None


def _marked(values: Any) -> Any:
    """Return values whose tensors lie on the GPU from now on."""
    with torch._C.DisableTorchFunction():
        for tensor in map(_plain, _leaves(values)):
            if tensor is not None:
                tensor.untyped_storage().is_on_gpu = True
    return values


def _check_call(function: Any, args: Any) -> None:
    """Refuse calls with a tensor of the GPU that no operation would tell of."""
    if function in _NEED_HOST:
        raise TypeError(f"can't convert {GPU} device type tensor to numpy")
    if function is Tensor.pin_memory:
        raise RuntimeError("cannot pin 'torch.cuda.FloatTensor' only dense CPU tensors can be pinned")
    if function == Tensor.grad.__set__ and args[1] is not None and not all(map(is_on_gpu, args)):
        raise RuntimeError("assigned grad has data located on a different device")


def _puts_number(function: Any, args: Any) -> bool:
    """Return whether a call puts a number of the host to an index, or to one place: it is copied first, and waits."""
    if function is not Tensor.__setitem__ or not is_on_gpu(args[0]) or is_on_gpu(args[2]):
        return False
    index = [*_leaves(args[1:2])]
    is_one_place = len(index) == args[0].dim() and all(isinstance(each, int) for each in index)
    return is_one_place or any(isinstance(each, Tensor) for each in index)


def _given(function: Any, args: Any, kwargs: Any) -> list[tuple[Any, Tensor]]:
    """Return the tensors that an operation is given, each with the argument that it is given for."""
    arguments = {argument.name: argument for argument in function._schema.arguments}
    pairs = [*zip(arguments.values(), args, strict=False), *((arguments[name], kwargs[name]) for name in kwargs)]
    return [(argument, each) for argument, value in pairs for each in _leaves(value) if isinstance(each, Tensor)]


def _runs_on_gpu(name: str, function: Any, found: list[tuple[Any, Tensor]]) -> bool:
    """Return whether an operation has an operand on the GPU; refuse it where CUDA would."""
    if not any(is_on_gpu(each) for _, each in found):
        return False
    takes_scalars = name in _TAKE_SCALARS or (torch.Tag.pointwise in function.tags and len(found) <= 2)
    by_index = name in _BY_INDEX and is_on_gpu(found[0][1])
    for argument, each in found:
        is_scalar = takes_scalars and each.dim() == 0 and not argument.is_write
        is_index = by_index and argument.name == "indices"
        if not (is_on_gpu(each) or is_scalar or is_index or name in _COPIES):
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, {GPU} and {CPU}! "
                f"(when checking argument {argument.name} in {function})"
            )
    if name in _PRODUCTS and not (found[0][1].is_floating_point() or found[0][1].is_complex()):
        raise RuntimeError(f'"{name}_cuda" not implemented for {found[0][1].dtype}')
    if name.startswith("_fused_"):
        _check_alike(name, found)
    return True


def _check_alike(name: str, found: list[tuple[Any, Tensor]]) -> None:
    """Refuse lists of tensors that do not lie alike in memory, as the fused optimizers of CUDA do."""
    lists = {argument.name: [each for other, each in found if other is argument] for argument, _ in found}
    lists.pop("state_steps", None)
    for alike in zip(*lists.values(), strict=True):
        orders = {
            tuple((n, step) for n, step in zip(each.shape, each.stride(), strict=True) if n != 1) for each in alike
        }
        if len(orders) > 1 or len({each.dtype for each in alike}) > 1:
            raise RuntimeError(f"{name}: {', '.join(lists)} must have same dtype, device, and layout")


def _check_waiting(name: str, args: Any, kwargs: Any) -> None:
    by_mask = name in _BY_INDEX and any(
        each.dtype in (torch.bool, torch.uint8) or not is_on_gpu(each) for each in args[1] if each is not None
    )
    crosses = name == "copy_" and is_on_gpu(args[0]) != is_on_gpu(args[1]) and not any((*args[2:], *kwargs.values()))
    if name in WAITING or by_mask or crosses:
        raise RuntimeError(f"called a synchronizing CUDA operation: {name}")


@contextmanager
def _drawing_from(generator: torch.Generator) -> Iterator[None]:
    """Let operations that name no generator draw from this one for the block."""
    of_cpu = torch.default_generator.get_state()
    torch.default_generator.set_state(generator.get_state())
    try:
        yield
    finally:
        generator.set_state(torch.default_generator.get_state())
        torch.default_generator.set_state(of_cpu)
