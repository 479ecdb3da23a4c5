"""Networks of single epochs as candidates of the front (`search.candidates: at_rest`): one trial gives a piece of it.

An epoch at rest has a network that could be deployed. While a trial runs, its worker keeps the checkpoint of every such
epoch under a name of its own; when the trial has ended, those stay that are on the front, and only they.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from neurosearch.config.study import StudyFields
from neurosearch.search.artifacts import artifacts_of
from neurosearch.search.folders import StudyFolder
from neurosearch.search.front import pareto_front
from neurosearch.search.reports import StoredReport
from neurosearch.search.seams import TrialSummary

_PATTERN = "candidate-*.pt"


@dataclass(frozen=True)
class Candidate:
    """A network that may be on the front.

    Attributes:
        trial: Number of its trial.
        kind: The trial's kind of growth.
        epoch: Epoch of its checkpoint; None for the trial's final network.
        values: Objectives in the order of the config; of an epoch, as reported (a gated network is not rounded yet).
        violation: By how much it is beyond size limit and constraints, as shares; at most 0 within them.
        ended: When its trial ended, in seconds since 1970.
    """

    trial: int
    kind: str
    epoch: int | None
    values: tuple[float, ...]
    violation: float
    ended: float


def candidate_file(folder: Path, epoch: int) -> Path:
    """Returns where the state after an epoch is kept, in the folder of its training."""
    return folder / f"candidate-{epoch:06d}.pt"


def keep_candidate(folder: Path, checkpoint: str, epoch: int) -> None:
    """Keeps a checkpoint as a candidate, by a second name where the disk knows such; a lost checkpoint is left out.

    Raises:
        OSError: The disk is full, say.
    """
    source, target = folder / checkpoint, candidate_file(folder, epoch)
    if target.exists() or not source.exists():
        return
    try:
        os.link(source, target)
    except OSError:  # a disk that knows no second names; a full one says so again
        temporary = target.with_suffix(".pt.tmp")
        shutil.copyfile(source, temporary)
        temporary.replace(target)


def candidates(trial: TrialSummary, reports: Sequence[StoredReport]) -> tuple[Candidate, ...]:
    """Returns what a trial offers: its final network, and those of its epochs at rest that have a checkpoint.

    None if it failed or was stopped. What the last epoch left is the final network's matter, and of networks that are
    equal in everything that counts the last one stands for all.

    Args:
        trial: Of any state.
        reports: Of its epochs; empty where only final networks count.
    """
    if trial.state not in ("finished", "infeasible") or trial.ended is None:
        return ()
    beyond = 0.0 if trial.state == "finished" else 1.0  # how far does not matter here
    final = Candidate(trial.number, trial.kind, None, trial.values, beyond, trial.ended)
    epochs = (
        Candidate(trial.number, trial.kind, each.epoch, each.report.values, each.report.violation, trial.ended)
        for each in reports
        if each.report.at_rest and each.checkpoint is not None and each.epoch < trial.epochs
    )
    return tuple({(each.values, each.violation > 0): each for each in (*epochs, final)}.values())


def front_of(offered: Sequence[Candidate], study: StudyFields) -> tuple[Candidate, ...]:
    """Returns the candidates within their limits that none dominates, best first by the first objective."""
    directions = [objective.direction for objective in study.search.objectives]
    values, violations = [each.values for each in offered], [each.violation for each in offered]
    return tuple(offered[index] for index in pareto_front(values, directions, violations))


class CandidateKeeper:
    """Removes the states of epochs that are not on the front; told the same twice, it does no harm."""

    def __init__(self, folder: StudyFolder, study: StudyFields) -> None:
        """Takes where the study lies and what it optimises."""
        self._folder = folder
        self._artifacts = artifacts_of(folder)
        self._study = study
        self._front: tuple[Candidate, ...] = ()

    def ended(self, trial: TrialSummary, reports: Sequence[StoredReport]) -> None:
        """Removes what a trial of the search that has ended offered in vain, and what it has pushed off the front.

        Raises:
            OSError: A file cannot be removed.
            StorageLost: Those that are kept far away cannot be removed.
        """
        if trial.state == "running" or trial.role != "search":
            return
        before = self._front
        self._front = front_of((*before, *candidates(trial, reports)), self._study)
        kept = {self._file(each) for each in self._front if each.epoch is not None}
        gone = {self._file(each) for each in before if each.epoch is not None} - kept
        found = self._artifacts.kept(self._folder.trial(trial.number))
        own = {path for path in found if path.match(_PATTERN)} - kept
        self._artifacts.remove(gone | own)

    def _file(self, candidate: Candidate) -> Path:
        assert candidate.epoch is not None
        return candidate_file(self._folder.training(candidate.trial, 0), candidate.epoch)
