"""S3's door: objects found and read through boto3; what goes wrong is told in words, with its remedy.

Keys come from where boto3 looks for them (environment, profile, the machine's role), never from a config, and no
message repeats them.
"""

import re
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from neurosearch.data.problems import DataError, Problem, ServerAway
from neurosearch.data.s3_words import GIVE_KEYS, REFUSALS, SAME

_CONNECT_SECONDS, _READ_SECONDS = 5, 30
_TOO_MANY = 429  # requests; the server says so, and not that anything is wrong with them
_CHUNK_BYTES = 1 << 16  # one that is cut off is lost, so they are small
_REGION = "us-east-1"  # what servers of other makes take, and Amazon's where none is set
_OWN_MD5 = re.compile(r"[0-9a-f]{32}")  # an object that was uploaded in parts has another ETag


@dataclass(frozen=True)
class S3Settings:
    """How a server is reached.

    Attributes:
        endpoint: Its address; None for Amazon's.
        region: Of the buckets; None leaves it to the environment.
        path_style: Whether the bucket stands in the path of an address and not in its host.
        ca_bundle: File with the certificates that the server's is checked against; None for the usual ones.
        connections: How many objects are read at the same time.
        tries: How often a request is made before it is given up.
    """

    endpoint: str | None
    region: str | None
    path_style: bool
    ca_bundle: str | None
    connections: int
    tries: int


@dataclass(frozen=True)
class S3Object:
    """An object as it stood when it was listed.

    Attributes:
        bucket: Its bucket.
        key: Its key.
        etag: Changes with the content.
        size: In bytes.
        modified: When it was written, in seconds since 1970; equal content counts as equal whenever it was written.
    """

    bucket: str
    key: str
    etag: str
    size: int
    modified: float = field(default=0.0, compare=False)

    @property
    def address(self) -> str:
        """Return `s3://bucket/key`."""
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True)
class Checksum:
    """What the server says that a whole object's digest is.

    Attributes:
        algorithm: `crc32`, or a name that hashlib knows.
        value: The digest in base64, or in hexadecimal digits for md5.
    """

    algorithm: str
    value: str


class BrokenTransfer(Exception):
    """The bytes stopped coming, or came wrong; another try may bring them."""


class S3Store:
    """A server's buckets, to be read.

    Args:
        settings: How it is reached.
        field: The config field that a missing object or bucket is told under.
        section: The config section that the settings stand in.
    """

    deed, rights = "read", "s3:ListBucket and s3:GetObject"

    def __init__(self, settings: S3Settings, field: str, section: str = "data.s3") -> None:
        self.settings = settings
        self.field = field
        self._section = section

    @cached_property
    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        settings, session = self.settings, boto3.session.Session()
        if settings.ca_bundle is not None and not Path(settings.ca_bundle).is_file():
            raise self._problem(f"there is no file {settings.ca_bundle}. Check its path.", f"{self._section}.ca_bundle")
        config = Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            max_pool_connections=settings.connections,
            retries={"mode": "standard", "total_max_attempts": settings.tries},
            s3={"addressing_style": "path" if settings.path_style else "auto"},
        )
        client = session.client(
            "s3",
            endpoint_url=settings.endpoint,
            region_name=settings.region or session.region_name or _REGION,
            verify=settings.ca_bundle,
            config=config,
        )
        weakref.finalize(self, client.close)
        return client

    def listed(self, bucket: str, prefix: str, *, may_mend: bool = False) -> dict[str, S3Object]:
        """Return every object whose key begins with a prefix, by key.

        Args:
            bucket: The bucket.
            prefix: What the keys begin with.
            may_mend: Whether what another try may mend is told as a broken transfer.

        Raises:
            BrokenTransfer: If the server does not answer now, with `may_mend`.
            DataError: If the bucket is not there or cannot be read; `ServerAway` if the server does not answer now.
        """
        with self._told(bucket, prefix, may_mend=may_mend):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            found = [_object(bucket, each) for page in pages for each in page.get("Contents", ())]
        return {each.key: each for each in found}

    def find(self, bucket: str, key: str) -> S3Object:
        """Return one object.

        Asks for the first key that begins so, which is the key itself, and not for the object's head: an answer to the
        latter has no text and does not tell a missing bucket from a missing key.

        Raises:
            DataError: If it is not there, or cannot be read; `ServerAway` if the server does not answer now.
        """
        with self._told(bucket, key):
            page = self._client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
        found = [_object(bucket, each) for each in page.get("Contents", ()) if each["Key"] == key]
        if not found:
            raise self._refusal("NoSuchKey", bucket, key)
        return found[0]

    def read(self, wanted: S3Object, start: int) -> Iterator[bytes | Checksum]:
        """Yield the bytes of an object from a position on; after all of them the checksum, where the answer had one.

        Raises:
            BrokenTransfer: If the bytes stop, as after a cut connection; what came until then was right.
            DataError: If the object cannot be read, or is another one by now.
        """
        part = {"Range": f"bytes={start}-"} if start else {}
        with self._told(wanted.bucket, wanted.key, may_mend=True):
            answer = self._client.get_object(
                Bucket=wanted.bucket, Key=wanted.key, IfMatch=f'"{wanted.etag}"', ChecksumMode="ENABLED", **part
            )
            with closing(answer["Body"]) as body:
                self._check_same(answer, wanted)
                yield from body.iter_chunks(_CHUNK_BYTES)
        if not start and (checksum := checksum_in(answer)):
            yield checksum

    def checksum(self, wanted: S3Object) -> Checksum | None:
        """Return what the server says that the object's digest is, None if it does not say.

        Raises as `read` does.
        """
        with self._told(wanted.bucket, wanted.key, may_mend=True):
            answer = self._client.head_object(Bucket=wanted.bucket, Key=wanted.key, ChecksumMode="ENABLED")
            self._check_same(answer, wanted)
        return checksum_in(answer)

    def _check_same(self, answer: dict[str, Any], wanted: S3Object) -> None:
        """Refuse an answer on another content (not every server heeds the condition), or one with half its header."""
        etag = answer.get("ETag", "").strip('"')
        if etag != wanted.etag:
            if not etag or self.find(wanted.bucket, wanted.key) == wanted:
                raise BrokenTransfer("the connection broke off within the answer's header")
            raise self._refusal("PreconditionFailed", wanted.bucket, wanted.key)

    @contextmanager
    def _told(self, bucket: str, key: str, *, may_mend: bool = False) -> Iterator[None]:
        """Bring boto3's errors to ours: with `may_mend`, what another try may mend is a broken transfer."""
        from botocore import exceptions
        from urllib3.exceptions import HTTPError

        lost = (
            exceptions.HTTPClientError,
            exceptions.ConnectionError,
            exceptions.IncompleteReadError,
            exceptions.FlexibleChecksumError,
            HTTPError,
            ConnectionError,
            TimeoutError,
        )
        try:
            yield
        except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
            raise self._problem(f"there are no credentials for s3://{bucket}. {GIVE_KEYS}") from error
        except exceptions.ClientError as error:
            raise self._answered(error, bucket, key, may_mend) from error
        except exceptions.SSLError as error:
            field = f"{self._section}.ca_bundle"
            text = f"the certificate of {self._server} is not trusted: {error}. Set {field} to its issuer's."
            raise self._problem(text, field) from error
        except lost as error:
            if may_mend:
                raise BrokenTransfer(str(error)) from error
            field = f"{self._section}.endpoint"
            text = f"{self._server} cannot be reached for s3://{bucket}: {error}. Check {field} and the network."
            raise ServerAway([Problem(field, text)]) from error
        except (exceptions.BotoCoreError, ValueError, OSError) as error:
            if isinstance(error, DataError):
                raise
            text = f"s3://{bucket} cannot be used: {error}. Check {self._section}, and AWS_* in the environment."
            raise self._problem(text) from error

    def _answered(self, error: Any, bucket: str, key: str, may_mend: bool) -> Exception:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = SAME.get(code, code)
        if code in REFUSALS:
            return self._refusal(code, bucket, key)
        if status >= 500 or status == _TOO_MANY:
            if may_mend:
                return BrokenTransfer(str(error))
            text = f"{self._server} cannot answer for s3://{bucket}/{key} now: {error}. Look after it, and start again."
            return ServerAway([Problem(self.field, text)])
        remedy = f"Check {self._section}, and the keys in the environment."
        text = f"{self._server} refuses s3://{bucket}/{key}: {error}. {remedy}"
        return self._problem(text)

    def _refusal(self, code: str, bucket: str, key: str) -> DataError:
        place, section = f"s3://{bucket}/{key}", self._section
        words = {"bucket": bucket, "place": place, "server": self._server, "section": section}
        return self._problem(REFUSALS[code].format(**words, deed=self.deed, rights=self.rights))

    def _problem(self, text: str, field: str | None = None) -> DataError:
        return DataError([Problem(field or self.field, text)])

    @property
    def _server(self) -> str:
        return self.settings.endpoint or "Amazon S3"


def _object(bucket: str, listed: dict[str, Any]) -> S3Object:
    modified = listed["LastModified"].timestamp()
    return S3Object(bucket, listed["Key"], listed["ETag"].strip('"'), listed["Size"], modified)


def checksum_in(answer: dict[str, Any]) -> Checksum | None:
    """Return the digest of the whole object that an answer names, None if it names none that can be computed here.

    An ETag is the content's md5 only if it was uploaded at once, and not under a key of the user's or of the key
    service.
    """
    if answer.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT":
        for algorithm in ("sha256", "sha1", "crc32"):
            value = answer.get(f"Checksum{algorithm.upper()}")
            if value and "-" not in value:  # so are the checksums of checksums marked
                return Checksum(algorithm, value)
    etag = answer["ETag"].strip('"')
    is_foreign = "kms" in answer.get("ServerSideEncryption", "") or "SSECustomerAlgorithm" in answer
    return Checksum("md5", etag) if _OWN_MD5.fullmatch(etag) and not is_foreign else None
