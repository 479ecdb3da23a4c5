import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from neurosearch.data import object_cache
from neurosearch.data.object_cache import ObjectCache
from neurosearch.data.problems import DataError
from neurosearch.data.s3 import S3Object, S3Settings, S3Store, checksum_in
from neurosearch.longwork import told_to

SIZE = 3_000_000

pytestmark = pytest.mark.servers


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(object_cache, "_FIRST_PAUSE_SECONDS", 0.01)


@pytest.fixture
def content(bucket):
    noise = os.urandom(SIZE)
    (bucket / "noise.bin").write_bytes(noise)
    return noise


def store(endpoint, tries=3):
    return S3Store(S3Settings(endpoint, None, True, None, 4, tries), "data.path")


@pytest.fixture
def through(bucket, s3_proxy, tmp_path):
    """Returns a cache that fetches through the proxy, and the object."""
    far = store(s3_proxy.endpoint)
    return ObjectCache(tmp_path / "cache", far), far.find(bucket.name, "noise.bin")


def read(paths):
    return Path(paths[0]).read_bytes()


def test_what_is_here_is_not_fetched_again(s3, bucket, content, tmp_path):
    near = store(s3.endpoint)
    wanted = near.find(bucket.name, "noise.bin")
    assert read(ObjectCache(tmp_path, near).fetch([wanted])) == content
    gone = ObjectCache(tmp_path, store("http://127.0.0.1:1"))
    assert read(gone.fetch([wanted])) == content
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [""]  # no part is left


def test_a_fetch_tells_how_much_of_all_objects_has_come_and_nothing_where_all_are_here(s3, bucket, content, tmp_path):
    (bucket / "more.bin").write_bytes(content[:1000])
    near, heard = store(s3.endpoint), []
    wanted = [near.find(bucket.name, name) for name in ("noise.bin", "more.bin")]
    with told_to(heard.append):
        ObjectCache(tmp_path, near).fetch(wanted)
    assert {(each.what, each.total, each.unit) for each in heard} == {("fetching 2 from S3", SIZE + 1000, "bytes")}
    assert len(heard) > 10
    assert (heard[-1].done, heard[-1].is_over) == (SIZE + 1000, True)
    heard.clear()
    with told_to(heard.append):
        ObjectCache(tmp_path, near).fetch(wanted)
    assert heard == []


def test_an_object_that_changed_is_another_one(s3, bucket, content, tmp_path):
    near = store(s3.endpoint)
    cache = ObjectCache(tmp_path, near)
    cache.fetch([near.find(bucket.name, "noise.bin")])
    (bucket / "noise.bin").write_bytes(b"another")
    assert read(cache.fetch([near.find(bucket.name, "noise.bin")])) == b"another"


def test_an_object_that_changes_between_is_refused(s3, bucket, content, tmp_path):
    near = store(s3.endpoint)
    wanted = near.find(bucket.name, "noise.bin")
    (bucket / "noise.bin").write_bytes(content[::-1])
    with pytest.raises(DataError, match="was changed while it was read"):
        ObjectCache(tmp_path, near).fetch([wanted])


def test_an_empty_object_is_an_empty_file(s3, bucket, tmp_path):
    (bucket / "empty").touch()
    near = store(s3.endpoint)
    assert read(ObjectCache(tmp_path, near).fetch([near.find(bucket.name, "empty")])) == b""


def test_a_transfer_that_breaks_again_and_again_goes_on_from_where_it_was(content, through, s3_proxy):
    cache, wanted = through
    s3_proxy.cut_after, s3_proxy.num_bytes = 700_000, 0
    assert read(cache.fetch([wanted])) == content
    assert SIZE < s3_proxy.num_bytes < 1.1 * SIZE


def test_a_transfer_without_progress_is_given_up(content, through, s3_proxy):
    cache, wanted = through
    s3_proxy.cut_after = 10
    with pytest.raises(DataError, match=r"noise\.bin keeps breaking off: .*0 of 3000000 bytes came, and are kept"):
        cache.fetch([wanted])


def test_what_comes_wrong_is_fetched_again(content, through, s3_proxy):
    cache, wanted = through
    s3_proxy.spoils = True

    def mend():
        while s3_proxy.num_bytes < 2_000_000:
            time.sleep(0.001)
        s3_proxy.spoils = False

    with ThreadPoolExecutor() as pool:
        pool.submit(mend)
        assert read(cache.fetch([wanted])) == content
    assert s3_proxy.num_bytes > 2 * SIZE


def test_what_always_comes_wrong_never_gets_a_name(content, through, s3_proxy):
    cache, wanted = through
    s3_proxy.spoils = True
    with pytest.raises(DataError, match="keeps breaking off: its md5 is wrong"):
        cache.fetch([wanted])
    assert not cache.path_of(wanted).exists()


def test_a_killed_process_is_gone_on_with(bucket, content, through, s3_proxy):
    cache, wanted = through
    s3_proxy.stall_after = 2_000_000
    code = (
        "import sys; from pathlib import Path; from neurosearch.data.s3 import *;"
        "from neurosearch.data.object_cache import ObjectCache;"
        f"store = S3Store(S3Settings({s3_proxy.endpoint!r}, None, True, None, 4, 3), 'data.path');"
        f"ObjectCache(Path({str(cache._folder)!r}), store).fetch([store.find({bucket.name!r}, 'noise.bin')])"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    part, until = cache.path_of(wanted).with_suffix(".part"), time.monotonic() + 60
    while not (part.exists() and part.stat().st_size >= 1_000_000):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    process.kill()
    process.wait()
    s3_proxy.stall_after, s3_proxy.num_bytes = None, 0
    assert read(cache.fetch([wanted])) == content
    assert s3_proxy.num_bytes < SIZE - 900_000


def test_of_two_that_want_an_object_one_fetches(content, through, s3_proxy):
    cache, wanted = through
    s3_proxy.num_bytes = 0
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(cache.fetch, [[wanted]] * 4))
    assert {read(paths) for paths in results} == {content}
    assert s3_proxy.num_bytes < 1.1 * SIZE


MD5 = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"ETag": f'"{MD5}"'}, ("md5", MD5)),
        ({"ETag": f'"{MD5}-3"'}, None),
        ({"ETag": f'"{MD5}"', "ServerSideEncryption": "aws:kms"}, None),
        ({"ETag": f'"{MD5}"', "SSECustomerAlgorithm": "AES256"}, None),
        ({"ETag": f'"{MD5}"', "ServerSideEncryption": "AES256"}, ("md5", MD5)),
        ({"ETag": f'"{MD5}-3"', "ChecksumCRC32": "AAAAAA==", "ChecksumType": "FULL_OBJECT"}, ("crc32", "AAAAAA==")),
        ({"ETag": f'"{MD5}-3"', "ChecksumSHA256": "AAAA-3", "ChecksumType": "COMPOSITE"}, None),
    ],
)
def test_only_a_checksum_of_the_whole_content_counts(answer, expected):
    found = checksum_in(answer)
    assert (found and (found.algorithm, found.value)) == expected


@pytest.mark.parametrize(("algorithm", "value"), [("crc32", "y/Q5Jg=="), ("sha1", "98O8HYCOBHMq32eZZczDTKeuNEE=")])
def test_digests_are_as_servers_write_them(tmp_path, algorithm, value):
    (tmp_path / "nine").write_bytes(b"123456789")
    with (tmp_path / "nine").open("rb") as file:
        assert object_cache._digest(file, algorithm) == value


@pytest.fixture
def quick_turns():
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("quick_turns")
def test_of_many_that_find_an_object_here_none_minds_that_another_one_cleans_up(tmp_path):
    wanted = S3Object("bucket", "key", "etag", 3)
    (tmp_path / "file").write_bytes(b"abc")
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: object_cache.download(None, wanted, tmp_path / "file"), range(3000)))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
