"""From our values to what MLflow accepts: names, texts and metrics. Pure functions, no MLflow."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from neurosearch.names import (
    EPOCH_SECONDS,
    FINAL_PREFIX,
    IMAGES_PER_SECOND,
    NEURONS_ADDED,
    NEURONS_PREFIX,
    NEURONS_REMOVED,
    RECALL_PREFIX,
    STEPS,
    TARGET_SCORES,
    TEST_PREFIX,
)
from neurosearch.tracking.values import Outcome, Record

_LONGEST_KEY = 250
_LONGEST_PARAM = 6000
_LONGEST_TAG = 8000
_OF_PARTS = (RECALL_PREFIX, NEURONS_PREFIX, *(f"{score}/" for score in TARGET_SCORES))
_OF_EPOCHS = frozenset({EPOCH_SECONDS, IMAGES_PER_SECOND})
# MLflow takes slashes, word characters, dots, dashes and spaces on every platform; colons only on some.
_NOT_ALLOWED = re.compile(r"[^/\w.\- ]")
# Everything between the scheme and the last @ before the path is a user's name and password.
_USER_INFO = re.compile(r"(?<=://)[^/\s?#]*@")
_SECRET_IN_QUERY = re.compile(r"(?i)([?&][^=&\s]*(?:token|secret|password|passwd|key|signature|sig)=)[^&\s'\")]+")


def key(name: str) -> str:
    """Returns the name as MLflow accepts it for a metric, a param or a tag.

    Class names are a user's and may hold anything, so a name that has to change carries a digest of the original: two
    names never become one.
    """
    parts = [part for part in _NOT_ALLOWED.sub("_", name).split("/") if part.strip(".")]
    allowed = "/".join(parts)
    if allowed == name and 0 < len(name) <= _LONGEST_KEY:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{allowed[: _LONGEST_KEY - len(digest) - 1]}-{digest}"


def param(value: Any) -> str:
    """Returns a searched value as text: a text as it is, anything else as JSON."""
    text = value if isinstance(value, str) else json.dumps(value)
    return _shortened(text, _LONGEST_PARAM)


def tag(text: str) -> str:
    """Returns a tag's text, at MLflow's length and without secrets."""
    return _shortened(masked(text), _LONGEST_TAG)


def masked(text: str) -> str:
    """Returns the text without passwords and tokens in addresses."""
    return _SECRET_IN_QUERY.sub(r"\1***", _USER_INFO.sub("***@", text))


def metrics_of_record(record: Record) -> dict[str, float]:
    """Returns what MLflow is told about an epoch: its metrics, the step, and how many neurons came and went."""
    values = {key(name): float(value) for name, value in record["metrics"].items()}
    events = [event for event in record.get("events", ()) if event["added"] or event["removed"]]
    if events:
        values[NEURONS_ADDED] = float(sum(event["added"] for event in events))
        values[NEURONS_REMOVED] = float(sum(event["removed"] for event in events))
    # Last on purpose: should a huge epoch need several calls, its steps are there only when all of it is.
    return {**values, STEPS: float(record["step"])}


def metrics_of_end(outcome: Outcome) -> dict[str, float]:
    """Returns the metrics of the final network under names of their own.

    Without those of single classes, targets and groups, which stand in the epochs, and without what only epochs have.
    """
    return {
        key(name if name.startswith(TEST_PREFIX) else f"{FINAL_PREFIX}{name}"): float(value)
        for name, value in outcome.metrics.items()
        if not name.startswith(_OF_PARTS) and name not in _OF_EPOCHS
    }


def in_batches(values: list[Any], size: int) -> Iterator[list[Any]]:
    """Yields the values in lists of at most `size`."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def prefixed(tags: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Returns tags under our prefix."""
    return {key(f"{prefix}{name}"): tag(text) for name, text in tags.items()}


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
