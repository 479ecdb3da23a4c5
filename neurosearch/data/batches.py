"""Batches from mapped arrays: as fast as indexing tensors, in an order that only the seed and the epoch decide.

Arrays that are too large to lie normalised are read from the disk through the system's cache, one gathering ahead of
the training, and normalised batch by batch.

Shape letters: n images, b images of a batch.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from neurosearch.data.augmentation import Augmentation, Augmenter
from neurosearch.data.prepared import Arrays
from neurosearch.data.sampling import Sampling
from neurosearch.randomness import derive_seed

Batch = tuple[Tensor, Tensor]

_GATHER_BYTES = 1 << 18  # of inputs gathered at once: one call for several small batches, still within a core's cache
_GPU_GATHER_BYTES = 1 << 24  # the same on a GPU, where each call costs the host more than the work costs the device
_LARGE_BATCH_BYTES = 1 << 24  # of inputs in a batch that needs no gradients
_LARGE_BATCH = 2048


class ArrayBatches:
    """The training and the validation part of prepared data as the trainer's `Batches`.

    On the CPU the tensors are the memory map itself; for another device they are copied there once, unless they are to
    be normalised: then they stay where they are, and each batch goes to the device as it is stored.

    Args:
        train: (n, ...) float32, or what `normalise` takes, and labels (n,) int64, or targets (n, T) float32.
        validation: As `train`.
        batch_size: Training images per step.
        seed: The trial's seed.
        device: Where the batches are wanted.
        num_classes: C; 0 where the targets are not classes.
        normalise: Makes float32 of a batch as stored; None where the arrays lie normalised.
        sampling: How often the images of each class come; None: every image once.
        augmentation: How images (c, h, w) are changed before they are trained on; None: not at all.
    """

    def __init__(  # noqa: PLR0913  # one argument for each thing that shapes a batch
        self,
        train: Arrays,
        validation: Arrays,
        batch_size: int,
        seed: int,
        device: torch.device,
        num_classes: int,
        normalise: nn.Module | None = None,
        *,
        sampling: Sampling | None = None,
        augmentation: Augmentation | None = None,
    ) -> None:
        self._normalise = None if normalise is None else normalise.to(device)
        place = device if normalise is None else torch.device("cpu")
        self._x, self._y = torch.from_numpy(train.x).to(place), torch.from_numpy(train.y).to(device)
        self._validation = torch.from_numpy(validation.x).to(place), torch.from_numpy(validation.y).to(device)
        self._seed = seed
        self._device = device
        self._labels = train.y
        self._num_classes = num_classes
        self._sampling = sampling or Sampling("instance", epochs=1)
        self._sizes = batch_sizes(len(train.y), batch_size)
        self._large = large_batch(batch_size, _bytes_each(self._x))
        gather_bytes = _GPU_GATHER_BYTES if device.type == "cuda" else _GATHER_BYTES
        gathered = max(1, gather_bytes // (_bytes_each(self._x) * batch_size))
        self._blocks = [self._sizes[first : first + gathered] for first in range(0, len(self._sizes), gathered)]
        self._class_counts = tuple(np.bincount(train.y, minlength=num_classes).tolist()) if num_classes else ()
        self._augmenter: Augmenter | None = None
        if augmentation is not None:
            height, width = self._ready(self._x[:1]).shape[2:]
            self._augmenter = Augmenter(augmentation, height, width, device)

    @property
    def steps_per_epoch(self) -> int:
        """Return the number of batches that `train` yields."""
        return len(self._sizes)

    @property
    def class_counts(self) -> tuple[int, ...]:
        """Return the training images of each class, in label order; empty where the targets are not classes."""
        return self._class_counts

    def train(self, epoch: int) -> Iterator[Batch]:
        """Yield as many images as the training part has, drawn by the seed and `epoch`: (b, ...) float32 and targets.

        A lone last image goes into the batch before it, since batch normalisation cannot train on one.
        """
        labels = torch.from_numpy(self._labels)
        order = self._sampling.order(labels, self._num_classes, epoch, derive_seed(self._seed, "order", epoch))
        lengths = [sum(sizes) for sizes in self._blocks]
        on_device = _sent(order, self._device)
        near = order if self._x.is_cpu else on_device
        gathered = (self._x.index_select(0, each) for each in near.split_with_sizes(lengths))
        blocks = zip(self._blocks, on_device.split_with_sizes(lengths), strict=True)
        augmented = self._augmented(epoch, lengths)
        for (sizes, positions), stored in zip(blocks, self._in_time(gathered), strict=True):
            x, y = self._ready(stored), self._y.index_select(0, positions)
            if augmented is not None:
                x = augmented(x)
            if len(sizes) == 1:
                yield x, y
            else:
                yield from zip(torch.split_with_sizes(x, sizes), torch.split_with_sizes(y, sizes), strict=True)

    def train_as_is(self) -> Iterator[Batch]:
        """Yield every training image once, in its stored order, not augmented, in larger batches than `train`."""
        return self._in_large_batches(self._x, self._y)

    def validation(self) -> Iterator[Batch]:
        """Yield the validation part once, in its stored order, in batches larger than the training's."""
        return self._in_large_batches(*self._validation)

    def balanced(self, per_class: int, seed: int) -> list[Batch]:
        """Return training images with `per_class` of each class, all of a smaller one, each image once.

        The classes take turns, so that every batch has about as many of each. Without classes all images are one.

        Args:
            per_class: Images of each class, at least 1.
            seed: The same seed gives the same images in the same order.
        """
        generator = np.random.default_rng(derive_seed(seed, "balanced"))
        drawn, turns = [], []
        for members in self._members():
            positions = generator.permutation(members)[:per_class]
            drawn.append(positions)
            turns.append(np.arange(len(positions)))
        by_turn = np.argsort(np.concatenate(turns), kind="stable")
        chosen = torch.from_numpy(np.concatenate(drawn)[by_turn])
        x = self._ready(self._x.index_select(0, chosen.to(self._x.device)))
        y = self._y.index_select(0, chosen.to(self._device))
        return list(zip(torch.split(x, self._large), torch.split(y, self._large), strict=True))

    def _in_large_batches(self, x: Tensor, y: Tensor) -> Iterator[Batch]:
        for stored, targets in zip(torch.split(x, self._large), torch.split(y, self._large), strict=True):
            yield self._ready(stored), targets

    def _augmented(self, epoch: int, lengths: list[int]) -> Callable[[Tensor], Tensor] | None:
        """Return what is called with one block of an epoch after the other; None where nothing is augmented."""
        if self._augmenter is None:
            return None
        drawn = self._augmenter.draw(len(self._labels), derive_seed(self._seed, "augmentation", epoch))
        coming, apply = iter(_sent(drawn, self._device).split_with_sizes(lengths)), self._augmenter.apply
        return lambda images: apply(images, next(coming))

    def _ready(self, stored: Tensor) -> Tensor:
        """Return a batch as the network reads it."""
        if self._normalise is None:
            return stored
        ready: Tensor = self._normalise(_sent(stored, self._device))
        return ready.contiguous()  # channels in front in memory, too, as in a part that lies normalised

    def _in_time(self, gathered: Iterator[Tensor]) -> Iterator[Tensor]:
        """Return the gathered inputs, taken one ahead where taking them may wait for the disk."""
        return gathered if self._normalise is None else _ahead(gathered)

    def _members(self) -> list[npt.NDArray[np.int64]]:
        """Return the positions of each class's images; those of all where there are no classes."""
        classes = range(len(self._class_counts))
        return [np.flatnonzero(self._labels == label) for label in classes] or [np.arange(len(self._labels))]


def _sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device; a GPU fetches it from pinned memory while the host goes on."""
    if device.type != "cuda" or tensor.is_cuda:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def batch_sizes(num_images: int, batch_size: int) -> list[int]:
    """Return the sizes of an epoch's batches: `batch_size` for all but the last, and no lone image where avoidable."""
    sizes = [batch_size] * (num_images // batch_size)
    rest = num_images % batch_size
    if rest == 1 and sizes:
        sizes[-1] += 1
    elif rest:
        sizes.append(rest)
    return sizes


def large_batch(batch_size: int, bytes_each: int) -> int:
    """Return how many images of so many bytes go through a network together where a step's batch need not be kept."""
    return max(batch_size, min(_LARGE_BATCH, _LARGE_BATCH_BYTES // max(1, bytes_each)))


def _ahead(items: Iterator[Tensor]) -> Iterator[Tensor]:
    """Yield all items; a thread takes the next one while the one before it is in use."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


def _bytes_each(x: Tensor) -> int:
    """Return the bytes of one normalised example: float32, whatever it is stored as."""
    return max(1, 4 * x[0].numel())
