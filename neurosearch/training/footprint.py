"""How much memory a computation holds at its fullest, found without doing it: on PyTorch's meta device.

Tensors on that device have shapes and no content, so a forward and a backward pass of a network of any size takes
milliseconds and no memory; what autograd would keep, it keeps here too, and each storage tells how large it would be.
"""

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


def peak_bytes(computation: Callable[[], object]) -> int:
    """Returns the most bytes that storages made during a computation hold at one time.

    Args:
        computation: Works on tensors of the meta device; what exists before it is not counted.
    """
    storages = _Storages()
    with storages:
        computation()
    return storages.peak


class _Storages(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the storages that operators make, for as long as anybody holds them.

    Attributes:
        live: Bytes held now.
        peak: The most held so far.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        held = {id(each.untyped_storage()) for each in tree_iter((args, kwargs)) if isinstance(each, Tensor)}
        result = func(*args, **(kwargs or {}))
        for each in tree_iter(result):
            if isinstance(each, Tensor):
                self._note(each.untyped_storage(), held)
        return result

    def _note(self, storage: torch.UntypedStorage, held: set[int]) -> None:
        # A view, or a result in place, has the storage of an argument. PyTorch gives a storage the same Python object
        # for as long as it lives, so its id tells it apart until the finalizer has run.
        key = id(storage)
        if key in self._known or key in held:
            return
        self._known.add(key)
        num_bytes = storage.nbytes()
        self.live += num_bytes
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._let_go, key, num_bytes)

    def _let_go(self, key: int, num_bytes: int) -> None:
        self._known.discard(key)
        self.live -= num_bytes
