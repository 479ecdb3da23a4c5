"""Whether changing neurons helped: the best network that changed beside the control, on the same fresh seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from neurosearch.config.study import StudyFields
from neurosearch.search.seams import TrialSummary
from neurosearch.search.statistics import Comparison, compare, words
from neurosearch.search.summaries import best_of

_STATIC = "static"


@dataclass(frozen=True)
class Answered:
    """The answer.

    Attributes:
        searched: Number of the finalist that stands for the search: the best one whose neurons changed; the best one
            where none's did.
        control: Number of the control.
        comparisons: That finalist against the control, one for each objective.
        fixed_winner: Whether the best of all finalists and the control is a network whose neurons never changed.
        changed: Whether the neurons of that finalist changed.
    """

    searched: int
    control: int
    comparisons: tuple[Comparison, ...]
    fixed_winner: bool
    changed: bool

    def lines(self) -> tuple[str, ...]:
        """Says it for people."""
        subject = "The best network whose neurons changed" if self.changed else "The best of the search"
        return words(self.comparisons, fixed_winner=self.fixed_winner, subject=subject)

    def facts(self) -> dict[str, Any]:
        """Returns plain values, fit for JSON."""
        return {
            "searched": self.searched,
            "control": self.control,
            "fixed_winner": self.fixed_winner,
            "changed": self.changed,
            "comparisons": [comparison.facts() for comparison in self.comparisons],
            "words": list(self.lines()),
        }


def answered(trials: Sequence[TrialSummary], study: StudyFields) -> Answered | None:
    """Returns the answer, by feasible finalists and the best feasible control that share their seeds.

    None without them: fresh seeds alone can tell, since the search chose its best by its own seeds. Of several
    finalists the better one on the fresh seeds stands for the search; what that choice adds to the difference is small
    beside the interval, but it is there.
    """
    objective = study.search.objectives[0]
    finalists = [trial for trial in trials if trial.role == "finalist"]
    changing = (trial for trial in finalists if trial.kind != _STATIC)
    finalist = best_of(changing, objective) or best_of(finalists, objective)
    if finalist is None:
        return None
    rivals = (trial for trial in trials if trial.role == "control" and trial.seeds == finalist.seeds)
    control = best_of(rivals, objective)
    if control is None:
        return None
    comparisons = tuple(
        compare(
            each.metric,
            each.direction,
            [metrics[each.metric] for metrics in finalist.per_seed],
            [metrics[each.metric] for metrics in control.per_seed],
        )
        for each in study.search.objectives
    )
    winner = best_of((*finalists, control), objective)
    assert winner is not None
    return Answered(finalist.number, control.number, comparisons, winner.kind == _STATIC, finalist.kind != _STATIC)
