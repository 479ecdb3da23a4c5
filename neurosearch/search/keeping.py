"""What stays on the disk of trials that have ended: the results of all, the final networks of the best.

Resumable checkpoints are needed only until their trial has ended. Final networks stay for the best `search.kept_trials`
trials, for the Pareto front, and for finalists and the control, which are what a study is read from.
"""

from collections.abc import Iterable, Mapping, Sequence

from neurosearch.config.search import SearchFields
from neurosearch.search.artifacts import artifacts_of
from neurosearch.search.folders import StudyFolder
from neurosearch.search.front import pareto_front
from neurosearch.search.seams import TrialSummary
from neurosearch.search.summaries import ranked

_CHECKPOINTS, _FINAL = "checkpoint-*.pt*", "final.*"  # with what a crash left half written


def kept_trials(trials: Iterable[TrialSummary], search: SearchFields) -> frozenset[int]:
    """Returns the numbers of the trials whose final networks stay: a pure choice among those that ended.

    A trial that is not chosen once is never chosen again when more trials end, so nothing is missed once it is removed.
    """
    ended = [trial for trial in trials if trial.state == "finished"]
    searched = [trial for trial in ended if trial.role == "search"]
    best = ranked(searched, search.objectives[0])[: search.kept_trials]
    others = [trial for trial in ended if trial.role != "search"]
    return frozenset(trial.number for trial in (*best, *_front(searched, search), *others))


class Keeper:
    """Removes what ended trials no longer need; told the same twice, or after a crash in between, it does no harm.

    It knows only trials that it is told of as ended, so nothing of a running trial, or of one without an end that waits
    to go on, is ever touched.
    """

    def __init__(self, folder: StudyFolder, search: SearchFields) -> None:
        """Takes the study.

        Args:
            folder: Where it lies.
            search: What is optimised and how much is kept.
        """
        self._folder = folder
        self._artifacts = artifacts_of(folder)
        self._search = search
        self._kept: dict[int, TrialSummary] = {}

    def ended(self, trials: Iterable[TrialSummary]) -> None:
        """Removes what trials that have ended leave behind, and the networks that they push out of the best.

        Args:
            trials: Each with its end told to the study's storage; others are left alone.

        Raises:
            OSError: A file cannot be removed.
            StorageLost: Those that are kept far away cannot be removed.
        """
        told = [trial for trial in trials if trial.state != "running"]
        known = {**self._kept, **{trial.number: trial for trial in told}}
        kept = kept_trials(known.values(), self._search)
        self._kept = {number: known[number] for number in sorted(kept)}
        unwanted = {trial.number: [_CHECKPOINTS] for trial in told}
        for number in known.keys() - kept:
            unwanted.setdefault(number, []).append(_FINAL)
        self._remove(unwanted)

    def _remove(self, patterns: Mapping[int, Sequence[str]]) -> None:
        """Removes files of trials by their names; all are listed at once where there are several trials."""
        if not patterns:
            return
        trials, single = self._folder.trials, len(patterns) == 1
        found = self._artifacts.kept(self._folder.trial(next(iter(patterns))) if single else trials)
        by_folder = {self._folder.trial(number).name: names for number, names in patterns.items()}
        self._artifacts.remove(
            path for path in found if any(map(path.match, by_folder.get(path.relative_to(trials).parts[0], ())))
        )


def _front(trials: Sequence[TrialSummary], search: SearchFields) -> list[TrialSummary]:
    if len(search.objectives) == 1:  # the best one, and it is among the best
        return []
    directions = [objective.direction for objective in search.objectives]
    chosen = pareto_front([trial.values for trial in trials], directions, [0.0] * len(trials))
    return [trials[index] for index in chosen]
