"""A run as this process knows it, and what of our values it lacks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from neurosearch.names import FEASIBLE_TAG, REASON_TAG
from neurosearch.tracking import entries
from neurosearch.tracking.titles import NAME_TAG
from neurosearch.tracking.values import Record, TrialEnd

if TYPE_CHECKING:
    from mlflow.entities import Metric


@dataclass
class OpenRun:
    """A run and what MLflow holds of it.

    Attributes:
        run_id: MLflow's id.
        status: Its status.
        epochs: Epochs whose metrics are there.
        metrics: Names of all its metrics.
        params: Names of its params.
        tags: Its tags.
        has_config: Whether the config's file is there.
        folder: Where its files lie if that is on this machine; None if MLflow takes them.
        created: Whether this process made the run.
    """

    run_id: str
    status: str
    epochs: set[int] = field(default_factory=set)
    metrics: set[str] = field(default_factory=set)
    params: set[str] = field(default_factory=set)
    tags: dict[str, str] = field(default_factory=dict)
    has_config: bool = False
    folder: Path | None = None
    created: bool = False


def local_folder(artifact_uri: str) -> Path | None:
    """Returns where a run's files lie if MLflow keeps them in a folder of this machine."""
    parts = urlsplit(artifact_uri)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" and not parts.netloc else None


def new_metrics_of_records(run: OpenRun, records: Sequence[tuple[Record, int]]) -> "list[Metric]":
    """Returns the metrics of epochs, each with its time, that the run does not hold yet."""
    from mlflow.entities import Metric

    return [
        Metric(name, value, time_ms, int(record["epoch"]))
        for record, time_ms in records
        if record["epoch"] not in run.epochs
        for name, value in entries.metrics_of_record(record).items()
    ]


def new_metrics_of_end(run: OpenRun, end: TrialEnd | None) -> "list[Metric]":
    """Returns the metrics of the final network that the run does not hold yet."""
    from mlflow.entities import Metric

    if end is None:
        return []
    # At step 0: MLflow's pages draw what has no history as bars, one per trial, instead of curves of one point.
    values = entries.metrics_of_end(end.outcome)
    return [Metric(name, value, end.time_ms, 0) for name, value in values.items() if name not in run.metrics]


def new_tags_of_end(held: Mapping[str, str], end: TrialEnd | None, name: str) -> dict[str, str]:
    """Returns the tags of an end that a run does not hold yet; by one of them MLflow gives it the name."""
    if end is None:
        return {}
    tags = {FEASIBLE_TAG: str(end.feasible).lower(), NAME_TAG: name}
    if end.outcome.reason is not None:
        tags[REASON_TAG] = entries.tag(end.outcome.reason)
    elif REASON_TAG in held:
        tags[REASON_TAG] = ""  # it failed before and was tried again
    return {name: text for name, text in tags.items() if held.get(name) != text}
