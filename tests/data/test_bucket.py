import numpy as np
import pytest

from neurosearch.data.bucket import BucketImages, FetchedSource
from neurosearch.data.npz import NpzSource
from neurosearch.data.problems import DataError
from neurosearch.data.s3 import S3Settings


def test_a_name_means_the_same_with_and_without_the_folder_before_it(tmp_path):
    images = BucketImages(S3Settings(None, None, False, None, 1, 1), tmp_path, "photos", "web")
    assert images.place("./cat/a.png") == images.place("cat/a.png") == "s3://photos/web/cat/a.png"


def test_what_is_told_of_a_fetched_file_names_the_object(tmp_path):
    x, y = np.zeros((4, 2), np.float32), np.array([0, 1, 0, 1])
    path, address = tmp_path / "0123", "s3://photos/mine.npz"
    source = FetchedSource(address, lambda: path, lambda each: NpzSource(each, "auto", None))
    with path.open("wb") as file:
        np.savez(file, x_train=x, y_train=y, x_test=x, y_test=y, x_val=x)
    [note] = source.load().notes
    assert note.startswith(f"in {address} x_val are not used")
    with path.open("wb") as file:
        np.savez(file, x_train=x)
    with pytest.raises(DataError, match=f"{address} lacks y_train"):
        source.load()
