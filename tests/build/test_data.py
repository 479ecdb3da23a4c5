from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neurosearch.build.data import (
    build_digits,
    build_function,
    build_image_folder,
    build_image_list,
    build_npz,
    build_spiral,
    build_torchvision_data,
)
from neurosearch.config.data import (
    DigitsFields,
    FunctionFields,
    ImageFolderFields,
    ImageListFields,
    NpzFields,
    SpiralFields,
    TorchvisionDataFields,
)
from neurosearch.data.problems import DataError


def test_digits_come_without_a_download() -> None:
    raw = build_digits(DigitsFields()).load()
    assert (len(raw.class_names), raw.layout) == (10, "HW")


@pytest.mark.parametrize("function", ["bessel", "cubic", "quadratic", "gaussian_mixture", "sine_classes"])
def test_every_function_gives_points_in_the_square(function: str) -> None:
    fields = FunctionFields.model_validate({"function": function, "num_train": 30, "num_test": 9, "split_seed": 5})
    raw = build_function(fields).load()
    assert (raw.x_train.shape, raw.x_test.shape) == ((30, 1), (9, 1))
    assert np.abs(raw.y_train).max() <= 1 + 1e-6
    assert bool(raw.class_names) == (fields.task_kind == "classification")


def test_a_spiral_has_the_arms_and_points_of_its_fields() -> None:
    raw = build_spiral(SpiralFields(num_points=60, num_classes=4, test_share=0.4)).load()
    assert (len(raw.class_names), raw.x_train.shape, raw.x_test.shape) == (4, (36, 2), (24, 2))


def test_an_archive_is_read_as_its_fields_say(tmp_path: Path) -> None:
    x, y = np.zeros((4, 3, 5, 4), np.uint8), np.array([0, 1, 0, 1])
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    raw = build_npz(NpzFields(path=str(tmp_path / "a.npz"), layout="CHW", scale=16.0)).load()
    assert (raw.layout, raw.scale, raw.x_train.shape) == ("CHW", 16.0, (4, 3, 5, 4))


def test_a_missing_archive_is_a_problem_of_its_field() -> None:
    with pytest.raises(DataError) as caught:
        build_npz(NpzFields(path="absent.npz")).load()
    assert [problem.field for problem in caught.value.problems] == ["data.path"]


def test_a_published_data_set_is_downloaded_only_where_the_config_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Write `download: true` under data"):
        build_torchvision_data(TorchvisionDataFields(name="MNIST", path=str(tmp_path))).load()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for number in range(10):
        path = tmp_path / "images" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8 + number, 8), (number, 0, 0)).save(path)
    return tmp_path / "images"


def test_a_folder_of_images_is_read_as_its_fields_say(images: Path) -> None:
    fields = ImageFolderFields(path=str(images), colour="grey", resize=(4, 6), test_share=0.4)
    raw = build_image_folder(fields).load()
    assert (raw.class_names, raw.layout, raw.x_train.shape, raw.x_test.shape) == (
        ("a", "b"),
        "HW",
        (6, 4, 6),
        (4, 4, 6),
    )


def test_lists_of_images_are_read_as_their_fields_say(images: Path) -> None:
    lists = images.parent / "train.txt", images.parent / "test.txt"
    for path, numbers in zip(lists, (range(6), range(6, 10)), strict=True):
        path.write_text("".join(f"{'ab'[number % 2]}/{number}.png {number % 2}\n" for number in numbers))
    train, test = map(str, lists)
    fields = ImageListFields(path=str(images), train_list=train, test_list=test, num_classes=2, resize=(4, 6))
    raw = build_image_list(fields).load()
    assert (raw.class_names, raw.layout, raw.x_train.shape, raw.x_test.shape) == (
        ("0", "1"),
        "HWC",
        (6, 4, 6, 3),
        (4, 4, 6, 3),
    )
    assert raw.y_test.tolist() == [0, 1, 0, 1]


def test_a_label_beyond_the_number_of_classes_is_named_with_its_line(images: Path) -> None:
    path = images.parent / "train.txt"
    path.write_text("a/0.png 0\nb/1.png 5\n")
    fields = ImageListFields(path=str(images), train_list=str(path), num_classes=2)
    with pytest.raises(DataError, match=r"train\.txt:2: the label 5 is outside 0\.\.1"):
        build_image_list(fields).load()
