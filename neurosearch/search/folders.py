"""Where everything of a study lies; nothing here touches the disk."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from neurosearch.config.s3 import S3Fields
from neurosearch.config.study import StorageFields, StudyFields
from neurosearch.config.trial import TrialConfig
from neurosearch.search.used_data import UsedData, of_section

_DEFAULT_ROOT = Path(StorageFields().folder)


@dataclass(frozen=True)
class ArtifactsPlace:
    """Where what trials leave is kept for all nodes.

    Attributes:
        address: `s3://BUCKET/PREFIX` of all studies that are kept there.
        s3: How the server is reached.
        token: Tells the study from an earlier one of its name, of which a node may hold files; empty before it is made.
    """

    address: str
    s3: S3Fields
    token: str = ""

    @classmethod
    def of(cls, storage: StorageFields, token: str = "") -> "ArtifactsPlace | None":
        """Returns the place that a config names; None where it names none."""
        return None if storage.artifacts is None else cls(storage.artifacts, storage.s3, token)

    @property
    def cache(self) -> Path:
        """Where this node keeps studies: here, for each node has a home of its own."""
        return Path(self.s3.cache_folder).expanduser() / "studies"


@dataclass(frozen=True)
class StudyFolder:
    """The paths of one study.

    Attributes:
        root: Folder of all studies (`storage.folder`).
        name: Name of the study.
        database: Address of the database that holds the trials; None: a journal file in the study's folder.
        artifacts: Where what trials leave is kept for all nodes; None: in the study's folder, which all nodes see.
        used: Which of the prepared data its trials were trained on; nothing where that is not written down yet.
    """

    root: Path
    name: str
    database: str | None = None
    artifacts: ArtifactsPlace | None = None
    used: tuple[UsedData, ...] = ()

    @classmethod
    def of(cls, study: StudyFields) -> "StudyFolder":
        """Returns where a config puts its study."""
        storage = study.storage
        return cls(Path(storage.folder), study.name, storage.database, ArtifactsPlace.of(storage))

    @classmethod
    def at(cls, path: str | Path) -> "StudyFolder":
        """Returns the study whose own folder is `path`."""
        whole = Path(path).resolve()
        return cls(whole.parent, whole.name)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "StudyFolder":
        """Rebuilds what `to_dict` gave; without the database, which is the searching process's alone."""
        far, folder = values["artifacts"], cls.at(values["path"])
        folder = replace(folder, used=tuple(UsedData(**each) for each in values["used"]))
        if far is None:
            return folder
        place = ArtifactsPlace(far["address"], S3Fields.model_validate(far["s3"]), far["token"])
        return replace(folder, artifacts=place)

    def to_dict(self) -> dict[str, Any]:
        """Returns what a worker must know, as plain values, fit for JSON."""
        far = self.artifacts
        place = None if far is None else {"address": far.address, "s3": far.s3.model_dump(), "token": far.token}
        return {"path": str(self.path), "artifacts": place, "used": [each.to_dict() for each in self.used]}

    def with_data_of(self, config: Mapping[str, Any]) -> "StudyFolder":
        """Returns the folder as a trial of a plain config needs it: where its data is searched, there are many."""
        return replace(self, used=of_section(self.used, TrialConfig.model_validate(config).data))

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
    def near(self) -> Path:
        """Where this node has the trials and the data: the study's own folder, or a cache of what is kept far away."""
        if self.artifacts is None:
            return self.path
        return self.artifacts.cache / f"{self.name}-{self.artifacts.token}"

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
        return self.near / "data"

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
        return self.near / "trials"

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
