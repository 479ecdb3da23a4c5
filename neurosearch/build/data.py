"""Our kinds of data: their fields, and where their arrays come from.

Importing this module imports neither torch nor scikit-learn: `check` reads the fields of every kind.
"""

from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from neurosearch.config.data import (
    DigitsFields,
    FunctionFields,
    ImageFields,
    ImageFolderFields,
    ImageListFields,
    NpzFields,
    SpiralFields,
    TorchvisionDataFields,
)
from neurosearch.config.kinds import Kind
from neurosearch.config.rules import function_has_spread, s3_has_an_address, spiral_arms_have_points
from neurosearch.config.s3 import S3Fields, is_on_s3, split_address

if TYPE_CHECKING:
    from neurosearch.data.arrays import ArraySource
    from neurosearch.data.functions import Curve
    from neurosearch.data.image_list import ListFile
    from neurosearch.data.images import ImageSettings
    from neurosearch.data.listing import ImageFiles
    from neurosearch.data.s3 import S3Settings


def build_digits(_fields: DigitsFields) -> "ArraySource":
    """Builds the source of scikit-learn's embedded digits."""
    from neurosearch.data.digits import DigitsSource

    return DigitsSource()


def build_npz(fields: NpzFields) -> "ArraySource":
    """Builds the source that reads a numpy archive; one on S3 is fetched when it is first needed."""
    from neurosearch.data.bucket import FetchedSource
    from neurosearch.data.npz import NpzSource

    def archive(path: Path) -> NpzSource:
        return NpzSource(path, fields.layout, fields.scale, fields.task)

    if not is_on_s3(fields.path):
        return archive(Path(fields.path))
    return FetchedSource(fields.path, lambda: _fetched(fields.s3, fields.path, "data.path"), archive)


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

    train = _list_file(fields.s3, fields.train_list, "data.train_list")
    test = None if fields.test_list is None else _list_file(fields.s3, fields.test_list, "data.test_list")
    files = _image_files(fields)
    return ImageSource(
        lambda: read_lists(files, train, test, fields.num_classes, fields.test_share), image_settings(fields)
    )


def image_settings(fields: ImageFields) -> "ImageSettings":
    """Returns how the image files of a data section become arrays."""
    from neurosearch.data.images import ImageSettings

    return ImageSettings(fields.resize, fields.colour, fields.broken_share)


def s3_settings(fields: S3Fields) -> "S3Settings":
    """Returns how the server of a data section is reached."""
    from neurosearch.data.s3 import S3Settings

    return S3Settings(
        endpoint=fields.endpoint,
        region=fields.region,
        path_style=fields.path_style,
        ca_bundle=fields.ca_bundle,
        connections=fields.connections,
        tries=fields.tries,
    )


def _image_files(fields: ImageListFields) -> "ImageFiles":
    from neurosearch.data.bucket import BucketImages
    from neurosearch.data.listing import DiskImages

    if not is_on_s3(fields.path):
        return DiskImages(Path(fields.path))
    return BucketImages(s3_settings(fields.s3), _cache_folder(fields.s3), *split_address(fields.path))


def _list_file(fields: S3Fields, path: str, field: str) -> "ListFile":
    from neurosearch.data.image_list import ListFile

    return ListFile(path, lambda: _fetched(fields, path, field) if is_on_s3(path) else Path(path))


def _fetched(fields: S3Fields, address: str, field: str) -> Path:
    from neurosearch.data.bucket import fetch_file

    return fetch_file(s3_settings(fields), _cache_folder(fields), *split_address(address), field)


def _cache_folder(fields: S3Fields) -> Path:
    return Path(fields.cache_folder).expanduser()  # here, on the node: each has a home of its own


def build_function(fields: FunctionFields) -> "ArraySource":
    """Builds the source that computes points of a function."""
    from neurosearch.data.functions import FunctionSource, Interval, Points, SineClassesSource

    points = Points(fields.num_train, fields.num_test, fields.split_seed)
    if fields.function == "sine_classes":
        return SineClassesSource(points)
    return FunctionSource(_curve(fields), Interval(*fields.interval), points)


def _curve(fields: FunctionFields) -> "Curve":
    from neurosearch.data import functions

    match fields.function:
        case "bessel":
            return functions.BesselSum(fields.num_terms)
        case "cubic":
            return functions.Polynomial(fields.coefficients or functions.CUBIC)
        case "quadratic":
            return functions.Polynomial(fields.coefficients or functions.QUADRATIC)
        case "gaussian_mixture":
            return functions.GaussianMixture(tuple(functions.Bump(**bump.model_dump()) for bump in fields.mixture))
        case "sine_classes":
            raise AssertionError("classes have no curve")
        case _:
            assert_never(fields.function)


def build_spiral(fields: SpiralFields) -> "ArraySource":
    """Builds the source that computes spiral arms."""
    from neurosearch.data.spiral import SpiralSource

    return SpiralSource(fields.num_points, fields.num_classes, fields.noise, fields.test_share, fields.split_seed)


DIGITS = Kind(DigitsFields, build_digits)
NPZ = Kind(NpzFields, build_npz, rules=(s3_has_an_address,))
IMAGE_FOLDER = Kind(ImageFolderFields, build_image_folder)
IMAGE_LIST = Kind(ImageListFields, build_image_list, rules=(s3_has_an_address,))
TORCHVISION_DATA = Kind(TorchvisionDataFields, build_torchvision_data)
FUNCTION = Kind(FunctionFields, build_function, rules=(function_has_spread,))
SPIRAL = Kind(SpiralFields, build_spiral, rules=(spiral_arms_have_points,))
