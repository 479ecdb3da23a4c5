"""A study at one moment: what is asked of it one after the other fits together, while a search goes on."""

from dataclasses import dataclass

from optuna.trial import FrozenTrial

from neurosearch.config.search import ARMS
from neurosearch.config.study import StudyFields
from neurosearch.search.reached import Reached, reached
from neurosearch.search.reports import StoredReport, from_attributes
from neurosearch.search.seams import Role, TrialSummary
from neurosearch.search.summaries import best_of


@dataclass(frozen=True)
class Snapshot:
    """All trials of a study as they were at one moment.

    Attributes:
        study: The study's config.
        fresh_seeds: Seeds that finalists and control are trained on, none of which the search has seen.
        trials: All trials by number.
        frozen: Optuna's own values of them, which must not be changed.
    """

    study: StudyFields
    fresh_seeds: tuple[int, ...]
    trials: tuple[TrialSummary, ...]
    frozen: tuple[FrozenTrial, ...]

    def best(self, role: Role | None = None) -> TrialSummary | None:
        """Returns the best feasible trial by the first objective; None when nothing is feasible.

        Without a role: once finalists are done, the best of them and of the control on the same fresh seeds, because
        the search's own best value is in part luck; before that, the best trial of any role. Arms are never the best:
        they are there to be compared with.
        """
        trials = [trial for trial in self.trials if (trial.role not in ARMS if role is None else trial.role == role)]
        fresh = [trial for trial in trials if trial.role != "search" and trial.seeds == self.fresh_seeds]
        confirmed = any(trial.role == "finalist" and trial.state == "finished" for trial in fresh)
        return best_of(fresh if role is None and confirmed else trials, self.study.search.objectives[0])

    def reports(self, number: int) -> list[StoredReport]:
        """Returns what a trial has reported, the first epoch first."""
        return from_attributes(self.frozen[number].user_attrs)

    def reached(self) -> Reached:
        """Returns the front and how it grew; by every epoch at rest, if `search.candidates` says so."""
        counted = [t for t in self.trials if t.role == "search" and self.study.search.candidates == "at_rest"]
        return reached(self.trials, self.study, {trial.number: self.reports(trial.number) for trial in counted})
