"""Which classes a final network takes for which: a matrix for each part that was scored, kept beside the network.

Rows are true classes, columns predictions, both in the order of the class names.
"""

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

Part = Literal["validation", "test"]
Matrix = Sequence[Sequence[int]]

_JSON_NAME = "confusion.json"


def keep_confusion(folder: Path, part: Part, matrix: Sequence[Sequence[float]], class_names: Sequence[str]) -> None:
    """Writes a part's matrix into the file of all parts, and into a table of its own.

    Raises:
        OSError: If the folder cannot be written.
    """
    counts = [[round(cell) for cell in row] for row in matrix]
    stored = _stored(folder)
    _write(folder / _JSON_NAME, json.dumps({**stored, "class_names": list(class_names), part: counts}))
    _write(_table(folder, part), _csv(counts, class_names))


def kept_confusion(folder: Path) -> dict[Part, Matrix]:
    """Returns the matrices that are kept, by part."""
    stored = _stored(folder)
    parts: tuple[Part, ...] = ("validation", "test")
    return {part: stored[part] for part in parts if part in stored}


def confusion_files(folder: Path) -> tuple[Path, ...]:
    """Returns the files that hold the matrices; none where nothing is kept."""
    tables = (_table(folder, part) for part in kept_confusion(folder))
    return tuple(path for path in (folder / _JSON_NAME, *tables) if path.exists())


def _stored(folder: Path) -> Mapping[str, Any]:
    """Returns what is kept; of a damaged file, as a power failure may leave it, nothing."""
    try:
        stored: dict[str, Any] = json.loads((folder / _JSON_NAME).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return stored


def _table(folder: Path, part: Part) -> Path:
    return folder / f"confusion-{part}.csv"


def _csv(counts: Matrix, class_names: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["true class", *(f"taken for {name}" for name in class_names)])
    writer.writerows([name, *row] for name, row in zip(class_names, counts, strict=True))
    return text.getvalue()


def _write(path: Path, text: str) -> None:
    temporary = path.with_suffix(f"{path.suffix}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8", newline="")
    temporary.replace(path)
