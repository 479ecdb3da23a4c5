"""What `search --smoke` does: one tiny trial through all that a search needs, step by step, in a folder apart."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from neurosearch import names
from neurosearch.cli.delivery import deliver_trial
from neurosearch.cli.report import FAILED, OK, Report, say
from neurosearch.config.load import StudyConfig
from neurosearch.config.trial import TrialConfig, kind_of
from neurosearch.search.data_cache import opened_data
from neurosearch.search.desk import Desk
from neurosearch.search.few_training import FewTraining, tiny_study
from neurosearch.search.folders import StudyFolder
from neurosearch.search.lease import LeasedTrial
from neurosearch.search.outcome import read_result
from neurosearch.search.ray_cluster import Workers, cluster
from neurosearch.search.ray_tune import TrialWorker, run_trials
from neurosearch.search.room import Room
from neurosearch.search.run import write_config
from neurosearch.search.seams import SilentListener, SilentTracker, Tracker
from neurosearch.search.stored import StoredStudy
from neurosearch.search.study import create_study, resume_study
from neurosearch.search.trial import trial_updates
from neurosearch.tracking.mlflow_tracker import MlflowTracker
from neurosearch.tracking.store import choose_store
from neurosearch.training.checkpoint import FolderCheckpointStore

_CLOSE_SECONDS = 30.0


class FewWorker(TrialWorker):
    """A worker whose trainings are cut down."""

    opened = staticmethod(FewTraining)


class BrokenStepError(Exception):
    """A step did not do what it should."""


@dataclass(frozen=True)
class Step:
    """What came of one step.

    Attributes:
        name: Of the step.
        ok: Whether it did what it should.
        text: What it did, or what broke.
        seconds: It took.
    """

    name: str
    ok: bool
    text: str
    seconds: float

    def line(self) -> str:
        """Tells it to people."""
        return f"{'ok   ' if self.ok else 'broke'}  {self.name:<10}  {self.text} ({self.seconds:.1f} s)"


def smoke_report(study: StudyConfig, next_commands: tuple[str, ...]) -> Report:
    """Runs the steps until one breaks, saying each; the folder stays only where one broke.

    Args:
        study: The study that is to be searched.
        next_commands: What is worth typing where everything works.
    """
    root = Path(tempfile.mkdtemp(prefix="neurosearch-smoke-")).resolve()
    smoke, steps = Smoke(study, root), list[Step]()
    for name, do in smoke.steps():
        steps.append(_done(name, do))
        say(steps[-1].line())
        if not steps[-1].ok:
            break
    smoke.close()
    ok = all(step.ok for step in steps)
    facts = {"ok": ok, "steps": [vars(step) for step in steps], "folder": None if ok else str(root)}
    if ok:
        shutil.rmtree(root, ignore_errors=True)
        return Report(facts, ("everything works; nothing of it is kept.",), next=next_commands, code=OK)
    line = f"{steps[-1].name} broke: {steps[-1].text} What was written, logs included, is in {root}."
    return Report({**facts, "error": line, "exit_code": FAILED}, (f"error: {line}",), code=FAILED)


class Smoke:
    """One tiny trial of a study on its way through a search."""

    def __init__(self, study: StudyConfig, root: Path) -> None:
        """Takes the study, and a folder for all that is written."""
        self._study = study
        self._root = root
        self._folder = StudyFolder(root, study.study.name)
        self._tracker: Tracker = SilentTracker()
        self._epochs_before = 0
        self._seconds_before: list[float] = []

    def steps(self) -> Iterator[tuple[str, Callable[[], str]]]:
        """Yields each step's name, and what does it and tells what it did."""
        yield "trial", self._choose
        yield "data", self._prepare
        yield "growth", self._grow
        yield "checkpoint", self._look_at_checkpoint
        yield "resume", self._resume
        if self._study.study.tracking.enabled:
            yield "tracking", self._track
        yield "export", self._export

    def close(self) -> None:
        """Lets go of the tracker, whatever broke."""
        self._tracker.close(0.0)

    def _choose(self) -> str:
        self._tiny = tiny_study(self._study, self._root)
        self._trial = self._tiny.trial(lambda _name, _node: None)
        return (
            f"{kind_of(self._trial.model)} with growth {kind_of(self._trial.growth)}, "
            f"{self._trial.training.epochs} epochs of two steps"
        )

    def _prepare(self) -> str:
        manifest = opened_data(self._trial, self._folder).manifest
        return f"{sum(manifest.train_counts):,} training and {sum(manifest.validation_counts):,} validation examples"

    def _grow(self) -> str:
        study = create_study(self._folder, self._tiny)
        try:
            info = study.ask()
            assert info is not None
            leased = LeasedTrial(info.number, info.role, dict(info.config), info.seeds, ())
            events = list[dict[str, Any]]()
            updates = trial_updates(leased, self._folder, self._device, FewTraining)
            for update in updates:
                if update.outcome is not None:
                    raise BrokenStepError(f"the trial ended before its last epoch: {update.outcome.reason}")
                events += [event for record in update.records for event in record["events"]]
                self._epochs_before += len(update.records)
                self._seconds_before += [record["metrics"][names.EPOCH_SECONDS] for record in update.records]
                if events or self._epochs_before + 1 >= self._trial.training.epochs:
                    break
            updates.close()  # as if this process had been killed here
        finally:
            study.close()
        added, removed = (sum(event[name] for event in events) for name in ("added", "removed"))
        return f"after epoch {self._epochs_before}, {added} neurons added and {removed} removed; interrupted there"

    def _look_at_checkpoint(self) -> str:
        folder = self._folder.training(0, 0)
        state = FolderCheckpointStore(folder).load_newest()
        if state is None or len(state["history"]) != self._epochs_before:
            raise BrokenStepError(f"{folder} holds no checkpoint of epoch {self._epochs_before}.")
        return f"the state after epoch {self._epochs_before} is whole"

    def _resume(self) -> str:
        study = resume_study(self._folder, self._tiny)
        try:
            write_config(self._folder, self._tiny)
            if self._tiny.study.tracking.enabled:
                store = choose_store(self._root, None)
                self._tracker = MlflowTracker(store, self._tiny.study.tracking.experiment, Path.cwd())
            self._tracker.start_study(study.stored.info)
            search = self._tiny.study.search
            gpus = float(search.gpus_per_trial)
            desk = Desk(study, self._tracker, SilentListener(), self._tags, lambda: (), lambda _: Room(gpus))
            workers = Workers(1, search.cpus_per_trial, gpus, None)
            with cluster(workers, self._folder):
                run_trials(desk, workers, self._folder, FewWorker)
            self._untold = self._tracker.close(_CLOSE_SECONDS)
            study.set_run_ids(self._tracker.run_ids(), self._tracker.study_run_id)
            if desk.halted is not None:
                raise BrokenStepError(desk.halted)
        finally:
            study.close()
        return self._resumed()

    def _resumed(self) -> str:
        result = read_result(self._folder.result(0))
        if result is None or result.outcome.state != "finished":
            reason = "it has no result." if result is None else result.outcome.reason
            raise BrokenStepError(f"the trial did not finish on a worker of Ray: {reason}")
        before = [record["metrics"][names.EPOCH_SECONDS] for record in result.records[: self._epochs_before]]
        if before != self._seconds_before:
            raise BrokenStepError("the trial started anew on a worker of Ray, where it should have gone on.")
        return f"a worker of Ray went on after epoch {self._epochs_before} and finished epoch {result.outcome.epochs}"

    def _track(self) -> str:
        run = StoredStudy(self._folder).info.run_id
        if self._untold or run is None:
            raise BrokenStepError(f"MLflow could not write {self._untold} values; {self._folder.logs} may say why.")
        return "MLflow has the study, its trial and every epoch"

    def _export(self) -> str:
        stored = StoredStudy(self._folder)
        delivery = deliver_trial(stored, stored.trial(0), self._folder.export)
        if self._tiny.study.tracking.enabled and delivery.model is None:
            raise BrokenStepError(" ".join(delivery.remarks))
        files = ", ".join(path.name for path in delivery.exported.files.values())
        registered = "" if delivery.model is None else "; registered in MLflow"
        return f"{files}, each loaded back with the same predictions{registered}"

    @property
    def _device(self) -> str:
        return "cuda" if self._tiny.study.search.gpus_per_trial else "cpu"

    def _tags(self, trial: Any) -> dict[str, str]:
        config = TrialConfig.model_validate(trial.config)
        return {"data_hash": opened_data(config, self._folder).manifest.data_hash}


def _done(name: str, do: Callable[[], str]) -> Step:
    started = perf_counter()
    try:
        text, ok = do(), True
    except Exception as error:  # noqa: BLE001  # whatever breaks is what this command is there to tell
        known = isinstance(error, BrokenStepError | ValueError)
        text, ok = (str(error) if known else f"{type(error).__name__}: {error}"), False
    return Step(name, ok, text, perf_counter() - started)
