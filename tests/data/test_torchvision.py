import functools
import gzip
import hashlib
import http.server
import io
import pickle
import socket
import tarfile
import threading

import numpy as np
import pytest
import torchvision

from neurosearch.data import torchvision as own
from neurosearch.data.long_tail import Imbalance, class_counts
from neurosearch.data.prepared import prepare
from neurosearch.data.problems import DataError
from neurosearch.data.selection import PrepareSettings
from neurosearch.data.torchvision import TorchvisionSource
from neurosearch.longwork import told_to

RNG = np.random.default_rng(0)
LABELS = np.arange(10).repeat(2)
CIFAR = RNG.integers(0, 256, (20, 3072), dtype=np.uint8)
GREY = RNG.integers(0, 256, (20, 28, 28), dtype=np.uint8)


def md5(content):
    return hashlib.md5(content).hexdigest()


def idx(array):
    return b"\0\0\x08" + bytes([array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


@pytest.fixture
def cifar(monkeypatch):
    """Publishes a tiny CIFAR-10: two training files, one of test images; returns its files and its archive."""
    dataset, folder = torchvision.datasets.CIFAR10, torchvision.datasets.CIFAR10.base_folder
    labels = LABELS.tolist()
    entries = {
        "data_batch_1": {"data": CIFAR[:12], "labels": labels[:12]},
        "data_batch_2": {"data": CIFAR[12:], "labels": labels[12:]},
        "test_batch": {"data": CIFAR[::-1], "labels": labels[::-1]},
        "batches.meta": {"label_names": [f"kind {label}" for label in range(10)]},
    }
    files = {f"{folder}/{name}": pickle.dumps(entry, 4) for name, entry in entries.items()}
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    sums = {name.rpartition("/")[2]: md5(content) for name, content in files.items()}
    monkeypatch.setattr(dataset, "train_list", [[name, sums[name]] for name in ("data_batch_1", "data_batch_2")])
    monkeypatch.setattr(dataset, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(dataset, "meta", {**dataset.meta, "md5": sums["batches.meta"]})
    monkeypatch.setattr(dataset, "tgz_md5", md5(archive.getvalue()))
    return files, {dataset.filename: archive.getvalue()}


@pytest.fixture
def mnist(monkeypatch):
    """Publishes a tiny MNIST; returns its packed files."""
    arrays = (GREY, LABELS.astype(np.uint8), GREY[::-1], LABELS[::-1].astype(np.uint8))
    names = [name for name, _ in torchvision.datasets.MNIST.resources]
    files = {name: gzip.compress(idx(array), mtime=0) for name, array in zip(names, arrays, strict=True)}
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", [(name, md5(files[name])) for name in names])
    return files


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def serve(tmp_path):
    """Serves files on this machine; returns their address."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def put(files):
        write(folder, files)
        return f"http://127.0.0.1:{server.server_port}/"

    yield put
    server.shutdown()
    thread.join()
    server.server_close()


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def everything(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def text_of(name, root, download=False):
    with pytest.raises(DataError) as caught:
        TorchvisionSource(name, root, download).load()
    (problem,) = caught.value.problems
    assert problem.field == "data.path"
    return problem.text


def test_cifar_is_read_from_a_folder_that_torchvision_filled(cifar, tmp_path):
    write(tmp_path, cifar[0])
    raw = TorchvisionSource("CIFAR10", tmp_path, download=False).load()
    expected = torchvision.datasets.CIFAR10(tmp_path)
    assert np.array_equal(raw.x_train, expected.data)
    assert raw.y_train.tolist() == expected.targets
    assert np.array_equal(raw.x_test, raw.x_train[::-1])
    assert (raw.class_names, raw.layout, raw.scale) == (tuple(expected.classes), "HWC", 255.0)


def test_mnist_is_read_from_a_folder_that_torchvision_filled(mnist, tmp_path):
    raw_folder = tmp_path / "MNIST/raw"
    write(raw_folder, {**mnist, **{name[:-3]: gzip.decompress(content) for name, content in mnist.items()}})
    raw = TorchvisionSource("MNIST", tmp_path, download=False).load()
    expected = torchvision.datasets.MNIST(tmp_path)
    assert np.array_equal(raw.x_train, expected.data.numpy())
    assert raw.y_train.tolist() == expected.targets.tolist()
    assert (raw.class_names, raw.layout, raw.scale) == (tuple(expected.classes), "HW", 255.0)


def test_unpacked_files_of_mnist_are_enough_and_known_by_their_times(mnist, tmp_path):
    source = TorchvisionSource("MNIST", tmp_path, download=False)
    before = source.identity()
    write(tmp_path / "MNIST/raw", {name[:-3]: gzip.decompress(content) for name, content in mnist.items()})
    assert np.array_equal(source.load().x_train, GREY)
    assert source.identity() != before


def test_the_same_published_data_are_the_same_wherever_they_lie(cifar, tmp_path):
    write(tmp_path / "a", cifar[0])
    here, there = (TorchvisionSource("CIFAR10", tmp_path / name, download=False).identity() for name in "ab")
    assert here == there != TorchvisionSource("CIFAR100", tmp_path, download=False).identity()


@pytest.mark.parametrize("name", ["CIFAR10", "CIFAR100", "MNIST", "FashionMNIST"])
def test_absent_data_are_refused_with_what_to_write(name, tmp_path):
    text = text_of(name, tmp_path)
    assert "No such file" in text
    assert f"Write `download: true` under data to fetch {name}" in text
    assert everything(tmp_path) == []


def test_a_damaged_file_is_refused_by_its_checksum(cifar, tmp_path):
    write(tmp_path, {**cifar[0], "cifar-10-batches-py/test_batch": b"cut off"})
    assert "test_batch is damaged or another file: its md5 is" in text_of("CIFAR10", tmp_path)


def test_a_cut_off_file_without_a_checksum_is_refused(mnist, tmp_path):
    write(tmp_path / "MNIST/raw", {name[:-3]: gzip.decompress(content)[:-1] for name, content in mnist.items()})
    assert "its header says 20 x 28 x 28" in text_of("MNIST", tmp_path)


def test_cifar_is_downloaded_where_it_is_asked_for(cifar, tmp_path, serve, monkeypatch):
    files, archive = cifar
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", serve(archive) + next(iter(archive)))
    root = tmp_path / "new/root"
    write(root, {"cifar-10-batches-py/test_batch": b"cut off"})
    raw = TorchvisionSource("CIFAR10", root, download=True).load()
    assert len(raw.x_train) == 20
    assert everything(root) == sorted([*files, *archive])
    assert len(torchvision.datasets.CIFAR10(root)) == 20


def test_mnist_is_downloaded_where_it_is_asked_for(mnist, tmp_path, serve, monkeypatch):
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [serve(mnist)])
    heard = []
    with told_to(heard.append):
        raw = TorchvisionSource("MNIST", tmp_path / "root", download=True).load()
    assert np.array_equal(raw.x_test, GREY[::-1])
    last = heard[-1]
    assert (last.what, last.unit, last.done) == ("fetching MNIST", "bytes", sum(map(len, mnist.values())))
    assert len(torchvision.datasets.MNIST(tmp_path / "root")) == 20


def test_what_is_there_is_not_downloaded_again(cifar, tmp_path, monkeypatch):
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", "http://127.0.0.1:9/nobody-answers")
    write(tmp_path, cifar[0])
    assert len(TorchvisionSource("CIFAR10", tmp_path, download=True).load().x_train) == 20


@pytest.mark.parametrize("name", ["CIFAR10", "MNIST"])
def test_a_download_that_breaks_off_is_refused_and_leaves_nothing(name, cifar, mnist, tmp_path, serve, monkeypatch):
    address = serve({file: content[:-50] for file, content in {**cifar[1], **mnist}.items()})
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", address + next(iter(cifar[1])))
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [address])
    text = text_of(name, tmp_path / "root", download=True)
    assert "what arrived does not have the published checksum" in text
    assert "Nothing of it was kept. Check connection and disk and run this again" in text
    assert list((tmp_path / "root").iterdir()) == []


def test_a_server_that_does_not_answer_is_told(cifar, tmp_path, monkeypatch):
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", "http://127.0.0.1:9/nobody-answers")
    assert "Connection refused" in text_of("CIFAR10", tmp_path, download=True)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_falls_silent_is_given_up(cifar, tmp_path, monkeypatch):
    monkeypatch.setattr(own, "_SILENT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes the connection and never answers
        monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", f"http://127.0.0.1:{server.getsockname()[1]}/a")
        assert "timed out" in text_of("CIFAR10", tmp_path, download=True)
    assert (socket.getdefaulttimeout(), list(tmp_path.iterdir())) == (None, [])


def test_a_data_set_is_prepared_as_any_other(mnist, tmp_path):
    write(tmp_path / "MNIST/raw", mnist)
    settings = PrepareSettings(imbalance=None, validation_share=0.5, split_seed=0, resize=(14, 14))
    data = prepare(settings, TorchvisionSource("MNIST", tmp_path, download=False), tmp_path / "prepared")
    assert data.manifest.input_shape == (1, 14, 14)
    assert data.manifest.train_counts == (1,) * 10
    assert np.array_equal(data.raw_test().x, GREY[::-1])


def test_a_ratio_that_leaves_a_class_of_a_data_set_empty_names_it(cifar, tmp_path):
    write(tmp_path, cifar[0])
    settings = PrepareSettings(Imbalance("step", 3), validation_share=0.5, split_seed=0, resize=None)
    with pytest.raises(DataError) as caught:
        prepare(settings, TorchvisionSource("CIFAR10", tmp_path, download=False), tmp_path / "prepared")
    [problem] = caught.value.problems
    assert problem.text.startswith("a ratio of 3 leaves class 5 (kind 5), class 6 (kind 6), class 7 (kind 7), class 8 ")
    assert "class 9 (kind 9) without a training image" in problem.text
    assert "at most 1, which leaves each class 2" in problem.text


def test_a_data_set_is_thinned_out_to_the_published_counts(tmp_path, monkeypatch):
    images = np.random.default_rng(1).integers(0, 256, (1200, 2, 2), np.uint8)
    arrays = (images, np.arange(10).repeat(120).astype(np.uint8)) * 2
    names = [name for name, _ in torchvision.datasets.MNIST.resources]
    files = {name: gzip.compress(idx(array), mtime=0) for name, array in zip(names, arrays, strict=True)}
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", [(name, md5(files[name])) for name in names])
    write(tmp_path / "MNIST/raw", files)
    settings = PrepareSettings(Imbalance("exponential", 20), validation_share=0.2, split_seed=0, resize=None)
    manifest = prepare(settings, TorchvisionSource("MNIST", tmp_path, download=False), tmp_path / "prepared").manifest
    found = tuple(sum(pair) for pair in zip(manifest.train_counts, manifest.validation_counts, strict=True))
    assert found == class_counts(Imbalance("exponential", 20), 120, 10)
