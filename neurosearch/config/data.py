"""Fields of the data section."""

from typing import Annotated, Literal

from pydantic import Field

from neurosearch.config.base import Count, Fields, Index, Number, PositiveFloat
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
        0, description="Seed of the subsampling and of the split; the same for every trial"
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
        description="Path of the archive, relative to the config file; ~ and $NEUROSEARCH_TEST_DATA are expanded; "
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
    """A folder with one folder of images for each class, or with folders train and test that have these."""

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
