"""Whether changing neurons helped: the best network that changed beside the control, on the same fresh seeds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from neurosearch import names
from neurosearch.config.study import StudyFields
from neurosearch.search.cause import Cause, cause, compared
from neurosearch.search.confirmed import best_confirmed, common_seeds, confirmed
from neurosearch.search.seams import TrialSummary
from neurosearch.search.statistics import Comparison, compare, difference_words, words

_STATIC = "static"


@dataclass(frozen=True)
class Answered:
    """The answer.

    Attributes:
        searched: Number of the finalist that stands for the search: the best one whose neurons changed; the best one
            where none's did.
        control: Number of the control.
        seeds: The fresh seeds that both were trained on, in order: what all comparisons of both are made on.
        num_seeds: How many fresh seeds that finalist and the control have each; more than `seeds` in a study that was
            resumed with another number of them.
        comparisons: That finalist against the control, one for each objective.
        fixed_winner: Whether the best of all finalists and the control is a network whose neurons never changed.
        changed: Whether the neurons of that finalist changed.
        cause: What the arms say about where a gain comes from; None without a network that changed.
        on_test: The same comparisons on the test part, where it was read; sizes are left out.
    """

    searched: int
    control: int
    seeds: tuple[int, ...]
    num_seeds: tuple[int, int]
    comparisons: tuple[Comparison, ...]
    fixed_winner: bool
    changed: bool
    cause: Cause | None
    on_test: tuple[Comparison, ...] = ()

    def lines(self) -> tuple[str, ...]:
        """Says it for people."""
        subject = "The best network whose neurons changed" if self.changed else "The best of the search"
        tests = (f"{each.metric} {difference_words(each)}" for each in self.on_test)
        on_test = (f"On the test part, which chose nothing: {', '.join(tests)}.",) if self.on_test else ()
        arms = () if self.cause is None else self.cause.lines()
        said = words(self.comparisons, fixed_winner=self.fixed_winner, subject=subject, changed=self.changed)
        return (*said, *self._common(), *on_test, *arms)

    def with_test(
        self, searched: Mapping[int, Mapping[str, float]], control: Mapping[int, Mapping[str, float]]
    ) -> "Answered":
        """Returns the answer with what the test part says.

        Args:
            searched: Test scores of the searched network by fresh seed, under `test/` names.
            control: Those of the control.
        """
        ours, theirs = ([scores[seed] for seed in self.seeds] for scores in (searched, control))
        metrics = [(f"{names.TEST_PREFIX}{each.metric}", each.direction) for each in self.comparisons]
        found = tuple(
            compare(metric, direction, [each[metric] for each in ours], [each[metric] for each in theirs])
            for metric, direction in metrics
            if all(metric in each for each in (*ours, *theirs))
        )
        return replace(self, on_test=found)

    def _common(self) -> Iterator[str]:
        """Says on how many seeds both are compared, where one of them has more."""
        ours, theirs = self.num_seeds
        if max(self.num_seeds) > len(self.seeds):
            yield (
                f"Trial {self.searched} has {ours} fresh seeds and the control, trial {self.control}, {theirs}: they "
                f"are compared on the {len(self.seeds)} that both have."
            )

    def facts(self) -> dict[str, Any]:
        """Returns plain values, fit for JSON."""
        return {
            "searched": self.searched,
            "control": self.control,
            "seeds": list(self.seeds),
            "fixed_winner": self.fixed_winner,
            "changed": self.changed,
            "comparisons": [comparison.facts() for comparison in self.comparisons],
            "on_test": [comparison.facts() for comparison in self.on_test],
            "cause": None if self.cause is None else self.cause.facts(),
            "words": list(self.lines()),
        }


def answered(trials: Sequence[TrialSummary], study: StudyFields) -> Answered | None:
    """Returns the answer, by feasible finalists and the best feasible control with seeds that they have, too.

    None without them: fresh seeds alone can tell, since the search chose its best by its own seeds. Of several
    finalists the better one on the fresh seeds stands for the search; what that choice adds to the difference is small
    beside the interval, but it is there. Of several controls those with the most seeds that the finalist has come
    first.
    """
    objective = study.search.objectives[0]
    fresh = confirmed(trials)
    finalists = [trial for trial in fresh if trial.role == "finalist"]
    changing = (trial for trial in finalists if trial.kind != _STATIC)
    finalist = best_confirmed(changing, objective) or best_confirmed(finalists, objective)
    if finalist is None:
        return None
    controls = [trial for trial in fresh if trial.role == "control" and trial.state == "finished"]
    most = max((len(common_seeds(finalist, trial)) for trial in controls), default=0)
    rivals = (trial for trial in controls if most and len(common_seeds(finalist, trial)) == most)
    control = best_confirmed(rivals, objective)
    if control is None:
        return None
    winner = best_confirmed((*finalists, *controls), objective)
    assert winner is not None
    return Answered(
        searched=finalist.number,
        control=control.number,
        seeds=common_seeds(finalist, control),
        num_seeds=(len(finalist.per_seed), len(control.per_seed)),
        comparisons=compared(finalist, control, study.search.objectives),
        fixed_winner=winner.kind == _STATIC,
        changed=finalist.kind != _STATIC,
        cause=cause(trials, study, control),
    )


def unanswered(trials: Sequence[TrialSummary], study: StudyFields) -> str | None:
    """Says why nothing tells whether changing neurons helped, and what would; None with an answer, or no question.

    There is no question without a control, and where no trial of the search changed its neurons. An answer about
    networks that never changed is none.
    """
    asked = study.search.control and any(each.role == "search" and each.kind != _STATIC for each in trials)
    found = answered(trials, study)
    if not asked or (found is not None and found.changed):
        return None
    if study.search.finalists == 0:
        return (
            "Whether changing neurons helped was not tested: search.finalists is 0, so nothing was trained on fresh "
            "seeds. Give search.finalists: 2 to test it."
        )
    which = "finalist" if found is None else "finalist whose neurons changed"
    return (
        f"Whether changing neurons helped was not tested: no {which} stands beside a control within the limits. "
        "search.finalists of 2 or more sends a network whose neurons changed into the final, too."
    )
