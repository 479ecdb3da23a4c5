import io
import os
import zipfile

import numpy as np
import pytest

from neurosearch.data.npz import NpzSource
from neurosearch.data.problems import DataError
from neurosearch.data.selection import PrepareSettings, checked

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)
Y = np.array([0, 1, 2, 0, 1, 2], dtype=np.uint8)


def save(path, compressed=False, **changes):
    arrays = {"x_train": X, "y_train": Y, "x_test": X[::-1], "y_test": Y[::-1], **changes}
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    return path


@pytest.mark.parametrize("compressed", [True, False])
def test_arrays_come_back_as_saved(tmp_path, compressed):
    path = save(tmp_path / "a.npz", compressed, class_names=np.array(["cat", "dog", "eel"]))
    raw = NpzSource(path, "auto", None).load()
    assert np.array_equal(raw.x_train, X)
    assert np.array_equal(raw.y_train, Y)
    assert np.array_equal(raw.x_test, X[::-1])
    assert np.array_equal(raw.y_test, Y[::-1])
    assert (raw.class_names, raw.layout, raw.scale) == (("cat", "dog", "eel"), "HWC", 255.0)


def test_members_without_compression_are_mapped_not_read(tmp_path):
    assert isinstance(NpzSource(save(tmp_path / "a.npz"), "auto", None).load().x_train, np.memmap)


def test_a_fortran_ordered_array_keeps_its_places(tmp_path):
    path = save(tmp_path / "a.npz", x_train=np.asfortranarray(X))
    assert np.array_equal(NpzSource(path, "auto", None).load().x_train, X)


def test_without_names_the_classes_are_numbers(tmp_path):
    assert NpzSource(save(tmp_path / "a.npz"), "auto", None).load().class_names == ("0", "1", "2")


def test_names_as_bytes_are_read(tmp_path):
    path = save(tmp_path / "a.npz", class_names=np.array([b"a", b"b", b"c"]))
    assert NpzSource(path, "auto", None).load().class_names == ("a", "b", "c")


def test_a_name_whose_bytes_are_no_text_is_refused(tmp_path):
    path = save(tmp_path / "a.npz", class_names=np.array([b"cow", b"k\xe4fer", b"eel"]))
    with pytest.raises(DataError, match=r"class_names has names that are no text in UTF-8: 'k\\udce4fer'"):
        checked(PrepareSettings(None, 0.5, 0, None), NpzSource(path, "auto", None).load())


def test_what_is_not_used_is_named(tmp_path):
    path = save(tmp_path / "a.npz", class_names=["a", "b", "c"], x_val=X, y_val=Y)
    assert NpzSource(path, "auto", None).load().notes == (
        f"in {path} x_val, y_val are not used; x_train, y_train, x_test, y_test, class_names are.",
    )
    assert NpzSource(path, "auto", None, "regression").load().notes == (
        f"in {path} class_names, x_val, y_val are not used; x_train, y_train, x_test, y_test, target_names are.",
    )
    assert NpzSource(save(tmp_path / "b.npz"), "auto", None).load().notes == ()


def test_members_are_known_without_their_ending_as_numpy_knows_them(tmp_path):
    with np.load(save(tmp_path / "a.npz")) as arrays, zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.save(content, array)
            archive.writestr(name, content.getvalue())
    assert np.array_equal(NpzSource(tmp_path / "b.npz", "auto", None).load().x_train, X)


def test_an_encrypted_member_is_refused(tmp_path):
    path = save(tmp_path / "a.npz")
    content = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # of each member, and of its line in the table of contents
        place = content.find(mark)
        while place >= 0:
            content[place + flags] |= 1
            place = content.find(mark, place + 1)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x_train in .* cannot be read: .* is encrypted"):
        NpzSource(path, "auto", None).load()


def test_double_precision_becomes_single(tmp_path):
    path = save(tmp_path / "a.npz", x_train=X[:, 0, 0] / 7, x_test=X[:, 0, 0] / 7)
    raw = NpzSource(path, "auto", None).load()
    assert (raw.x_train.dtype, raw.layout, raw.scale) == (np.float32, "features", 1.0)


def test_columns_that_single_precision_cannot_tell_apart_are_named(tmp_path):
    x = np.random.default_rng(0).normal(size=(6, 4)) * [1, 1, 0, 0] + [0, 1e8, 1e8, 1e5]
    x[:, 3] += np.arange(6) * 10
    path = save(tmp_path / "a.npz", x_train=x, x_test=x)
    [note] = NpzSource(path, "auto", None).load().notes
    assert note.startswith("x_train differs in columns 1 by less than float32")
    for same in (x[:, ::3], x.astype(np.float32), np.where(x > 1e7, np.nan, x)):
        assert NpzSource(save(path, x_train=same, x_test=same), "auto", None).load().notes == ()


def test_the_scale_can_be_given(tmp_path):
    assert NpzSource(save(tmp_path / "a.npz"), "auto", 16.0).load().scale == 16.0


@pytest.mark.parametrize("compressed", [True, False])
def test_a_damaged_member_is_refused(tmp_path, compressed):
    path = save(tmp_path / "a.npz", compressed)
    content = bytearray(path.read_bytes())
    content[content.find(b"x_train.npy") + 200] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x_train in .* cannot be read"):
        NpzSource(path, "auto", None).load()


def test_all_missing_keys_are_named_with_what_is_there(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=X, labels=Y)
    with pytest.raises(DataError, match=r"lacks y_train, x_test, y_test; it holds labels, x_train"):
        NpzSource(tmp_path / "a.npz", "auto", None).load()


@pytest.mark.parametrize("compressed", [True, False])
def test_pickled_objects_are_never_loaded(tmp_path, compressed):
    path = save(tmp_path / "a.npz", compressed, y_train=np.array([{}] * 6, dtype=object))
    with pytest.raises(DataError, match=r"y_train in .* pickled objects, .* plain type: \.astype\(str\) or .* again"):
        NpzSource(path, "auto", None).load()


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    (tmp_path / "a.npz").write_text("no archive")
    with pytest.raises(DataError, match="not an archive written by numpy"):
        NpzSource(tmp_path / "a.npz", "auto", None).load()


def test_a_missing_file_is_named_before_anything_is_loaded(tmp_path):
    source = NpzSource(tmp_path / "none.npz", "auto", None)
    for ask in (source.identity, source.load):
        with pytest.raises(DataError, match=r"none\.npz cannot be read: No such file") as caught:
            ask()
        assert caught.value.problems[0].field == "data.path"


def test_a_layout_that_cannot_be_told_must_be_named(tmp_path):
    path = save(tmp_path / "a.npz", x_train=np.zeros((6, 3, 9, 3), np.uint8), x_test=np.zeros((6, 3, 9, 3), np.uint8))
    with pytest.raises(DataError, match="Set it to one of HWC, CHW") as caught:
        NpzSource(path, "auto", None).load()
    assert caught.value.problems[0].field == "data.layout"
    assert NpzSource(path, "CHW", None).load().layout == "CHW"


def test_what_else_is_wrong_is_said_with_a_layout_that_cannot_be_told(tmp_path):
    path = save(tmp_path / "a.npz", x_train=np.zeros(6, np.uint8), y_train=np.zeros(5, int))
    with pytest.raises(DataError) as caught:
        NpzSource(path, "auto", None).load()
    text = str(caught.value)
    assert "Give x_train 2 to 4 axes" in text
    assert "x_train has 6 images and y_train 5 labels" in text
    assert "no training image of class 1" in text


def test_labels_that_are_ids_are_refused_without_a_name_for_each(tmp_path):
    y = np.array([0, 1, 999_999_999, 0, 1, 999_999_999])
    path = save(tmp_path / "a.npz", y_train=y, y_test=y[:3])
    with pytest.raises(DataError) as caught:
        checked(PrepareSettings(None, 0.5, 0, None), NpzSource(path, "auto", None).load())
    assert "the labels are 3 different numbers, 0, 1, 999999999, but" in str(caught.value)
    assert "If these are quantities and no classes, set data.task: regression." in str(caught.value)


def test_a_changed_archive_has_another_identity(tmp_path):
    path = save(tmp_path / "a.npz")
    before = NpzSource(path, "auto", None).identity()
    assert NpzSource(str(path), "auto", None).identity() == before
    assert NpzSource(path, "HWC", None).identity() != before
    os.utime(path, ns=(1, 1))
    assert NpzSource(path, "auto", None).identity() != before
