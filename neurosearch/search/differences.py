"""Where two configs differ."""

from collections.abc import Iterator, Mapping
from typing import Any

from neurosearch.config.base import Path, dotted
from neurosearch.config.load import StudyConfig
from neurosearch.config.search_nodes import SEARCHED_SECTIONS


def words_of_difference(stored: StudyConfig, config: StudyConfig) -> str | None:
    """Returns in the user's words why one config cannot go on with the study of another; None where it can."""
    if stored.fingerprint() == config.fingerprint():
        return None
    fields = differing_fields(_compared(stored), _compared(config))
    return f"{', '.join(fields)} {'differs' if len(fields) == 1 else 'differ'}"


def differing_fields(left: Mapping[str, Any], right: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the dotted paths of the fields that differ or that only one has, in the order of `left`, then `right`."""
    return tuple(dotted(path) for path in _differing(left, right, ()))


def _compared(config: StudyConfig) -> dict[str, Any]:
    """Returns what the fingerprint is made of."""
    mapping = config.to_mapping()
    searched = {name: mapping[name] for name in SEARCHED_SECTIONS if name in mapping}
    return {**searched, **config.judged_by()}


def _differing(left: Any, right: Any, path: Path) -> Iterator[Path]:
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        for key in (*left, *(key for key in right if key not in left)):
            if key in left and key in right:
                yield from _differing(left[key], right[key], (*path, key))
            else:
                yield (*path, key)
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            yield from _differing(one, other, (*path, index))
    elif left != right:
        yield path
