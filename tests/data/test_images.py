import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from neurosearch.data import decoding, writing
from neurosearch.data.arrays import LargeSource
from neurosearch.data.image_folder import list_folder
from neurosearch.data.images import ImageSettings, ImageSource
from neurosearch.data.prepared import open_prepared, prepare
from neurosearch.data.problems import DataError
from neurosearch.data.selection import PrepareSettings, survey_checked

PREPARE = PrepareSettings(None, 0.25, 0, None)


def source(root, resize=None, colour="rgb", broken_share=0.0):
    return ImageSource(lambda: list_folder(root, 0.2), ImageSettings(resize, colour, broken_share))


def break_image(path):
    path.write_bytes(path.read_bytes()[:-40])  # a whole header before missing pixels


def test_pixels_come_as_in_the_files(make_folder):
    root, pixels = make_folder()
    images = source(root)
    raw, listing = images.load(), list_folder(root, 0.2)
    expected = {str(path): value for path, value in pixels.items()}
    assert np.array_equal(raw.x_train, np.stack([expected[path] for path in listing.train.paths]))
    assert np.array_equal(raw.x_test, np.stack([expected[path] for path in listing.test.paths]))
    assert np.array_equal(raw.y_test, listing.test.labels)
    assert (raw.class_names, raw.layout, raw.scale, raw.broken) == (("cat", "dog"), "HWC", 255.0, ())
    assert isinstance(images, LargeSource)


def test_grey_images_have_no_channel_axis(make_folder):
    root, _ = make_folder(mode="L")
    raw = source(root, colour="grey").load()
    assert (raw.x_train.shape, raw.layout) == ((8, 6, 8), "HW")


def test_staged_images_are_mapped_and_equal(make_folder, tmp_path):
    root, _ = make_folder()
    staged, loaded = source(root).stage(tmp_path / "stage"), source(root).load()
    assert isinstance(staged.x_train, np.memmap)
    assert np.array_equal(staged.x_train, loaded.x_train)
    assert np.array_equal(staged.x_test, loaded.x_test)


def test_a_survey_tells_shapes_and_labels_without_pixels(make_folder):
    root, _ = make_folder()
    raw, loaded = survey_checked(PREPARE, source(root)), source(root).load()
    assert (raw.x_train.shape, raw.x_test.shape) == (loaded.x_train.shape, loaded.x_test.shape)
    assert np.array_equal(raw.y_train, loaded.y_train)
    assert raw.x_train.base is not None
    assert raw.x_train.strides == (0, 0, 0, 0)


@pytest.mark.parametrize("method", ["load", "survey"])
def test_mixed_sizes_need_a_size(make_folder, save_image, method):
    root, _ = make_folder()
    save_image(root / "cat" / "9.png", 5, 5)
    with pytest.raises(
        DataError, match=r"2 sizes, such as 6 x 8 \(10 images\), 5 x 5 \(1 images\)\. Set data\.resize"
    ) as caught:
        getattr(source(root), method)()
    assert caught.value.problems[0].field == "data.resize"
    assert getattr(source(root, (4, 4)), method)().x_train.shape == (9, 4, 4, 3)


def test_broken_images_are_named_and_refused(make_folder):
    root, pixels = make_folder()
    broken = list(pixels)[3]
    break_image(broken)
    with pytest.raises(DataError, match="1 of 10 images are broken, a share of 0.1, but 0 is the most") as caught:
        source(root).load()
    assert str(broken) in str(caught.value)
    assert caught.value.problems[0].field == "data.broken_share"


def test_a_broken_header_is_found_by_the_survey(make_folder):
    root, pixels = make_folder()
    list(pixels)[3].write_bytes(b"no image")
    with pytest.raises(DataError, match="1 of 10 images are broken"):
        source(root).survey()
    assert len(source(root, broken_share=0.1).survey().broken) == 1


def test_a_link_that_leads_nowhere_counts_as_broken(make_folder, tmp_path):
    root, _ = make_folder()
    (root / "cat" / "9.png").symlink_to("gone.png")
    for look in (lambda images: images.survey(), lambda images: prepare(PREPARE, images, tmp_path / "data")):
        with pytest.raises(DataError, match=r"1 of 11 images are broken, .*9\.png"):
            look(source(root))
    assert source(root, broken_share=0.1).survey().broken == (str(root / "cat" / "9.png"),)


def test_up_to_the_share_broken_images_are_left_out(make_folder):
    root, pixels = make_folder()
    listing = list_folder(root, 0.2)
    for path in (listing.train.paths[2], listing.test.paths[0]):
        break_image(root / path)
    raw = source(root, broken_share=0.2).load()
    kept = [path for path in listing.train.paths if path != listing.train.paths[2]]
    expected = {str(path): value for path, value in pixels.items()}
    assert np.array_equal(raw.x_train, np.stack([expected[path] for path in kept]))
    assert np.bincount(raw.y_train).tolist() == [3, 4]
    assert len(raw.x_test) == len(raw.y_test) == 1
    assert raw.broken == (listing.train.paths[2], listing.test.paths[0])


def test_images_are_prepared_as_their_pixels_say_and_the_scratch_goes(make_folder, tmp_path):
    root, _ = make_folder()
    prepared = prepare(PREPARE, source(root), tmp_path / "data")
    assert np.array_equal(prepared.raw_test().x, source(root).load().x_test)
    assert sorted(path.suffix for path in (tmp_path / "data").iterdir()) == ["", ".lock"]


def test_images_that_are_left_out_are_told_and_listed(make_folder, tmp_path):
    root, pixels = make_folder()
    break_image(next(iter(pixels)))
    with pytest.warns(UserWarning, match="1 broken images are left out"):
        prepared = prepare(PREPARE, source(root, broken_share=0.1), tmp_path / "data")
    assert (prepared.folder / "broken.txt").read_text() == f"{next(iter(pixels))}\n"


def test_a_killed_preparation_is_gone_on_with(make_folder, tmp_path, monkeypatch):
    root, _ = make_folder()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space left"):
            prepare(PREPARE, source(root), tmp_path / "data")
    assert any(path.name.endswith(".scratch") for path in (tmp_path / "data").iterdir())
    prepared = prepare(PREPARE, source(root), tmp_path / "data")
    assert np.array_equal(prepared.raw_test().x, source(root).load().x_test)


def test_refused_images_leave_nothing_behind(make_folder, tmp_path):
    root, pixels = make_folder()
    break_image(next(iter(pixels)))
    with pytest.raises(DataError, match="broken"):
        prepare(PREPARE, source(root), tmp_path / "data")
    assert [path.suffix for path in (tmp_path / "data").iterdir()] == [".lock"]


def test_the_identity_follows_every_file(make_folder):
    root, pixels = make_folder()
    before = source(root).identity()
    assert source(root).identity() == before
    assert source(root, (4, 4)).identity() != before
    os.utime(next(iter(pixels)), ns=(1, 1))
    assert source(root).identity() != before


def test_large_parts_are_kept_as_stored_and_give_the_same_batches(make_folder, tmp_path, monkeypatch):
    root, _ = make_folder()
    normalised = prepare(PREPARE, source(root), tmp_path / "normalised")
    monkeypatch.setattr(writing, "NORMALISED_BYTES", 6 * 4 * 6 * 8 * 3 - 1)
    stored = prepare(PREPARE, source(root), tmp_path / "stored")
    assert stored.train().x.dtype == np.uint8
    assert not stored.manifest.is_normalised
    assert replace(stored.manifest, is_normalised=True) == normalised.manifest
    assert open_prepared(stored.folder) == stored
    assert normalised.normalise() is None
    for part in ("train", "validation", "test"):
        raw, x = getattr(stored, part)().x, getattr(normalised, part)().x
        assert np.array_equal(stored.normalise()(torch.from_numpy(raw)).numpy(), x)


def test_images_that_the_network_resizes_lie_normalised(make_folder, tmp_path, monkeypatch):
    root, _ = make_folder()
    monkeypatch.setattr(writing, "NORMALISED_BYTES", 0)
    settings = replace(PREPARE, resize=(3, 4))
    assert prepare(settings, source(root), tmp_path / "data").manifest.is_normalised
    assert not prepare(settings, source(root, (3, 4)), tmp_path / "data").manifest.is_normalised


def test_names_that_are_no_text_are_no_hindrance(make_folder, tmp_path):
    root, pixels = make_folder()
    odd = os.fsdecode(os.fsencode(root / "cat") + b"/\xff.png")
    os.rename(next(iter(pixels)), odd)  # noqa: PTH104
    with open(odd, "wb") as file:  # noqa: PTH123
        file.write(b"no image")
    with pytest.warns(UserWarning, match="1 broken images are left out"):
        prepared = prepare(PREPARE, source(root, broken_share=0.1), tmp_path / "data")
    assert (prepared.folder / "broken.txt").read_bytes() == os.fsencode(odd) + b"\n"


KILLED = """
import os, signal, sys
from pathlib import Path
from neurosearch.data import decoding
from neurosearch.data.decoding import decode_into
decoding._BLOCK_BYTES, decoding.num_readers, write = 1, lambda: 1, decoding._Target.write
def die(self, start, pixels, status):
    if start == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, start, pixels, status)
decoding._Target.write = die
decode_into(Path(sys.argv[1]), sys.argv[2:], (6, 8), "rgb")
"""


def test_a_decoding_that_was_killed_is_finished_by_the_next(make_folder, tmp_path, monkeypatch):
    _, pixels = make_folder()
    paths, read, real = [str(path) for path in pixels], [], decoding.read_image
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "out"), *paths], check=False)
    assert done.returncode == -signal.SIGKILL
    monkeypatch.setattr(decoding, "_BLOCK_BYTES", 1)
    monkeypatch.setattr(decoding, "read_image", lambda path, *rest: read.append(path) or real(path, *rest))
    decoded = decoding.decode_into(tmp_path / "out", paths, (6, 8), "rgb")
    assert sorted(read) == paths[5:]
    assert np.array_equal(decoded.pixels, np.stack(list(pixels.values())))
