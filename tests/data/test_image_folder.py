from pathlib import Path

import numpy as np
import pytest

from neurosearch.data.folder_parts import images_below
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
    for name in ("notes.txt", "a.HEIC", "b.heic", "README", ".DS_Store"):
        (root / "cat" / name).write_text("")
    (root / ".cache").mkdir()
    listing = list_folder(root, 0.5)
    assert len(listing.paths) == 5
    [note] = listing.notes
    words = "files that are no images by their names are not used: "
    assert note.startswith(f"{words}2 .heic, ")
    assert sorted(note.removeprefix(words).rstrip(".").split(", ")) == ["1 .txt", "1 without ending", "2 .heic"]


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


def classes_in(tmp_path, make_folder, *folders, images=2):
    """Makes folders with images, each as parts of a path; returns what they lie in."""
    for folder in folders:
        make_folder(f"images/{folder}".rpartition("/")[0], {folder.rpartition("/")[2]: images})
    return tmp_path / "images"


@pytest.mark.parametrize(("train", "test"), [("Training", "Testing"), ("TRAIN", "test"), ("training", "Test")])
def test_parts_are_told_by_their_names_whatever_the_case(tmp_path, make_folder, train, test):
    root = classes_in(tmp_path, make_folder, *(f"{part}/{kind}" for part in (train, test) for kind in ("cat", "dog")))
    listing = list_folder(root, 0.2)
    assert listing.class_names == ("cat", "dog")
    assert names(listing.test, root)[0] == f"{test}/cat/000.png"
    assert listing.notes == (f"in {root} {train} is taken as the training part, {test} as the test part.",)


@pytest.mark.parametrize("folders", [("bus", "car", "train"), ("valid", "invalid"), ("test", "control", "Training")])
def test_classes_may_be_called_as_parts_where_their_images_lie_in_them(tmp_path, make_folder, folders):
    listing = list_folder(classes_in(tmp_path, make_folder, *folders), 0.5)
    assert listing.class_names == tuple(sorted(folders))
    assert listing.notes == ()


def test_a_validation_part_is_not_used_and_that_is_said(tmp_path, make_folder):
    root = classes_in(tmp_path, make_folder, "train/cat", "train/dog", "val/cat", "val/dog")
    listing = list_folder(root, 0.5)
    assert not any("/val/" in path for path in listing.paths)
    [note] = listing.notes
    assert note.startswith(f"{root / 'val'} is not used: what validates is held out of train (data.validation_share)")
    assert "To test on val, name it test;" in note
    classes_in(tmp_path, make_folder, "test/cat", "test/dog")
    [note] = list_folder(root, 0.5).notes
    assert note.endswith("(data.validation_share). Move its images there to use them, too.")


def test_what_lies_beside_two_parts_is_not_used_and_that_is_said(tmp_path, make_folder):
    root = classes_in(tmp_path, make_folder, "train/cat", "train/dog", "test/cat", "test/dog", "unlabelled/deep")
    (root / "annotations").mkdir()
    (root / "annotations" / "cat.xml").write_text("")
    assert list_folder(root, 0.5).notes == (
        f"in {root} these are no parts by their names, and are not used: unlabelled.",
    )


@pytest.mark.parametrize(
    ("folders", "text"),
    [
        (
            ("bus", "car", "train/steam"),
            "beside bus, car with images. If all are classes, put them into a",
        ),
        (("cat", "dog", "test/cat"), "has test, by name and content a part, beside cat, dog. If these are the classes"),
        (("val/cat", "test/cat"), "has test, val and no part to train on. Name the folder of that part train."),
        (("train/cat", "Training/cat"), "has Training and train, which are one part by their names. Keep one"),
        (("train/cat", "test/cat", "Testing/cat"), "has Testing and test, which are one part by their names"),
        (
            ("cat/train", "cat/test", "dog/train"),
            "cat has test, train, which are parts .* to .*images/test/cat",
        ),
        (("train", "test"), "has test, train, which are parts by their names, but they hold images where folders"),
        (
            ("images/cat", "images/dog"),
            "has one folder, and so one class. Did you mean .*images/images, which has",
        ),
    ],
)
def test_what_is_ambiguous_is_refused_with_what_to_do(tmp_path, make_folder, folders, text):
    with pytest.raises(DataError, match=text):
        list_folder(classes_in(tmp_path, make_folder, *folders), 0.5)


def test_a_test_part_without_classes_is_refused(tmp_path, make_folder):
    root = classes_in(tmp_path, make_folder, "train/cat", "train/dog", "test")
    with pytest.raises(DataError, match="test holds images where folders .* or move it away, and data.test_share"):
        list_folder(root, 0.5)


def test_images_beside_the_classes_are_not_used_and_that_is_said(make_folder, save_image):
    root, _ = make_folder(counts={"cat": 2, "dog": 2})
    for name in ("b.png", ".hidden.png", "a.png"):
        save_image(root / name)
    listing = list_folder(root, 0.5)
    assert len(listing.paths) == 4
    assert listing.notes == (f"images right in {root} are in no class's folder, and are not used: a.png, b.png.",)


def test_what_links_lead_back_to_is_read_once(tmp_path, make_folder):
    root, pixels = make_folder(counts={"cat": 4, "dog": 4})
    extra, _ = make_folder("elsewhere", {"more": 2})
    links = {"cat/latest": ".", "cat/up": "..", "cat/other": "../dog", "dog/more": extra / "more", "dog/.old": "../cat"}
    for name, target in links.items():
        (root / name).symlink_to(target)
    (root / "loop").symlink_to("loop")
    listing = list_folder(root, 0.5)
    assert sorted(names(listing.train, root) + names(listing.test, root)) == sorted(
        [*(str(path.relative_to(root)) for path in pixels), "dog/more/000.png", "dog/more/001.png"]
    )
    [note] = listing.notes
    passed_over = ", ".join(str(root / "cat" / name) for name in ("latest", "other", "up"))
    assert note == f"links to folders that are read elsewhere are passed over: {passed_over}."


def test_one_folder_under_two_names_is_refused(tmp_path, make_folder):
    root = classes_in(tmp_path, make_folder, "train/cat", "train/dog", "test/cat")
    (root / "test" / "dog").symlink_to("../train/dog")
    with pytest.raises(DataError, match="test/dog is a link to .*train/dog, so its images would count twice"):
        list_folder(root, 0.5)


def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DataError, match="gone cannot be read: No such file"):
        list(images_below(tmp_path / "gone", lambda _: True))


@pytest.mark.parametrize("other", ["test", "val"])
def test_an_image_right_in_the_training_part_is_named(tmp_path, make_folder, save_image, other):
    root = classes_in(tmp_path, make_folder, "train/cat", "train/dog", f"{other}/cat", f"{other}/dog")
    save_image(root / "train" / "sheet.png")
    with pytest.raises(
        DataError, match=r"images/train is the training part by its name, but holds .*: sheet.png. Move"
    ):
        list_folder(root, 0.5)
