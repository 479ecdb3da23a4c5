from pathlib import Path

import numpy as np
import pytest

from neurosearch.data.image_folder import list_folder
from neurosearch.data.problems import DataError


def names(images, root):
    return [str(Path(path).relative_to(root)) for path in images.paths]


def test_classes_are_the_folders_by_name_and_a_share_of_each_is_held_out(make_folder):
    root, pixels = make_folder(counts={"dog": 10, "cat": 5})
    listing = list_folder(root, 0.2)
    assert listing.class_names == ("cat", "dog")
    assert np.bincount(listing.train.labels).tolist() == [4, 8]
    assert np.bincount(listing.test.labels).tolist() == [1, 2]
    assert sorted(map(Path, listing.paths)) == sorted(pixels)
    assert [Path(path).parent.name for path in listing.test.paths] == ["cat", "dog", "dog"]
    assert [Path(path).parent.name for path in listing.train.paths] == ["cat"] * 4 + ["dog"] * 8


def test_the_held_out_share_is_the_same_every_time(make_folder):
    root, _ = make_folder()
    assert list_folder(root, 0.4).digest() == list_folder(root, 0.4).digest()
    assert list_folder(root, 0.4).digest() != list_folder(root, 0.2).digest()


def test_folders_train_and_test_are_the_parts(make_folder):
    root, _ = make_folder("images/train")
    make_folder("images/test", {"cat": 1, "dog": 2})
    listing = list_folder(root.parent, 0.2)
    assert names(listing.test, root.parent) == ["test/cat/000.png", "test/dog/000.png", "test/dog/001.png"]
    assert len(listing.train.paths) == 10


def test_a_folder_train_alone_gives_the_test_part_too(make_folder):
    root, _ = make_folder("images/train")
    assert len(list_folder(root.parent, 0.2).test.paths) == 2


def test_images_are_found_at_any_depth_and_other_files_are_passed_over(make_folder, save_image):
    root, _ = make_folder(counts={"cat": 2, "dog": 2})
    save_image(root / "cat" / "deep" / "er" / "0.JPG")
    save_image(root / "cat" / ".hidden.png")
    (root / "cat" / "notes.txt").write_text("")
    (root / ".cache").mkdir()
    listing = list_folder(root, 0.5)
    assert len(listing.paths) == 5


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda root: None, "cannot be read: No such file or directory"),
        (lambda root: root.mkdir(), "holds no folders"),
        (lambda root: (root / "eel").mkdir(parents=True), r"no image \(.bmp, .* of eel"),
    ],
)
def test_what_is_no_folder_of_classes_is_refused(tmp_path, make, text):
    make(tmp_path / "images")
    with pytest.raises(DataError, match=text) as caught:
        list_folder(tmp_path / "images", 0.2)
    assert [problem.field for problem in caught.value.problems] == ["data.path"]


def test_all_that_is_wrong_with_the_parts_is_said_at_once(make_folder):
    root, _ = make_folder("images/train", {"cat": 2, "dog": 2})
    make_folder("images/test", {"cat": 1, "eel": 1})
    (root / "fox").mkdir()
    with pytest.raises(DataError) as caught:
        list_folder(root.parent, 0.2)
    texts = [problem.text for problem in caught.value.problems]
    assert len(texts) == 3
    assert "of fox. Add some" in texts[0]
    assert "has the classes eel" in texts[1]
    assert "of dog, fox. Add some" in texts[2]
