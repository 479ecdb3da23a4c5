from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurosearch.data import image_list
from neurosearch.data.image_list import ListFile
from neurosearch.data.listing import DiskImages
from neurosearch.data.problems import DataError


@pytest.fixture
def root(tmp_path):
    for name in "abcdef":
        (tmp_path / f"{name}.png").write_bytes(b"")
    return tmp_path


def read_lists(root, train, test, *rest):
    lists = [each and ListFile(str(each), lambda path=each: path) for each in (train, test)]
    return image_list.read_lists(DiskImages(root), *lists, *rest)


def write(root, name, *lines):
    (root / name).write_text("\n".join(lines) + "\n")
    return root / name


def test_lists_are_read_as_published(root):
    (root / "a cat").mkdir()
    (root / "a cat" / "it self.png").write_bytes(b"")
    train = write(root, "train.txt", "a.png 0", "b.png\t1", "", "a cat/it self.png 2", "c.png 1 ")
    test = write(root, "test.txt", "d.png 0", "e.png 1", "f.png 2")
    listing = read_lists(root, train, test, None, 0.2)
    assert [str(Path(path).relative_to(root)) for path in listing.train.paths] == [
        "a.png",
        "b.png",
        "a cat/it self.png",
        "c.png",
    ]
    assert listing.train.labels.tolist() == [0, 1, 2, 1]
    assert listing.test.labels.tolist() == [0, 1, 2]
    assert listing.class_names == ("0", "1", "2")


def test_a_list_of_another_kind_is_told_by_its_first_line(root):
    train = write(root, "train.csv", *(f"{number}.png,{number % 2}" for number in range(1000)))
    with pytest.raises(DataError) as caught:
        read_lists(root, train, None, 2, 0.2)
    [(field, text)] = caught.value.problems
    assert field == "data.train_list"
    assert text.startswith(f'none of the 1,000 lines can be read. {train}:1: "0.png,0" has no label. Every line says')


def test_lines_are_counted_as_editors_count_them(root):
    name = "form\x0cfeed and\u2028separator.png"
    (root / name).write_bytes(b"")
    (root / "train.txt").write_bytes(f"a.png 0\r\n{name} 1\r\nb.png x\r\nc.png 1".encode())
    with pytest.raises(DataError, match=r'^data.train_list: 1 wrong lines:\n.*train.txt:3: the label "x" is no whole'):
        read_lists(root, root / "train.txt", None, 2, 0.2)
    (root / "train.txt").write_text(f"a.png 0\n{name} 1\n")
    assert read_lists(root, root / "train.txt", None, 2, 0.2).paths == (str(root / "a.png"), str(root / name))


def test_without_a_test_list_a_share_is_held_out(root):
    listing = read_lists(root, write(root, "train.txt", *(f"{name}.png 0" for name in "abcd"), "e.png 1"), None, 2, 0.5)
    assert (len(listing.train.paths), len(listing.test.paths)) == (3, 2)


def test_every_wrong_line_is_named_with_file_and_line(root):
    train = write(
        root, "train.txt", "a.png 0", "b.png", "c.png one", "d.png 7", "a.png 1", "gone.png 1", "e.png -1", "f.png 1.0"
    )
    test = write(root, "test.txt", "a.png 1", "b.png 2")
    with pytest.raises(DataError) as caught:
        read_lists(root, train, test, 2, 0.2)
    first, second = caught.value.problems
    assert (first.field, second.field) == ("data.train_list", "data.test_list")
    assert first.text.splitlines()[:-1] == [
        "7 wrong lines:",
        f'{train}:2: "b.png" has no label',
        f'{train}:3: the label "one" is no whole number',
        f"{train}:4: the label 7 is outside 0..1",
        f"{train}:5: a.png stands already in {train}:1",
        f"{train}:6: there is no file {root / 'gone.png'}",
        f"{train}:7: the label -1 is outside 0..1",
        f'{train}:8: the label "1.0" is no whole number',
    ]
    assert f"{test}:1: a.png stands already in {train}:1" in second.text
    assert f"{test}:2: the label 2 is outside 0..1" in second.text


def test_a_list_that_an_editor_saved_with_a_mark_is_read(root):
    (root / "train.txt").write_text("a.png 0\nb.png 1\n", encoding="utf-8-sig")
    test = write(root, "test.txt", "c.png 0", "d.png 1")
    assert len(read_lists(root, root / "train.txt", test, None, 0.2).train.paths) == 2


@pytest.mark.parametrize("name", ["./a.png", "x/../a.png", ".//a.png"])
def test_one_image_written_in_two_ways_is_one_image(root, name):
    train, test = write(root, "train.txt", "a.png 0", "b.png 1"), write(root, "test.txt", f"{name} 0", "c.png 1")
    with pytest.raises(
        DataError, match=rf"test.txt:1: {name} (stands already in .*train.txt:1|is no path below the folder)"
    ):
        read_lists(root, train, test, None, 0.2)


@pytest.mark.parametrize("name", ["../secret.png", "a/../../secret.png", "/etc/secret.png"])
def test_a_line_does_not_lead_out_of_the_folder(root, name):
    train = write(root, "train.txt", "a.png 0", f"{name} 1")
    with pytest.raises(DataError, match=rf"train.txt:2: {name} is no path below the folder of the images"):
        read_lists(root, train, None, 2, 0.2)


def test_a_test_label_that_no_training_image_has_is_out_of_range(root):
    with pytest.raises(DataError, match=r"test.txt:1: the label 2 is outside 0\.\.1"):
        read_lists(root, write(root, "train.txt", "a.png 0", "b.png 1"), write(root, "test.txt", "c.png 2"), None, 0.2)


def test_one_wrong_label_does_not_make_a_million_classes(root):
    train = write(root, "train.txt", "a.png 0", "b.png 5000000", "c.png 1")
    with pytest.raises(DataError) as caught:
        read_lists(root, train, None, None, 0.2)
    [problem] = caught.value.problems
    assert problem.field == "data.train_list"
    assert problem.text.startswith(f"{train}:2: the label 5000000 is the largest, but of the 5,000,001 classes")
    assert "only 3 have an image: 0, 1, 5000000. Mend that label" in problem.text


@pytest.mark.parametrize(
    ("content", "text"),
    [(None, "cannot be read: No such file"), (b"\xff\xfe\x00", "it is no text"), (b"\n", "names no image")],
)
def test_what_is_no_list_is_refused(root, content, text):
    if content is not None:
        (root / "train.txt").write_bytes(content)
    with pytest.raises(DataError, match=text):
        read_lists(root, root / "train.txt", None, None, 0.2)


def test_a_folder_that_is_wrong_is_one_problem(root):
    train = write(root, "train.txt", "a.png 0", "b.png 1")
    (root / "elsewhere").mkdir()
    for folder, text in (
        ("gone", "gone is no folder"),
        ("elsewhere", f"none of the 2 files that {train} names is there"),
    ):
        with pytest.raises(DataError) as caught:
            read_lists(root / folder, train, None, None, 0.2)
        [problem] = caught.value.problems
        assert problem.field == "data.path"
        assert text in problem.text


@given(text=st.text())
def test_any_text_is_read_or_refused_with_a_word(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("lists") / "train.txt"
    path.write_text(text, encoding="utf-8", errors="replace")
    with pytest.raises(DataError):  # no line names a file that is there
        read_lists(path.parent, path, None, None, 0.2)
