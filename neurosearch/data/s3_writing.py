"""Writing to S3: files that become objects, whole or not at all, and objects that go."""

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from neurosearch.data.s3 import BrokenTransfer, S3Store

_PART_BYTES = 16 << 20  # what is larger goes up in parts, each tried again by itself; S3 takes none below 5 MiB
_MOST_AT_ONCE = 1000  # objects that one request may remove
_OWN_MD5 = re.compile(r"[0-9a-f]{32}(-\d+)?")


class WritableS3(S3Store):
    """A server's buckets, to be read and written."""

    deed, rights = "use", "s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject"

    def put(self, bucket: str, key: str, path: Path) -> None:
        """Make an object of a file; the server checks what it gets by its MD5 and SHA-256, and we what it says it got.

        Raises:
            BrokenTransfer: If it did not arrive, or not as it was; another try may do it.
            DataError: If the bucket is not there or may not be written.
            OSError: If the file cannot be read.
        """
        size = path.stat().st_size
        with path.open("rb") as file, self._told(bucket, key, may_mend=True):
            if size <= _PART_BYTES:
                self._put_at_once(bucket, key, file.read())
            else:
                self._put_in_parts(bucket, key, file)

    def remove(self, bucket: str, keys: Sequence[str]) -> None:
        """Remove objects; one that is not there does no harm.

        Raises:
            BrokenTransfer: If the server does not answer now.
            DataError: If the bucket is not there, or an object may not be removed.
        """
        for start in range(0, len(keys), _MOST_AT_ONCE):
            objects = [{"Key": key} for key in keys[start : start + _MOST_AT_ONCE]]
            with self._told(bucket, keys[start], may_mend=True):
                answer = self._client.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
            for refused in answer.get("Errors", ()):
                raise self._refusal("AccessDenied", bucket, refused.get("Key", ""))

    def _put_at_once(self, bucket: str, key: str, body: bytes) -> None:
        answer = self._client.put_object(Bucket=bucket, Key=key, Body=body, **_digests(body))
        _check_arrived(answer, _md5(body).hexdigest())

    def _put_in_parts(self, bucket: str, key: str, file: BinaryIO) -> None:
        place = {"Bucket": bucket, "Key": key}
        upload = self._client.create_multipart_upload(**place, ChecksumAlgorithm="SHA256")["UploadId"]
        try:
            parts, digests = [], b""
            for number, body in enumerate(_blocks(file), start=1):
                words = _digests(body)
                answer = self._client.upload_part(**place, UploadId=upload, PartNumber=number, Body=body, **words)
                parts.append({"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": words["ChecksumSHA256"]})
                digests += _md5(body).digest()
            answer = self._client.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": parts})
        except BaseException:
            with suppress(Exception):  # what went wrong before is what counts
                self._client.abort_multipart_upload(**place, UploadId=upload)
            raise
        _check_arrived(answer, f"{_md5(digests).hexdigest()}-{len(parts)}")


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(_PART_BYTES):
        yield block


def _md5(body: bytes) -> Any:
    return hashlib.md5(body, usedforsecurity=False)


def _digests(body: bytes) -> dict[str, str]:
    """Return the digests of a request, of which every server knows the first and newer ones both."""
    return {
        "ContentMD5": base64.b64encode(_md5(body).digest()).decode(),
        "ChecksumSHA256": base64.b64encode(hashlib.sha256(body).digest()).decode(),
    }


def _check_arrived(answer: dict[str, Any], expected: str) -> None:
    """Refuse an object whose ETag, where it is made of MD5s, is that of another content."""
    etag = answer.get("ETag", "").strip('"')
    is_encrypted = "kms" in answer.get("ServerSideEncryption", "") or "SSECustomerAlgorithm" in answer
    if _OWN_MD5.fullmatch(etag) and not is_encrypted and etag != expected:
        raise BrokenTransfer("the server holds another content than was sent")
