"""Where the words of libraries go while a study is searched, and reading them while they grow."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from neurosearch.search.folders import StudyFolder

_SESSION = "Ray's session: "
_SESSION_NAME = re.compile(rf"{_SESSION}(session_[\w.-]+)")
_TAIL_BYTES = 2**18


def session_line(name: str) -> str:
    """Returns the line of Ray's log by which a search is found among Ray's own folders."""
    return f"{_SESSION}{name}"


def ray_log(folder: StudyFolder) -> Path:
    """Where Ray's words in the searching process go."""
    return folder.logs / "ray.log"


def ray_sessions(folder: StudyFolder) -> tuple[Path, ...]:
    """Returns the folders with the logs of Ray's own processes, workers included, of a study's searches, last first.

    On the machine of the search; Ray or the system may have removed them since.
    """
    try:
        text = ray_log(folder).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    names = dict.fromkeys(reversed(_SESSION_NAME.findall(text)))
    return tuple(ray_folder() / name / "logs" for name in names)


def log_files(folder: StudyFolder) -> tuple[Path, ...]:
    """Returns the logs that a study has, by name; MLflow's pages have one for all studies of a folder."""
    own = sorted(path for path in folder.logs.glob("*.log") if path.is_file())
    pages = folder.root / "ui.log"
    return (*own, pages) if pages.is_file() else tuple(own)


def last_lines(path: Path, most: int) -> tuple[str, ...]:
    """Returns the last lines of a text file, without reading all of a large one."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL_BYTES))
        text = file.read().decode(errors="replace")
    return tuple(text.splitlines()[-most:]) if most else ()


@dataclass
class Follower:
    """Reads what is added to files that may not be there yet; a file that was begun anew is read from its start.

    Attributes:
        read: Bytes read of each file.
    """

    read: dict[Path, int] = field(default_factory=dict)

    def skip(self, path: Path) -> None:
        """Counts all that a file holds now as read."""
        self.read[path] = path.stat().st_size

    def new_lines(self, path: Path) -> Iterator[str]:
        """Yields the whole lines that were added since the last call; half a line waits for its end."""
        try:
            with path.open("rb") as file:
                start = self.read.get(path, 0)
                if file.seek(0, os.SEEK_END) < start:
                    start = 0
                file.seek(start)
                added = file.read()
        except FileNotFoundError:
            return
        whole = added[: added.rfind(b"\n") + 1]
        self.read[path] = start + len(whole)
        yield from whole.decode(errors="replace").splitlines()


def ray_folder() -> Path:
    """Returns where Ray keeps its sessions, by Ray's own rule."""
    return Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp") / "ray"  # noqa: S108  # Ray's place
