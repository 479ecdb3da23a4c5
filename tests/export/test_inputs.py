from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from neurosearch.data.listing import SUFFIXES
from neurosearch.export.card import make_card
from neurosearch.export.errors import PredictError
from neurosearch.export.inputs import check_raw, is_images, open_images, open_npz, rows_at_once


@pytest.fixture
def cards(cases):
    return {name: make_card(data.manifest, model, None) for name, (data, _, model) in cases.items()}


def save_images(folder, images):
    for name, image in images.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / name)
    return folder


def unknown_compression():
    np.savez(file := BytesIO(), x=np.zeros((2, 7)))
    content = bytearray(file.getvalue())
    content[content.index(b"PK\x01\x02") + 10] = 9  # Deflate64, as some systems pack what is large
    return bytes(content)


def lone_array():
    np.save(file := BytesIO(), np.zeros(3))
    return file.getvalue()


def damaged_archive():
    np.savez_compressed(file := BytesIO(), x=np.zeros((2, 7)))
    content = bytearray(file.getvalue())
    content[30 + sum(int.from_bytes(content[at : at + 2], "little") for at in (26, 28))] = 255  # the first of the data
    return bytes(content)


PIXELS = np.random.default_rng(0).integers(0, 256, (9, 8, 3), dtype=np.uint8)


def test_images_come_in_the_order_of_their_paths_whatever_their_folder(cards, tmp_path):
    save_images(tmp_path, {"b.png": PIXELS, "a/c.png": PIXELS // 2, "d.PNG": PIXELS // 4})
    (tmp_path / "notes.txt").write_text("no image")
    for hidden in ("._b.png", "a/._c.png", ".trash/e.png"):
        (tmp_path / hidden).parent.mkdir(exist_ok=True)
        (tmp_path / hidden).write_bytes(b"a system's own")
    examples = open_images(tmp_path, cards["cnn-HWC-resized"], False)
    assert examples.names == ("a/c.png", "b.png", "d.PNG")
    first, second = examples.batches(2)
    assert np.array_equal(first, np.stack([PIXELS // 2, PIXELS]))
    assert np.array_equal(second, (PIXELS // 4)[None])


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_what_is_trained_on_is_predicted_on(cards, tmp_path, suffix):
    save_images(tmp_path, {f"a{suffix}": PIXELS})
    assert open_images(tmp_path, cards["cnn-HWC-resized"], False).names == (f"a{suffix}",)


def test_one_image_is_read_alone_under_its_name(cards, tmp_path):
    save_images(tmp_path, {"a.png": PIXELS, "._b.PNG": PIXELS // 2, "c.txt.png": PIXELS})
    for name, pixels in {"a.png": PIXELS, "._b.PNG": PIXELS // 2}.items():  # a hidden one that is named is meant
        examples = open_images(tmp_path / name, cards["cnn-HWC-resized"], False)
        assert examples.names == (name,)
        assert np.array_equal(np.concatenate(list(examples.batches(4))), pixels[None])
    with pytest.raises(PredictError, match=r"c\.txt\.png: 1 of 1 images do not have the height and width 8 x 8"):
        open_images(tmp_path / "c.txt.png", cards["cnn-CHW"], False)


def test_what_is_no_image_is_not_read_as_one(tmp_path):
    for name in ("a.npz", "b.txt"):
        (tmp_path / name).touch()
    (tmp_path / "c.png").mkdir()
    found = [is_images(tmp_path / name) for name in (".", "c.png", "a.npz", "b.txt", "absent.png")]
    assert found == [True, True, False, False, False]


def test_images_are_brought_to_the_networks_layout(cards, tmp_path):
    square = PIXELS[:8]
    save_images(tmp_path, {"a.png": square})
    [colour] = open_images(tmp_path, cards["cnn-CHW"], False).batches(4)
    assert np.array_equal(colour[0], square.transpose(2, 0, 1))
    [grey] = open_images(tmp_path, cards["cnn-HW"], False).batches(4)
    assert np.array_equal(grey[0], np.asarray(Image.fromarray(square).convert("L")))


def test_images_of_another_size_are_refused_by_name_unless_resizing_is_on(cards, tmp_path):
    save_images(tmp_path, {f"{n}.png": PIXELS[:, : n + 1] for n in range(8)})
    with pytest.raises(PredictError, match=r"7 of 8 images do not have the height and width 9 x 8") as caught:
        open_images(tmp_path, cards["cnn-HWC-resized"], False)
    assert "0.png (9 x 1)" in str(caught.value)
    assert "and 2 more" in str(caught.value)
    [batch] = open_images(tmp_path, cards["cnn-HWC-resized"], True).batches(8)
    assert batch.shape == (8, 9, 8, 3)
    assert np.array_equal(batch[7], PIXELS)


def test_broken_and_deep_images_are_named_together(cards, tmp_path):
    save_images(tmp_path, {"good.png": PIXELS, "deep.png": np.zeros((9, 8), np.uint16)})
    (tmp_path / "broken.png").write_bytes(b"broken")
    (tmp_path / "cut.ppm").write_bytes(b"P6 8 8")
    with pytest.raises(PredictError) as caught:
        open_images(tmp_path, cards["cnn-HWC-resized"], False)
    assert "2 of 4 images cannot be read: broken.png, cut.ppm." in str(caught.value)
    assert "1 of 4 images have more than 8 bits a channel: deep.png." in str(caught.value)


def test_images_behind_links_are_read_once_and_under_their_own_names(cards, tmp_path):
    inside, outside = save_images(tmp_path / "in", {"a.png": PIXELS, "z/b.png": PIXELS}), tmp_path / "out"
    save_images(outside, {"c.png": PIXELS})
    links = {"in/d": outside, "in/e": inside / "z", "out/f": inside, "in/g.png": outside / "c.png"}
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    examples = open_images(inside, cards["cnn-HWC-resized"], False)
    assert examples.names == ("a.png", "d/c.png", "g.png", "z/b.png")
    (inside / "h.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(PredictError, match=r"1 of 5 images cannot be read: h\.png"):
        open_images(inside, cards["cnn-HWC-resized"], False)


def test_images_do_not_have_the_channels_of_every_network(cards, tmp_path):
    card = replace(cards["cnn-HWC-resized"], raw_shape=(9, 8, 2))
    with pytest.raises(PredictError, match="reads images of 2 channels, which an image file does not have"):
        open_images(save_images(tmp_path, {"a.png": PIXELS}), card, False)


def test_of_large_examples_fewer_go_through_a_network_together(cards):
    card = cards["cnn-HWC-resized"]
    shapes = [((9, 8, 3), (3, 6, 12)), ((224, 224, 3), (3, 224, 224)), ((4000, 6000, 3), (3, 64, 64))]
    assert [rows_at_once(replace(card, raw_shape=raw, input_shape=read)) for raw, read in shapes] == [256, 27, 1]


def test_an_image_cut_off_is_named(cards, tmp_path):
    save_images(tmp_path, {"a.png": PIXELS})
    path = tmp_path / "a.png"
    path.write_bytes(path.read_bytes()[:-80])
    with pytest.raises(PredictError, match=r"a\.png is damaged"):
        list(open_images(tmp_path, cards["cnn-HWC-resized"], False).batches(1))


def test_a_network_of_features_reads_no_images(cards, tmp_path):
    with pytest.raises(PredictError, match="rows of features"):
        open_images(tmp_path, cards["mlp-features"], False)


def test_a_folder_without_images_is_refused(cards, tmp_path):
    with pytest.raises(PredictError, match="holds no image"):
        open_images(tmp_path, cards["cnn-HW"], False)


def test_rows_of_an_npz_are_numbered(cards, tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(21.0).reshape(3, 7))
    examples = open_npz(tmp_path / "a.npz", cards["mlp-features"], False)
    assert examples.names == ("0", "1", "2")
    assert [(len(batch), batch.dtype) for batch in examples.batches(2)] == [(2, np.float32), (1, np.float32)]


def test_a_value_beyond_float32_is_refused_without_a_warning(cards, tmp_path):
    np.savez(tmp_path / "a.npz", x=np.full((1, 7), 1e300))
    [batch] = open_npz(tmp_path / "a.npz", cards["mlp-features"], False).batches(1)
    with pytest.raises(PredictError, match="not finite"):
        check_raw(batch, cards["mlp-features"], tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, r"a\.npz cannot be read: No such file or directory\. Give"),
        (lambda path: path.write_bytes(b"broken"), "cannot be read: it is not an archive written by numpy.savez"),
        (lambda path: np.savez(path, y=1), "lacks x and holds y"),
        (lambda path: np.savez(path, x=np.zeros((0, 7))), "no example"),
        (lambda path: np.savez(path, x=np.float32(1)), "no example"),
        (lambda path: np.savez(path, x=np.array([{}], dtype=object)), "cannot be read"),
        (lambda path: path.write_bytes(lone_array()), "a lone array"),
        (lambda path: path.write_bytes(unknown_compression()), "cannot be read: .*compression method"),
        (lambda path: path.write_bytes(damaged_archive()), "cannot be read: .*invalid block type"),
    ],
)
def test_an_npz_that_cannot_be_used_is_refused(write, message, cards, tmp_path):
    write(tmp_path / "a.npz")
    with pytest.raises(PredictError, match=message):
        open_npz(tmp_path / "a.npz", cards["mlp-features"], False)


@pytest.mark.parametrize(
    ("name", "batch", "message"),
    [
        ("cnn-CHW", np.zeros((2, 8, 8, 3), np.uint8), r"transpose\(0, 3, 1, 2\)"),
        ("cnn-HWC-resized", np.zeros((2, 3, 9, 8), np.uint8), r"transpose\(0, 2, 3, 1\)"),
        ("mlp-features", np.zeros((2, 7, 1), np.float32), r"reshape\(-1, 7\)"),
        ("cnn-HW", np.zeros((2, 9, 9), np.uint8), "Bring the images to this size"),
        ("cnn-HW", np.zeros((2, 8, 8), np.float32), r"holds float32, but the network reads uint8"),
        ("mlp-features", np.zeros((2, 8), np.float32), "in their order"),
        ("mlp-features", np.full((2, 7), np.nan, np.float32), "not finite"),
    ],
)
def test_examples_that_do_not_fit_are_refused_with_a_remedy(name, batch, message, cards, tmp_path):
    with pytest.raises(PredictError, match=message):
        check_raw(batch, cards[name], tmp_path / "a.npz")
