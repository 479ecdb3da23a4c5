"""A final network's scores on the test part, kept beside it: they are read once, and may be looked at by anybody."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

_NAME = "test.json"


def keep_test_scores(folder: Path, scores: Mapping[str, float]) -> None:
    """Writes the scores under a temporary name and renames it.

    Raises:
        OSError: If the folder cannot be written.
    """
    path = folder / _NAME
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(scores, indent=1), encoding="utf-8")
    temporary.replace(path)


def kept_test_scores(folder: Path) -> dict[str, float] | None:
    """Returns the scores under `test/` names; None where the test part was not read for this network.

    A damaged file, as a power failure may leave it, counts as none: the same scores are found again.
    """
    try:
        stored: dict[str, float] = json.loads((folder / _NAME).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return stored
