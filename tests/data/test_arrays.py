from dataclasses import replace

import numpy as np
import pytest

from neurosearch.data.arrays import RawArrays, check_arrays, infer_layout


def good():
    x, y = np.zeros((6, 4, 4), np.uint8), np.array([0, 1, 2, 0, 1, 2])
    return RawArrays(x, y, x.copy(), y.copy(), ("cat", "dog", "eel"), "HW", 255.0)


def found(**changes):
    problems = check_arrays(replace(good(), **changes))
    assert all(problem.field == "data.path" for problem in problems)
    return [problem.text for problem in problems]


def test_good_arrays_have_no_problems():
    assert found() == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"x_train": np.zeros((6, 4, 5), np.uint8)}, "x_train has images of shape"),
        ({"x_train": np.zeros((6, 4, 4), np.float32)}, "x_train holds float32 and x_test uint8"),
        ({"x_train": np.zeros((5, 4, 4), np.uint8)}, "5 images and y_train 6 labels"),
        ({"x_train": np.zeros((6, 4, 4), np.int64)}, "x_train holds int64"),
        ({"x_train": np.zeros((6, 16), np.uint8)}, "layout HW needs 3 axes"),
        ({"x_train": np.zeros((6, 0, 4), np.uint8)}, "an axis of length 0"),
        ({"y_train": np.array([0.0, 1, 2, 0, 1, 2])}, "y_train holds float64"),
        ({"y_train": np.eye(3, dtype=np.int64)[[0, 1, 2, 0, 1, 2]]}, "not one-hot rows"),
        ({"y_train": np.array([0, 1, 2, 0, 1, 3])}, "1 labels outside 0..2, first 3 at position 5"),
        ({"y_train": np.array([-1, 1, 2, 0, 1, 2])}, "first -1 at position 0"),
        ({"y_train": np.array([0, 1, 1, 0, 1, 0])}, "no training image of class 2 (eel)"),
        ({"y_test": np.array([0, 2, 2, 0, 0, 0])}, "no test image of class 1 (dog)"),
        ({"class_names": ("cat", "dog", "cat")}, "names cat more than once"),
        (
            {"class_names": ("cat",), "y_train": np.zeros(6, int), "y_test": np.zeros(6, int)},
            "at least 2",
        ),
        ({"x_test": np.uint8(3)}, "x_test has shape ()"),
    ],
)
def test_what_is_wrong_is_said(changes, text):
    assert any(text in each for each in found(**changes))


def test_values_that_are_not_finite_are_counted_by_row():
    x = np.zeros((6, 4, 4), np.float32)
    x[4, 0, 0], x[4, 1, 1], x[5, 0, 0] = np.nan, np.inf, -np.inf
    texts = found(x_train=x, x_test=np.zeros((6, 4, 4), np.float32))
    assert texts == [
        "x_train has values that are not finite in 2 of 6 rows, first in row 4. Remove or fill those rows."
    ]


def test_everything_wrong_is_said_at_once():
    texts = found(x_train=np.zeros((5, 4, 4), np.int16), y_test=np.array([0, 1, 9, 0, 1, 2]))
    assert len(texts) == 4  # dtype, dtypes differ, lengths, label


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((9, 64), "features"),
        ((9, 8, 8), "HW"),
        ((9, 32, 32, 3), "HWC"),
        ((9, 3, 32, 32), "CHW"),
        ((9, 3, 32, 3), None),
        ((9, 8, 8, 8), None),
        ((9,), None),
    ],
)
def test_the_layout_is_told_from_the_shape_only_where_it_is_certain(shape, layout):
    assert infer_layout(shape) == layout
