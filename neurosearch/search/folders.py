"""Where everything of a study lies; nothing here touches the disk."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from neurosearch.config.study import StorageFields, StudyFields

_DEFAULT_ROOT = Path(StorageFields().folder)


@dataclass(frozen=True)
class StudyFolder:
    """The paths of one study.

    Attributes:
        root: Folder of all studies (`storage.folder`).
        name: Name of the study.
        database: Address of the database that holds the trials; None: a journal file in the study's folder.
    """

    root: Path
    name: str
    database: str | None = None

    @classmethod
    def of(cls, study: StudyFields) -> "StudyFolder":
        """Returns where a config puts its study."""
        return cls(Path(study.storage.folder), study.name, study.storage.database)

    @classmethod
    def at(cls, path: str | Path) -> "StudyFolder":
        """Returns the study whose own folder is `path`."""
        whole = Path(path).resolve()
        return cls(whole.parent, whole.name)

    def command(self, *words: object) -> str:
        """Writes a command on the study as it is typed: the first word is its name, others follow the study's."""
        first, *others = words
        return shlex.join(str(word) for word in ("neurosearch", first, self.name, *others, *self.options))

    @property
    def options(self) -> tuple[str, ...]:
        """The options of a command that say where the study is; the folder only where it is not the default one."""
        is_default = self.root.absolute() == _DEFAULT_ROOT.absolute()
        folder = () if is_default else ("--folder", str(self.root))
        return folder if self.database is None else (*folder, "--database", self.database)

    @property
    def place(self) -> str:
        """Where studies such as this one are kept, for people."""
        return self.database or str(self.root)

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

    @property
    def trials(self) -> Path:
        """What the trials leave, one folder for each."""
        return self.path / "trials"

    def trial(self, number: int) -> Path:
        """Folder of a trial's result and of its trainings."""
        return self.trials / f"{number:05d}"

    def training(self, number: int, index: int) -> Path:
        """Folder of the checkpoints and the final network of a trial's training on its seed of this index."""
        return self.trial(number) / f"seed-{index}"

    def result(self, number: int) -> Path:
        """The trial's whole history, once it has ended."""
        return self.trial(number) / "result.json"

    def stacks(self, number: int) -> Path:
        """Where a trial that hangs says where in the code."""
        return self.trial(number) / "hang.txt"

    def traceback(self, number: int) -> Path:
        """Where a trial that failed by an unforeseen error says where in the code."""
        return self.trial(number) / "traceback.txt"
