"""The config of a study: the trial, what may be deployed, and how the search over it runs."""

import re
from typing import Annotated, Self
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from neurosearch.config.base import Count, Fields, Index
from neurosearch.config.database import SECRET_OPTION, database_address
from neurosearch.config.s3 import S3Fields, artifacts_address
from neurosearch.config.search import SearchFields


class SizeLimit(Fields):
    """What can be deployed: a final network above the limit is infeasible and never the best. Name exactly one."""

    parameters: Count | None = Field(None, description="Largest number of weights and biases")
    neurons: Count | None = Field(None, description="Largest number of hidden neurons and channels")
    multiply_adds: Count | None = Field(None, description="Most multiply-adds of one forward pass of one example")

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if sum(value is not None for value in (self.parameters, self.neurons, self.multiply_adds)) != 1:
            raise PydanticCustomError(
                "size_limit", "name exactly one of parameters, neurons, multiply_adds, such as parameters: 20000"
            )
        return self

    @property
    def metric(self) -> str:
        """Name of the bounded metric."""
        return next(name for name, value in self if value is not None)

    @property
    def maximum(self) -> int:
        """The bound itself."""
        value = getattr(self, self.metric)
        assert isinstance(value, int)
        return value


def _names_secret(uri: str) -> bool:
    """Tells whether an address hands over a secret among its options."""
    return any(SECRET_OPTION.search(unquote(name)) for name in re.findall(r"[?&;#]([^=&;#]*)=", uri))


class TrackingFields(Fields):
    """Where MLflow keeps what it is told."""

    enabled: bool = Field(True, description="Whether MLflow is told at all")
    uri: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="Tracking server, such as http://127.0.0.1:5000; absent: a SQLite file in the storage folder"
    )
    experiment: Annotated[str, Field(min_length=1)] = Field("neurosearch", description="MLflow experiment of the study")

    @field_validator("uri")
    @classmethod
    def _holds_no_secret(cls, uri: str | None) -> str | None:
        if uri is not None and ("@" in uri.split("?")[0] or _names_secret(uri)):
            raise PydanticCustomError(
                "secret",
                "a password does not belong in a config file; set MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD in the environment and take it out of the address",
            )
        return uri

    @field_validator("uri")
    @classmethod
    def _is_an_address(cls, uri: str | None) -> str | None:
        try:
            parts = urlsplit(uri or "")
            is_server, is_whole = parts.scheme in ("http", "https"), bool(parts.hostname) and parts.port != 0
        except ValueError:  # host or port is malformed
            is_server, is_whole = True, False
        if is_server and not is_whole:
            raise PydanticCustomError(
                "address",
                "{uri} is no address of a server; write it as http://127.0.0.1:5000",
                {"uri": uri},
            )
        return uri


class StorageFields(Fields):
    """Where studies are kept."""

    folder: Annotated[str, Field(min_length=1)] = Field(
        "runs",
        description=(
            "Folder of all studies, relative to the working directory, ~ and $VARIABLES expanded; each has one of its "
            "own name in it"
        ),
    )
    database: str | None = Field(
        None,
        description=(
            "What holds the trials: sqlite:///FILE, or postgresql://USER@HOST:PORT/DATABASE with the password in the "
            "environment (NEUROSEARCH_DATABASE_PASSWORD); absent: a journal file in the study's folder"
        ),
    )

    artifacts: Annotated[str, AfterValidator(artifacts_address)] | None = Field(
        None,
        description=(
            "Where checkpoints, results and networks of trials are kept for all nodes: s3://BUCKET/PREFIX; absent: in "
            "the study's folder, which every node must see then"
        ),
    )
    s3: S3Fields = Field(S3Fields(), description="How S3 is reached, where artifacts has an s3:// address")

    @field_validator("database")
    @classmethod
    def _is_an_address(cls, database: str | None) -> str | None:
        if database is not None:
            try:
                database_address(database)
            except ValueError as error:
                raise PydanticCustomError("database", "{why}", {"why": str(error)}) from None
        return database

    @model_validator(mode="after")
    def _s3_has_an_address(self) -> Self:
        if self.artifacts is None and self.s3 != S3Fields():
            raise PydanticCustomError(
                "storage_s3",
                "s3 says how S3 is reached, but artifacts has no address. Write artifacts: s3://BUCKET/PREFIX, or take "
                "s3 out.",
            )
        return self


class StudyFields(Fields):
    """Everything in the file that is not searched."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")] = Field(
        description="Name of the study: lower case letters, digits and dashes, at most 40; unique in its storage"
    )
    seed: Index = Field(0, description="Seed of the sampler and of every trial (common random numbers)")
    size_limit: SizeLimit | None = Field(
        None, description="What can be deployed, such as {parameters: 20000}; absent: any size"
    )
    search: SearchFields = Field(default_factory=SearchFields, description="How the search runs")
    tracking: TrackingFields = Field(default_factory=TrackingFields, description="MLflow")
    storage: StorageFields = Field(default_factory=StorageFields, description="Where the study is kept")
