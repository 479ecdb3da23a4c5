from pathlib import Path

import numpy as np
import pytest

from neurosearch.build.data import build_digits, build_npz, build_torchvision_data
from neurosearch.config.data import DigitsFields, NpzFields, TorchvisionDataFields
from neurosearch.data.problems import DataError


def test_digits_come_without_a_download() -> None:
    raw = build_digits(DigitsFields()).load()
    assert (len(raw.class_names), raw.layout) == (10, "HW")


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
