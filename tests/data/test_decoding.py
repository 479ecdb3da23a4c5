import gc
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from neurosearch.data import decoding
from neurosearch.data.decoding import BrokenImageError, decode_into, read_image, read_sides
from neurosearch.longwork import told_to


def test_an_image_is_read_as_it_is(tmp_path, save_image):
    pixels = save_image(tmp_path / "a.png")
    assert np.array_equal(read_image(str(tmp_path / "a.png"), None, "rgb"), pixels)
    assert read_sides(str(tmp_path / "a.png")) == (6, 8)


def test_decoding_tells_how_many_images_are_done(tmp_path, save_image):
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for path in paths:
        save_image(path)
    heard = []
    with told_to(heard.append):
        decode_into(tmp_path / "into", list(map(str, paths)), (6, 8), "rgb")
    assert (heard[-1].what, heard[-1].done, heard[-1].total) == ("decoding images", 5, 5)


def test_colours_are_converted_before_resizing(tmp_path, save_image):
    save_image(tmp_path / "a.png", 9, 7)
    with Image.open(tmp_path / "a.png") as image:
        expected = np.asarray(image.convert("L").resize((4, 5), Image.Resampling.BILINEAR))
    assert np.array_equal(read_image(str(tmp_path / "a.png"), (5, 4), "grey"), expected)


@given(content=st.binary(max_size=200), cut=st.integers(0, 200))
def test_bytes_that_are_no_image_are_broken_and_nothing_else(tmp_path_factory, content, cut):
    path = tmp_path_factory.mktemp("broken") / "a.png"
    Image.new("RGB", (20, 20), (1, 2, 3)).save(path)
    path.write_bytes(path.read_bytes()[: cut % 60] + content)
    with pytest.raises(BrokenImageError):
        read_image(str(path), None, "rgb")


def test_sixteen_bits_a_channel_are_refused_not_cut_off(tmp_path):
    Image.fromarray(np.full((4, 4), 60_000, np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(BrokenImageError, match="more than 8 bits"):
        read_image(str(tmp_path / "a.png"), None, "grey")


def test_a_file_that_is_gone_is_no_broken_image(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_image(str(tmp_path / "a.png"), None, "rgb")


@pytest.mark.parametrize("target", ["gone.png", "a.png", "file/gone.png"])
def test_a_link_that_leads_nowhere_is_a_broken_image(tmp_path, target):
    (tmp_path / "file").write_text("")
    (tmp_path / "a.png").symlink_to(target)
    for read in (lambda path: read_image(path, None, "rgb"), read_sides):
        with pytest.raises(BrokenImageError, match="it is a link that leads nowhere"):
            read(str(tmp_path / "a.png"))


@pytest.fixture
def paths(tmp_path, save_image):
    made = [tmp_path / f"{number}.png" for number in range(9)]
    for number, path in enumerate(made):
        save_image(path, seed=number)
    made[4].write_bytes(made[4].read_bytes()[:-40])
    return [str(path) for path in made]


@pytest.mark.parametrize("block_bytes", [1, 400, 1 << 23])
def test_all_images_land_in_one_file_and_the_broken_are_told(tmp_path, paths, monkeypatch, block_bytes):
    monkeypatch.setattr(decoding, "_BLOCK_BYTES", block_bytes)
    decoded = decode_into(tmp_path / "out", paths, (6, 8), "rgb")
    assert decoded.broken.tolist() == [4]
    assert decoded.pixels.shape == (9, 6, 8, 3)
    for number in set(range(9)) - {4}:
        assert np.array_equal(decoded.pixels[number], read_image(paths[number], None, "rgb"))
    assert not decoded.pixels[4].any()


def test_what_was_interrupted_is_gone_on_with(tmp_path, paths, monkeypatch):
    monkeypatch.setattr(decoding, "_BLOCK_BYTES", 1)
    monkeypatch.setattr(decoding, "num_readers", lambda: 1)
    whole = decode_into(tmp_path / "whole", paths, (6, 8), "rgb")
    read, real = [], decoding.read_image

    def read_or_fail(path, sides, colour):
        if path == paths[6] and len(read) == 6:
            raise OSError(28, "No space left on device")
        read.append(path)
        return real(path, sides, colour)

    monkeypatch.setattr(decoding, "read_image", read_or_fail)
    with pytest.raises(OSError, match="No space left"):
        decode_into(tmp_path / "out", paths, (6, 8), "rgb")
    read.append("a second start")
    again = decode_into(tmp_path / "out", paths, (6, 8), "rgb")
    assert read[:6] == paths[:6]
    assert not set(read[7:]) & set(paths[:6])
    assert np.array_equal(again.pixels, whole.pixels)
    assert again.broken.tolist() == [4]


def test_a_write_that_takes_a_part_alone_is_finished(tmp_path, paths, monkeypatch):
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, content, position: real(file, content[:50], position))
    decoded = decode_into(tmp_path / "out", paths[:4], (6, 8), "rgb")
    assert np.array_equal(decoded.pixels[3], read_image(paths[3], None, "rgb"))


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # Pillow leaves a file open whose first bytes cannot be read
def test_an_image_that_the_system_cannot_read_is_named(tmp_path):
    link = tmp_path / "a.png"
    link.symlink_to("/proc/self/mem")  # opens, and fails when it is read
    for read in (read_sides, lambda path: read_image(path, None, "rgb")):
        with pytest.raises(OSError, match=r"a\.png"):
            read(str(link))
        gc.collect()
