from dataclasses import replace

import numpy as np
import pytest

from neurosearch.data.arrays import RawArrays, check_arrays, infer_layout, numbered_classes


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
        (
            {"y_train": np.array([[0], [1], [2], [0], [1], [2]])},
            "shape (6, 1), but labels are one number an image. Save it with .ravel().",
        ),
        ({"y_train": np.array([0, 1, 2, 0, 1, 3])}, "1 labels outside 0..2, first 3 at position 5"),
        ({"y_train": np.array([-1, 1, 2, 0, 1, 2])}, "first -1 at position 0"),
        ({"y_train": np.array([0, 1, 1, 0, 1, 0])}, "no training image of class 2 (eel)"),
        ({"y_test": np.array([0, 2, 2, 0, 0, 0])}, "no test image of class 1 (dog)"),
        ({"class_names": ("cat", "dog", "cat")}, "names cat more than once"),
        ({"class_names": ("cat", "a\ndog", "cow")}, r"class_names has line breaks in 'a\ndog'. Write each name"),
        ({"class_names": ("cat", "k\udce4fer", "cow")}, r"no text in UTF-8: 'k\udce4fer'. Write them in UTF-8; where"),
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


@pytest.mark.parametrize("labels", [["a", "b"], [b"a", b"b"]])
def test_words_as_labels_are_numbered_as_the_message_says(labels):
    y = np.array(labels)[[1, 0, 1, 0, 1, 0]]
    [text] = found(y_train=y)
    assert "names, y_train = numpy.unique(y_train, return_inverse=True), then y_test = numpy.searchsorted(" in text
    names, y_train = np.unique(y, return_inverse=True)
    assert found(y_train=y_train, y_test=np.searchsorted(names, y), class_names=tuple(map(str, names))) == []


def test_labels_are_named_by_their_numbers():
    assert numbered_classes(np.array([0, 2]), np.array([1])) == ("0", "1", "2")
    assert numbered_classes(np.array([0, 2]), np.array([2])) == ()


@pytest.mark.parametrize(
    ("y", "text"),
    [
        (
            [0, 1, 3_000_000, 0, 1, 1],
            "the labels are 3 different numbers, 0, 1, 3000000, but classes are",
        ),
        ([7, 5, 7, 5, 7, 5], "the labels are 2 different numbers, 5, 7, but"),
        ([-1, -1, -1, -1, -1, -1], "the labels are 1 different numbers, -1, but"),
        (range(0, 60, 10), "the labels are 6 different numbers, 0, 10, 20, 30, 40, 50, but"),
    ],
)
def test_labels_that_are_ids_make_no_classes(y, text):
    y = np.array(y)
    [told] = found(y_train=y, y_test=y, class_names=numbered_classes(y))
    assert text in told
    assert "Number them anew" in told


def test_classes_without_names_are_no_ids():
    assert found(class_names=())[0] == "there is 0 class, but telling classes apart needs at least 2."


def test_of_many_classes_the_first_are_named_and_the_rest_counted():
    names = tuple(f"c{number}" for number in range(1000))
    texts = found(class_names=names)
    assert all(len(text) < 1000 for text in texts)
    assert "class 22 (c22) and 977 more. Add some" in texts[0]


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
