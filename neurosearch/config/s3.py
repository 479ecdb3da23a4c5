"""What lies in S3-compatible storage: addresses, and how the server is reached.

Keys never stand in a config: they come from the environment of every node, or from wherever else boto3 looks for them.
"""

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from neurosearch.config.base import Count, Fields

SCHEME = "s3://"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
_SECRET = re.compile(r"key|secret|token|password|credential", re.IGNORECASE)


def is_on_s3(path: str) -> bool:
    """Tells an address in S3 from a path on a disk."""
    return path.startswith(SCHEME)


def split_address(address: str) -> tuple[str, str]:
    """Returns bucket and key of `s3://bucket/key`; the key may be empty, or a prefix of others."""
    bucket, _, key = address.removeprefix(SCHEME).partition("/")
    return bucket, key


def checked_path(path: str) -> str:
    """Refuses an address in S3 that names no bucket.

    Raises:
        ValueError: It names none.
    """
    if is_on_s3(path) and not _BUCKET.fullmatch(split_address(path)[0]):
        raise ValueError("names no bucket; write s3://BUCKET/PREFIX with 3 to 63 lower-case letters or digits")
    return path


def disk_path(path: str) -> str:
    """Refuses an address in S3 where only a folder on a disk will do.

    Raises:
        ValueError: It is one.
    """
    if is_on_s3(path):
        raise ValueError("this kind of data lies on a disk; on S3 use kind image_list or npz")
    return path


def artifacts_address(address: str) -> str:
    """Refuses what is no address in S3; returns the address without a slash at its end.

    Raises:
        ValueError: It is none, or names no bucket.
    """
    if not is_on_s3(address):
        raise ValueError("is no address in S3; write s3://BUCKET/PREFIX, or take it out and share storage.folder")
    return checked_path(address).rstrip("/")


#: A path on a disk, or an address in S3.
AnyPath = Annotated[str, Field(min_length=1), AfterValidator(checked_path)]
#: A path on a disk.
DiskPath = Annotated[str, Field(min_length=1), AfterValidator(disk_path)]


def _checked_endpoint(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            "holds a name or password, which would be stored and shown; set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY in the environment instead"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("is no address of a server; write https://HOST:PORT")
    return endpoint


def _checked_cache(folder: str) -> str:
    if not folder.startswith(("/", "~/")):
        raise ValueError("must begin with / or ~/, for every node has a cache of its own there")
    return folder


class S3Fields(Fields):
    """How the S3 server is reached, and where its objects are kept on the node."""

    endpoint: Annotated[str, AfterValidator(_checked_endpoint)] | None = Field(
        None, description="Address of an S3-compatible server, such as https://storage.example:9000; absent: Amazon's"
    )
    region: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="Region of the bucket; absent: as the environment says, else us-east-1"
    )
    path_style: Annotated[bool, Field(strict=True)] = Field(
        False, description="Whether the bucket stands in the path, not in the host name; many other servers need it"
    )
    ca_bundle: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="File with the certificates that the server's is checked against; absent: the usual ones"
    )
    cache_folder: Annotated[str, AfterValidator(_checked_cache)] = Field(
        "~/.cache/neurosearch/s3", description="Folder on every node that keeps what was fetched; begins with / or ~/"
    )
    connections: Annotated[Count, Field(le=64)] = Field(16, description="Objects that are fetched at the same time")
    tries: Annotated[Count, Field(le=20)] = Field(
        5, description="Tries without any progress after which a transfer is given up"
    )

    @model_validator(mode="before")
    @classmethod
    def _holds_no_secret(cls, values: Any) -> Any:
        names = sorted(str(name) for name in values) if isinstance(values, dict) else []
        if secret := [name for name in names if _SECRET.search(name)]:
            raise ValueError(
                f"{', '.join(secret)} must not stand in a config, which is stored and shown. Take it out and set "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, in the environment of every node"
            )
        return values
