"""Where everything of a study lies; nothing here touches the disk."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from neurosearch.config.study import StorageFields

_DEFAULT_ROOT = Path(StorageFields().folder)


@dataclass(frozen=True)
class StudyFolder:
    """The paths of one study.

    Attributes:
        root: Folder of all studies (`storage.folder`).
        name: Name of the study.
    """

    root: Path
    name: str

    @classmethod
    def at(cls, path: str | Path) -> "StudyFolder":
        """Returns the study whose own folder is `path`."""
        whole = Path(path).resolve()
        return cls(whole.parent, whole.name)

    def command(self, word: str) -> str:
        """Writes a command on the study as it is typed; the folder only where it is not the default one."""
        where = "" if self.root.absolute() == _DEFAULT_ROOT.absolute() else f" --folder {shlex.quote(str(self.root))}"
        return f"neurosearch {word} {self.name}{where}"

    @property
    def path(self) -> Path:
        """The study's own folder."""
        return self.root / self.name

    @property
    def journal(self) -> Path:
        """Optuna's storage: trials, reports and ends."""
        return self.path / "study.journal"

    @property
    def lock(self) -> Path:
        """Locked by the one process that searches."""
        return self.path / "search.lock"

    @property
    def config(self) -> Path:
        """The config as the study was last started with, for people; the journal holds it too."""
        return self.path / "config.yaml"

    @property
    def data(self) -> Path:
        """Prepared arrays, one folder for each way of preparing."""
        return self.path / "data"

    @property
    def logs(self) -> Path:
        """Ray's own output."""
        return self.path / "logs"

    @property
    def export(self) -> Path:
        """The exported winner."""
        return self.path / "export"

    def trial(self, number: int) -> Path:
        """Folder of a trial's checkpoints, result and final network."""
        return self.path / "trials" / f"{number:05d}"

    def result(self, number: int) -> Path:
        """The trial's whole history, once it has ended."""
        return self.trial(number) / "result.json"

    def traceback(self, number: int) -> Path:
        """Where a trial that failed by an unforeseen error says where in the code."""
        return self.trial(number) / "traceback.txt"
