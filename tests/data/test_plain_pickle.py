import pickle
from pathlib import Path

import numpy as np
import pytest

from neurosearch.data.plain_pickle import read_plain_pickle

# What Python 2 and numpy 1 wrote for {"data": array([[1, 255]], uint8), "labels": [3]}, as CIFAR's files were made.
BY_PYTHON_2 = (
    b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b\x87"
    b"Rq\x05(K\x01K\x01K\x02\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff"
    b"\xff\xff\xffK\x00tb\x89U\x02\x01\xfftbU\x06labelsq\x08]q\tK\x03au."
)


def test_a_pickle_of_python_2_is_read():
    stored = read_plain_pickle(BY_PYTHON_2)
    assert stored["data"].tolist() == [[1, 255]]
    assert (stored["data"].dtype, stored["labels"]) == (np.uint8, [3])


@pytest.mark.parametrize("protocol", [3, 4])  # with bytes of their own; 5 and later hold buffers in another way
def test_arrays_and_plain_containers_come_back(protocol):
    values = {"data": np.arange(6, dtype=np.uint8).reshape(2, 3), "labels": [0, 1], "names": ("a", "b")}
    stored = read_plain_pickle(pickle.dumps(values, protocol))
    assert stored["data"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert (stored["labels"], stored["names"]) == ([0, 1], ("a", "b"))


class Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_what_a_pickle_would_call_is_named_and_not_called(tmp_path):
    target = tmp_path / "made"
    with pytest.raises(ValueError, match=r"it names (pathlib|posixpath|builtins|posix)[\w.]*, and pickled objects"):
        read_plain_pickle(pickle.dumps(Harmful(target)))
    assert not target.exists()


@pytest.mark.parametrize("content", [b"", b"no pickle", BY_PYTHON_2[:60]])
def test_damaged_bytes_are_refused(content):
    with pytest.raises(ValueError, match="it is no whole pickle"):
        read_plain_pickle(content)
