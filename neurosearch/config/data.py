"""Fields of the data section."""

from typing import Annotated, Literal

from pydantic import Field

from neurosearch.config.base import Count, Fields, Index, NonNegativeFloat, Number, PositiveFloat
from neurosearch.config.s3 import AnyPath, DiskPath, S3Fields

TaskKind = Literal["classification", "regression"]


class Imbalance(Fields):
    """A long tail cut out of a balanced training set (science: the public long-tail repositories' protocol)."""

    profile: Literal["exponential", "step"] = Field(
        "exponential", description="exponential: counts fall by a constant factor; step: the second half is rare"
    )
    ratio: Annotated[Number, Field(ge=1.0)] = Field(description="Largest class count divided by the smallest")


class DataFields(Fields):
    """What every kind of data shares.

    A kind that lets its user choose what is learned has a field `task` and overrides `task_kind`.
    """

    imbalance: Imbalance | None = Field(
        None, description="Long-tailed subsampling of the training part, such as {ratio: 20}; absent: as is"
    )
    validation_share: Annotated[Number, Field(gt=0.0, lt=1.0)] = Field(
        0.2, description="Share of every class of the training part that is held out for validation, at least one image"
    )
    split_seed: Annotated[Index, Field(lt=2**32)] = Field(
        0, description="Seed of the subsampling, of the split and of computed data; the same for every trial"
    )
    resize: tuple[Count, Count] | None = Field(
        None, description="Height and width in pixels that images are resized to, inside the exported network too"
    )

    @property
    def task_kind(self) -> TaskKind:
        """What the targets are: classes, or quantities."""
        return "classification"


class DigitsFields(DataFields):
    """scikit-learn's embedded 8x8 digits: needs no download."""

    kind: Literal["digits"] = "digits"


class NpzFields(DataFields):
    """A numpy archive with x_train, y_train, x_test, y_test and optionally class_names or target_names."""

    kind: Literal["npz"] = "npz"
    path: AnyPath = Field(
        description="Path of the archive, relative to the config file; ~ and $VARIABLES are expanded; "
        "or s3://BUCKET/KEY"
    )
    s3: S3Fields = Field(S3Fields(), description="How S3 is reached, where the path is an s3:// address")
    layout: Literal["auto", "features", "HW", "HWC", "CHW"] = Field(
        "auto", description="Meaning of the dimensions of one example; auto: told from the shape, or refused"
    )
    scale: PositiveFloat | None = Field(
        None, description="Divisor of the raw values before normalisation; absent: 255 for uint8, 1 for floats"
    )
    task: TaskKind = Field(
        "classification",
        description="classification: y holds class numbers; regression: y holds real numbers (n,) or (n, targets), "
        "learned as (y - mean) / deviation of the training part, which the exported network undoes",
    )

    @property
    def task_kind(self) -> TaskKind:
        """What the file says."""
        return self.task


class TorchvisionDataFields(DataFields):
    """A published data set of small images, by its name in torchvision."""

    kind: Literal["torchvision"] = "torchvision"
    name: Literal["CIFAR10", "CIFAR100", "MNIST", "FashionMNIST"] = Field(description="As torchvision spells it")
    path: DiskPath = Field(
        description="torchvision's root folder, relative to the config file; ~ and $VARIABLES are expanded"
    )
    download: Annotated[bool, Field(strict=True)] = Field(
        False, description="Whether files that are missing or damaged may be downloaded into the folder"
    )


class ImageFields(DataFields):
    """What images in files share."""

    test_share: Annotated[Number, Field(gt=0.0, lt=1.0)] = Field(
        0.2, description="Share of every class that becomes the test part where none is given; the same in every study"
    )
    colour: Literal["rgb", "grey"] = Field("rgb", description="What the colours of every image are converted to")
    broken_share: Annotated[Number, Field(ge=0.0, lt=1.0)] = Field(
        0.0, description="Largest share of broken images to leave out; with more of them nothing is trained"
    )


class ImageFolderFields(ImageFields):
    """A folder with one folder of images for each class, or with folders train and test that have these.

    The parts may be called training and testing, in any case; a folder val beside them is not used.
    """

    kind: Literal["image_folder"] = "image_folder"
    path: DiskPath = Field(
        description="Folder of the images, relative to the config file; ~ and $VARIABLES are expanded"
    )


class ImageListFields(ImageFields):
    """Images named by list files of "path label" lines, as ImageNet-LT, Places-LT and iNaturalist have them."""

    kind: Literal["image_list"] = "image_list"
    path: AnyPath = Field(
        description="Folder of the images, relative to the config file; ~ and $VARIABLES are expanded; "
        "or s3://BUCKET/PREFIX"
    )
    s3: S3Fields = Field(S3Fields(), description="How S3 is reached, where images or lists have s3:// addresses")
    train_list: AnyPath = Field(
        description="List of the training part; its paths start from data.path. Relative to the config file, or to "
        "data.path where that is on S3"
    )
    test_list: AnyPath | None = Field(
        None, description="List of the test part; absent: test_share of the training part"
    )
    num_classes: Annotated[Count, Field(ge=2)] | None = Field(
        None, description="Number of classes; absent: one more than the largest label of train_list"
    )


class Bump(Fields):
    """One part of a Gaussian mixture: weight * exp(-((x - mean) / deviation)^2 / 2)."""

    weight: Number = Field(description="Height of its peak; negative: a dip")
    mean: Number = Field(description="Where its peak is, in the function's own argument")
    deviation: PositiveFloat = Field(description="Its width, in the function's own argument")


_MIXTURE = (
    Bump(weight=1.0, mean=-0.5, deviation=0.15),
    Bump(weight=-0.7, mean=0.1, deviation=0.1),
    Bump(weight=0.8, mean=0.6, deviation=0.2),
)


class FunctionFields(DataFields):
    """Points of a function of one number, uniform in [-1, 1] and free of noise; nothing is standardised."""

    kind: Literal["function"] = "function"
    function: Literal["bessel", "cubic", "quadratic", "gaussian_mixture", "sine_classes"] = Field(
        "bessel",
        description="bessel: J0 + J1 + ... over num_terms; cubic, quadratic: polynomials; gaussian_mixture: bumps; "
        "sine_classes: the class floor(1 + sin 2 pi x); bessel and gaussian_mixture are rescaled to fill [-1, 1] "
        "(arXiv:2501.18012)",
    )
    num_terms: Annotated[Count, Field(le=20)] = Field(1, description="For bessel: how many orders are summed, J0 first")
    low: Number | None = Field(
        None, description="Where the interval of the function's own argument begins; absent: bessel 0.1, others -1"
    )
    high: Number | None = Field(
        None, description="Where the interval of the function's own argument ends; absent: bessel 0.2, others 1"
    )
    coefficients: Annotated[tuple[Number, ...], Field(min_length=1, max_length=4)] | None = Field(
        None, description="For cubic and quadratic: highest power first; absent: as published"
    )
    bumps: Annotated[tuple[Bump, ...], Field(min_length=1, max_length=20)] | None = Field(
        None, description="For gaussian_mixture: its parts; absent: two peaks and a dip between them"
    )
    num_train: Annotated[Count, Field(ge=4)] = Field(
        40, description="Points that train and validate together; validation_share of them validate"
    )
    num_test: Annotated[Count, Field(ge=2)] = Field(8, description="Points of the test part")

    @property
    def task_kind(self) -> TaskKind:
        """Classes for sine_classes, else a quantity."""
        return "classification" if self.function == "sine_classes" else "regression"

    @property
    def interval(self) -> tuple[float, float]:
        """The interval of the function's own argument."""
        low, high = (0.1, 0.2) if self.function == "bessel" else (-1.0, 1.0)
        return low if self.low is None else self.low, high if self.high is None else self.high

    @property
    def mixture(self) -> tuple[Bump, ...]:
        """The parts of the Gaussian mixture."""
        return _MIXTURE if self.bumps is None else self.bumps


class SpiralFields(DataFields):
    """Spiral arms in the plane, one for each class, scaled to [-1, 1] (arXiv:2501.18012); nothing is standardised."""

    kind: Literal["spiral"] = "spiral"
    num_points: Count = Field(32768, description="Points of all classes together")
    num_classes: Annotated[Count, Field(ge=2, le=100)] = Field(5, description="Number of arms")
    noise: NonNegativeFloat = Field(0.2, description="Standard deviation of a point's angle, in radians")
    test_share: Annotated[Number, Field(gt=0.0, lt=1.0)] = Field(
        0.2, description="Share of every class that becomes the test part"
    )
