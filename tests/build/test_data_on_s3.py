import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neurosearch.build.data import build_image_list, build_npz
from neurosearch.config.data import ImageListFields, NpzFields
from neurosearch.data.prepared import prepare
from neurosearch.data.problems import DataError, ServerAway
from neurosearch.data.s3 import S3Settings, S3Store
from neurosearch.data.selection import PrepareSettings, survey_checked
from tests.s3 import Server, make_certificate

pytestmark = pytest.mark.servers

PREPARE = PrepareSettings(None, 0.25, 0, None)


@pytest.fixture
def photos(bucket: Path) -> Path:
    """A folder of the bucket with ten images of two classes and their lists; another object's key begins alike."""
    (bucket / "photos-2").write_bytes(b"")
    for number in range(20):
        path = bucket / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)).save(path)
    for name, numbers in (("train.txt", range(14)), ("test.txt", range(14, 20))):
        lines = [f"{'ab'[number % 2]}/{number}.png {number % 2}\n" for number in numbers]
        (bucket / "photos" / name).write_text("".join(lines))
    return bucket / "photos"


def fields(photos: Path, endpoint: str, cache: Path, **changes) -> ImageListFields:
    root = f"s3://{photos.parent.name}/photos"
    s3 = {"endpoint": endpoint, "path_style": True, "cache_folder": str(cache), "tries": 2}
    data = {"path": root, "train_list": f"{root}/train.txt", "test_list": f"{root}/test.txt", "s3": s3}
    return ImageListFields.model_validate({**data, **changes})


def on_disk(photos: Path) -> ImageListFields:
    lists = {"train_list": str(photos / "train.txt"), "test_list": str(photos / "test.txt")}
    return ImageListFields(path=str(photos), **lists)


def test_images_on_s3_are_those_on_a_disk(s3, photos: Path, tmp_path: Path) -> None:
    there = prepare(PREPARE, build_image_list(on_disk(photos)), tmp_path / "there")
    source = build_image_list(fields(photos, s3.endpoint, tmp_path / "cache"))
    here = prepare(PREPARE, source, tmp_path / "here")
    assert here.manifest.data_hash == there.manifest.data_hash
    assert np.array_equal(here.train().x, there.train().x)


def test_a_survey_fetches_lists_alone_where_the_size_is_known(s3, photos: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    raw = survey_checked(PREPARE, build_image_list(fields(photos, s3.endpoint, cache, resize=(6, 8))))
    assert (raw.x_train.shape, raw.x_test.shape) == ((14, 6, 8, 3), (6, 6, 8, 3))
    assert len([path for path in cache.rglob("*") if path.is_file()]) == 2
    assert build_image_list(fields(photos, s3.endpoint, cache)).survey().x_train.shape == (14, 6, 8, 3)
    assert len([path for path in cache.rglob("*") if path.is_file()]) == 22


def test_a_changed_image_makes_another_data_set(s3, photos: Path, tmp_path: Path) -> None:
    wanted = fields(photos, s3.endpoint, tmp_path)
    before = build_image_list(wanted).identity()
    assert build_image_list(wanted).identity() == before
    shutil.copy(photos / "a/0.png", photos / "a/2.png")
    assert build_image_list(wanted).identity() != before


def test_images_on_s3_may_have_their_lists_on_the_disk(s3, photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text("".join(f"{'ab'[number % 2]}/{number}.png {number % 2}\n" for number in range(14)))
    wanted = fields(photos, s3.endpoint, tmp_path / "cache", train_list=str(path))
    assert build_image_list(wanted).load().x_train.shape == (14, 6, 8, 3)


def refused(wanted: ImageListFields) -> tuple[str, str]:
    with pytest.raises(DataError) as caught:
        build_image_list(wanted).load()
    assert len(caught.value.problems) == 1
    assert "tiger" not in str(caught.value)
    return caught.value.problems[0]


def test_missing_images_are_named_with_their_lines(s3, photos: Path, tmp_path: Path) -> None:
    (photos / "a/2.png").unlink()
    (photos / "a/16.png").unlink()
    (photos / "b/3.png").unlink()
    with pytest.raises(DataError) as caught:
        build_image_list(fields(photos, s3.endpoint, tmp_path)).load()
    root = f"s3://{photos.parent.name}/photos"
    train, test = caught.value.problems
    assert train.field == "data.train_list"
    assert f"{root}/train.txt:3: there is no file {root}/a/2.png" in train.text.splitlines()
    assert f"{root}/train.txt:4: there is no file {root}/b/3.png" in train.text.splitlines()
    assert f"{root}/test.txt:3: there is no file {root}/a/16.png" in test.text.splitlines()


def test_a_broken_image_is_named_by_its_address(s3, photos: Path, tmp_path: Path) -> None:
    (photos / "a/2.png").write_bytes(b"no image")
    field, text = refused(fields(photos, s3.endpoint, tmp_path, resize=(6, 8)))
    assert field == "data.broken_share"
    assert f"s3://{photos.parent.name}/photos/a/2.png" in text


def test_a_missing_bucket_list_or_prefix_is_named(s3, photos: Path, tmp_path: Path) -> None:
    field, text = refused(fields(photos, s3.endpoint, tmp_path, path="s3://no-such-bucket/photos"))
    assert (field, text.startswith("there is no bucket no-such-bucket.")) == ("data.path", True)
    field, text = refused(fields(photos, s3.endpoint, tmp_path, path=f"s3://{photos.parent.name}/none"))
    assert (field, "no object's address begins with s3://" in text) == ("data.path", True)
    absent = f"s3://{photos.parent.name}/photos/absent.txt"
    field, text = refused(fields(photos, s3.endpoint, tmp_path, train_list=absent))
    assert (field, text.startswith(f"there is no object {absent}.")) == ("data.train_list", True)


def test_wrong_and_missing_keys_are_told_with_their_remedy(s3, photos: Path, tmp_path: Path, monkeypatch) -> None:
    remedy = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, in the environment of every node"
    wanted = fields(photos, s3.endpoint, tmp_path)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-tiger")
    field, text = refused(wanted)
    assert (field, remedy in text) == ("data.path", True)
    assert text.startswith("the secret key does not fit the access key")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    assert "does not know the access key" in refused(wanted)[1]
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    _, text = refused(wanted)
    assert text.startswith("there are no credentials for s3://")
    assert remedy in text


def test_a_server_that_is_not_there_is_told_by_its_address(s3, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ServerAway) as away:
        build_image_list(fields(photos, "http://127.0.0.1:1", tmp_path)).load()
    ((field, text),) = away.value.problems
    assert field == "data.s3.endpoint"
    assert text.startswith("http://127.0.0.1:1 cannot be reached")


def test_a_file_of_certificates_that_is_not_there_is_told(s3, photos: Path, tmp_path: Path) -> None:
    s3_fields = {"endpoint": "https://127.0.0.1:1", "ca_bundle": str(tmp_path / "absent.pem"), "tries": 1}
    _, text = refused(fields(photos, "", tmp_path, s3=s3_fields))
    assert "absent.pem" in text


def test_a_server_s_own_certificate_is_trusted_by_its_bundle_alone(s3, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    secured = Server(certificate, key)
    try:
        (secured.folder / "bucket").mkdir()
        (secured.folder / "bucket" / "a.txt").write_text("a")
        trusting = S3Settings(secured.endpoint, None, True, str(certificate), 1, 1)
        assert list(S3Store(trusting, "data.path").listed("bucket", "")) == ["a.txt"]
        with pytest.raises(DataError, match=r"is not trusted: .*Set data\.s3\.ca_bundle to its issuer's") as caught:
            S3Store(replace(trusting, ca_bundle=None), "data.path").listed("bucket", "")
        assert caught.value.problems[0].field == "data.s3.ca_bundle"
    finally:
        secured.remove()


def test_an_archive_on_s3_is_read_as_one_on_a_disk(s3, bucket: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {f"x_{part}": rng.normal(size=(20, 3)).astype(np.float32) for part in ("train", "test")}
    arrays |= {f"y_{part}": np.arange(20) % 2 for part in ("train", "test")}
    np.savez(bucket / "x.npz", **arrays)
    s3_fields = {"endpoint": s3.endpoint, "path_style": True, "cache_folder": str(tmp_path)}
    wanted = NpzFields.model_validate({"path": f"s3://{bucket.name}/x.npz", "s3": s3_fields})
    source = build_npz(wanted)
    assert np.array_equal(source.load().x_train, arrays["x_train"])
    assert build_npz(wanted).identity() == source.identity()
    np.savez(bucket / "x.npz", x_train=arrays["x_train"])
    with pytest.raises(DataError) as caught:
        build_npz(wanted).load()
    assert f"s3://{bucket.name}/x.npz lacks y_train, x_test, y_test" in caught.value.problems[0].text
    assert str(tmp_path) not in str(caught.value)
