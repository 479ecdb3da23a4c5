import numpy as np
import pytest

from neurosearch.data.idx import read_idx

ARRAY = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
CONTENT = b"\0\0\x08\x03" + np.array(ARRAY.shape, ">u4").tobytes() + ARRAY.tobytes()


def test_an_array_comes_back():
    assert np.array_equal(read_idx(CONTENT), ARRAY)


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"\0"])
def test_a_length_that_does_not_fit_the_header_is_refused(content):
    with pytest.raises(ValueError, match="its header says"):
        read_idx(content)


@pytest.mark.parametrize("content", [b"", b"\0\0\x0d\x01\0\0\0\0", b"PK\x03\x04"])
def test_other_files_are_refused(content):
    with pytest.raises(ValueError, match="no idx file of unsigned bytes"):
        read_idx(content)


def test_a_file_that_ends_within_its_header_is_refused():
    with pytest.raises(ValueError, match="it ends within its header"):
        read_idx(CONTENT[:10])
