"""Our kinds of data: their fields, and where their arrays come from.

Importing this module imports neither torch nor scikit-learn: `check` reads the fields of every kind.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from neurosearch.config.data import (
    DigitsFields,
    ImageFields,
    ImageFolderFields,
    ImageListFields,
    NpzFields,
    TorchvisionDataFields,
)
from neurosearch.config.kinds import Kind

if TYPE_CHECKING:
    from neurosearch.data.arrays import ArraySource
    from neurosearch.data.images import ImageSettings


def build_digits(_fields: DigitsFields) -> "ArraySource":
    """Builds the source of scikit-learn's embedded digits."""
    from neurosearch.data.digits import DigitsSource

    return DigitsSource()


def build_npz(fields: NpzFields) -> "ArraySource":
    """Builds the source that reads a numpy archive."""
    from neurosearch.data.npz import NpzSource

    return NpzSource(fields.path, fields.layout, fields.scale, fields.task)


def build_torchvision_data(fields: TorchvisionDataFields) -> "ArraySource":
    """Builds the source of a data set that torchvision knows; nothing is downloaded yet."""
    from neurosearch.data.torchvision import TorchvisionSource

    return TorchvisionSource(fields.name, fields.path, fields.download)


def build_image_folder(fields: ImageFolderFields) -> "ArraySource":
    """Builds the source that reads a folder of images for each class."""
    from neurosearch.data.image_folder import list_folder
    from neurosearch.data.images import ImageSource

    return ImageSource(lambda: list_folder(Path(fields.path), fields.test_share), image_settings(fields))


def build_image_list(fields: ImageListFields) -> "ArraySource":
    """Builds the source that reads the images that list files name."""
    from neurosearch.data.image_list import read_lists
    from neurosearch.data.images import ImageSource

    lists = Path(fields.train_list), None if fields.test_list is None else Path(fields.test_list)
    return ImageSource(
        lambda: read_lists(Path(fields.path), *lists, fields.num_classes, fields.test_share), image_settings(fields)
    )


def image_settings(fields: ImageFields) -> "ImageSettings":
    """Returns how the image files of a data section become arrays."""
    from neurosearch.data.images import ImageSettings

    return ImageSettings(fields.resize, fields.colour, fields.broken_share)


DIGITS = Kind(DigitsFields, build_digits)
NPZ = Kind(NpzFields, build_npz)
IMAGE_FOLDER = Kind(ImageFolderFields, build_image_folder)
IMAGE_LIST = Kind(ImageListFields, build_image_list)
TORCHVISION_DATA = Kind(TorchvisionDataFields, build_torchvision_data)
