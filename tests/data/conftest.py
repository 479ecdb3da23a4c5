import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def save_image():
    """Writes an image of noise, drawn by a seed, and returns its pixels."""

    def save(path, height=6, width=8, seed=0, mode="RGB"):
        shape = (height, width, 3) if mode == "RGB" else (height, width)
        pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels, mode).save(path)
        return pixels

    return save


@pytest.fixture
def make_folder(tmp_path, save_image):
    """Makes a folder with one folder for each class; returns it and the pixels by path."""

    def make(name="images", counts=None, **options):
        root, pixels = tmp_path / name, {}
        for label, (kind, count) in enumerate((counts or {"cat": 5, "dog": 5}).items()):
            for number in range(count):
                path = root / kind / f"{number:03}.png"
                pixels[path] = save_image(path, seed=1000 * label + number, **options)
        return root, pixels

    return make
