"""What it costs to get batches: from memory, beside indexing preloaded tensors, and from files too large for it.

`batch_ratio`: an epoch of batches from prepared data, over an epoch of indexing preloaded tensors with a permutation,
which is the least that a training can do. The worse of 8 x 8 and 32 x 32 x 3 images.
`stream_ratio`: images per second of batches streamed from prepared data that does not lie normalised, over those of
torchvision's ImageFolder (decode, resize, to tensor, normalise) under a DataLoader of 2 workers, on the same files and
for batches of the same kind. Both are read again and again, so the files lie in the system's cache for both sides.
`prepare_seconds`: what the decoding costs that ImageFolder does anew in every epoch, once.
`first_epoch_ratio`: as `stream_ratio`, but with that time counted as part of a single epoch.

Ratios are medians over the runs; in a run the sides take turns, so that they meet the same disturbances.

Usage: python benchmarks/data_loading.py [--quick]
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from neurosearch.data import writing
from neurosearch.data.batches import ArrayBatches
from neurosearch.data.image_folder import list_folder
from neurosearch.data.images import ImageSettings, ImageSource
from neurosearch.data.prepared import Arrays, PreparedData, prepare
from neurosearch.data.selection import PrepareSettings

CPU = torch.device("cpu")
NUM_CLASSES = 4
BATCH_SIZE = 64
SIDES = (128, 128)
WORKERS = 2


def main() -> None:
    """Prints the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer images and runs: shows that the script runs")
    quick = parser.parse_args().quick
    runs, files_per_class = (3, 64) if quick else (7, 300)
    torch.set_num_threads(1)
    figures: dict[str, float | bool | int] = {"quick": quick, "runs": runs}
    for name, shape, count in (("small", (1, 8, 8), 20_000), ("medium", (3, 32, 32), 20_000)):
        figures[f"{name}_batch_ratio"] = round(memory_ratio(shape, count, runs * 5), 4)
    figures["batch_ratio"] = max(float(figures["small_batch_ratio"]), float(figures["medium_batch_ratio"]))
    with tempfile.TemporaryDirectory() as place:
        figures |= stream_figures(Path(place), files_per_class, runs)
    print(json.dumps(figures))


def memory_ratio(shape: tuple[int, ...], count: int, runs: int) -> float:
    """Returns the time of our batches over that of indexing preloaded tensors."""
    generator = np.random.default_rng(0)
    part = Arrays(generator.normal(size=(count, *shape)).astype(np.float32), np.arange(count) % NUM_CLASSES)
    batches = ArrayBatches(part, part, BATCH_SIZE, 0, CPU, NUM_CLASSES)
    x, y = torch.from_numpy(part.x), torch.from_numpy(part.y)

    def ours(run: int) -> None:
        consume(batches.train(run))

    def bare(_: int) -> None:
        consume((x[positions], y[positions]) for positions in torch.randperm(count).split(BATCH_SIZE))

    return statistics.median(first / second for first, second in in_turns(ours, bare, runs))


def stream_figures(place: Path, files_per_class: int, runs: int) -> dict[str, float]:
    """Returns the figures of streaming, on JPEG files of mixed sizes."""
    write_files(place / "images" / "train", files_per_class)
    write_files(place / "images" / "test", 2)
    writing.NORMALISED_BYTES = 0  # as if the images were too many: they are streamed
    started = time.perf_counter()
    prepared = prepare_images(place)
    seconds = time.perf_counter() - started
    assert prepared.normalise() is not None
    manifest = prepared.manifest
    batches = ArrayBatches(
        prepared.train(), prepared.validation(), BATCH_SIZE, 0, CPU, manifest.num_classes, prepared.normalise()
    )
    num_ours = sum(manifest.train_counts)
    steps = transforms.Compose(
        [transforms.Resize(SIDES), transforms.ToTensor(), transforms.Normalize(manifest.mean, manifest.std)]
    )
    folder = ImageFolder(str(place / "images" / "train"), steps)
    loader = DataLoader(folder, BATCH_SIZE, shuffle=True, num_workers=WORKERS, persistent_workers=True)
    consume(loader)  # its workers start before the clock does
    pairs = in_turns(lambda run: consume(batches.train(run)), lambda _: consume(loader), runs)
    ours = statistics.median(num_ours / first for first, _ in pairs)
    theirs = statistics.median(len(folder) / second for _, second in pairs)
    prepared_images = len(folder) + 2 * NUM_CLASSES
    return {
        "stream_ratio": round(statistics.median(num_ours / a / (len(folder) / b) for a, b in pairs), 3),
        "streamed_per_second": round(ours, 1),
        "image_folder_per_second": round(theirs, 1),
        "prepare_seconds": round(seconds, 2),
        "first_epoch_ratio": round(prepared_images / (seconds + prepared_images / ours) / theirs, 3),
        "files": len(folder),
    }


def prepare_images(place: Path) -> PreparedData:
    """Decodes the files once."""
    source = ImageSource(lambda: list_folder(place / "images", 0.2), ImageSettings(SIDES, "rgb", 0.0))
    return prepare(PrepareSettings(None, 0.02, 0, SIDES), source, place / "data")


def write_files(root: Path, files_per_class: int) -> None:
    """Writes JPEG files of 160 to 240 pixels a side: smooth colours and some noise, as photographs have."""
    generator = np.random.default_rng(0)
    for label, number in product(range(NUM_CLASSES), range(files_per_class)):
        height, width = generator.integers(160, 241, 2)
        coarse = Image.fromarray(generator.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((int(width), int(height)), Image.Resampling.BICUBIC)).astype(np.int16)
        noisy = (smooth + generator.integers(-12, 13, smooth.shape)).clip(0, 255).astype(np.uint8)
        path = root / f"class_{label}" / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noisy).save(path, quality=90)


def consume(batches: Iterable[object]) -> None:
    """Takes every batch and does nothing with it."""
    for _ in batches:
        pass


def in_turns(ours: Callable[[int], None], theirs: Callable[[int], None], runs: int) -> list[tuple[float, float]]:
    """Returns the wall seconds of both in every run; who goes first changes from run to run."""
    pairs = []
    for run in range(runs):
        seconds = {}
        for side in (ours, theirs) if run % 2 == 0 else (theirs, ours):
            started = time.perf_counter()
            side(run)
            seconds[side] = time.perf_counter() - started
        pairs.append((seconds[ours], seconds[theirs]))
    return pairs


if __name__ == "__main__":
    main()
