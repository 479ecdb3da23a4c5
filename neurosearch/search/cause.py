"""What growth's gain comes from: the growing network beside its arms, on the same fresh seeds."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neurosearch.config.search import ARMS, Arm, Objective
from neurosearch.config.study import StudyFields
from neurosearch.config.trial import config_key
from neurosearch.search.confirmed import common_seeds, confirmed, paired_networks
from neurosearch.search.seams import TrialSummary
from neurosearch.search.statistics import Answer, Comparison, compare, difference_words, estimate_words
from neurosearch.search.summaries import ranked

_STATIC = "static"
_CALLED: Mapping[Arm, str] = {
    "fixed": "A fixed network of its final size",
    "equal_compute": "A fixed network of its final size, trained for as many multiply-adds,",
    "wide_then_prune": "The grown width from the start, pruned once,",
    "recycle": "Recycling of dormant neurons at constant size",
    "random_importance": "The same growth, pruned at random,",
}
#: What an arm has that the growing network has as well, and that may be all that helped.
_CAUSES: Mapping[Arm, str] = {
    "equal_compute": "the compute",
    "wide_then_prune": "the passing width",
    "recycle": "the recycling",
}
_ASKED_FOR: tuple[Arm, ...] = ("equal_compute", "recycle")  # without which the question is open


@dataclass(frozen=True)
class ArmAnswer:
    """The growing network against one arm.

    Attributes:
        arm: Which.
        trial: Number of its trial.
        comparisons: The growing network (winner) against the arm (control), one for each objective.
    """

    arm: Arm
    trial: int
    comparisons: tuple[Comparison, ...]

    def facts(self) -> dict[str, Any]:
        """Returns plain values, fit for JSON."""
        return {
            "arm": self.arm,
            "trial": self.trial,
            "comparisons": [comparison.facts() for comparison in self.comparisons],
        }


@dataclass(frozen=True)
class Cause:
    """The arms of a study, and what they say.

    Attributes:
        grown: Number of the growing network that they stand beside.
        base: It against the fixed network: the arm of its final size, else the control.
        arms: In the order of the config's names.
    """

    grown: int
    base: Comparison
    arms: tuple[ArmAnswer, ...]

    def lines(self) -> tuple[str, ...]:
        """Says it for people."""
        if not self.arms:
            return ()
        beside = f"Beside trial {self.grown}, on the same seeds:"
        return (beside, *(line for arm in self.arms for line in _arm_lines(arm)), *self._verdict())

    def facts(self) -> dict[str, Any]:
        """Returns plain values, fit for JSON."""
        return {"grown": self.grown, "arms": [arm.facts() for arm in self.arms], "words": list(self.lines())}

    def _verdict(self) -> Iterator[str]:
        if self.base.answer != "helped":
            yield "Growth is not clearly better than a fixed network here, so there is no gain to explain."
            return
        tried: dict[Arm, Answer] = {arm.arm: arm.comparisons[0].answer for arm in self.arms if arm.arm in _CAUSES}
        others = [_CAUSES[arm] for arm, answer in tried.items() if answer != "helped"]
        if others:
            yield f"What growth gives may be {' or '.join(others)}: against that it is not clearly better."
        elif tried:
            yield f"It is more than {' or '.join(_CAUSES[arm] for arm in tried)}: growth is clearly better than that."
        if missing := [arm for arm in _ASKED_FOR if arm not in tried]:
            causes = " and ".join(_CAUSES[arm] for arm in missing)
            yield f"Whether it is {causes} was not tried; search.arms: [{', '.join(missing)}] does."


def cause(trials: Sequence[TrialSummary], study: StudyFields, control: TrialSummary) -> Cause | None:
    """Returns what the arms say; None where no network that changed its neurons was trained on fresh seeds.

    The arms stand beside the finalist that was the best of the search among those whose neurons changed, and were asked
    for after it: those of before, in a study that went on with more trials, stood beside another one.

    Args:
        trials: All of the study.
        study: Its config.
        control: The control.
    """
    fresh, objective = confirmed(trials), study.search.objectives[0]
    finalists = [trial for trial in fresh if trial.role == "finalist" and trial.state == "finished"]
    grown = grown_leader(_by_search(finalists, trials, objective))
    if grown is None or not common_seeds(grown, control):
        return None
    asked = min(each.number for each in trials if each.role == "finalist" and each.config == grown.config)
    after = [trial for trial in fresh if trial.number > asked and common_seeds(grown, trial)]
    found = {trial.role: trial for trial in after if trial.role in ARMS}
    arms = tuple(
        ArmAnswer(arm, found[arm].number, compared(grown, found[arm], study.search.objectives))
        for arm in ARMS
        if arm in found
    )
    fixed = next((arm.comparisons for arm in arms if arm.arm == "fixed"), None)
    base = fixed or compared(grown, control, study.search.objectives)
    return Cause(grown.number, base[0], arms)


def _by_search(
    finalists: Iterable[TrialSummary], trials: Iterable[TrialSummary], objective: Objective
) -> list[TrialSummary]:
    """Returns finalists as the search ranked their configs, the best first."""
    searched = ranked((trial for trial in trials if trial.role == "search"), objective)
    places = {config_key(trial.config): place for place, trial in enumerate(searched)}
    return sorted(finalists, key=lambda each: (places.get(config_key(each.config), len(places)), each.number))


def grown_leader(best: Sequence[TrialSummary]) -> TrialSummary | None:
    """Returns the first of some trials, best first, whose neurons changed; None if none did."""
    return next((trial for trial in best if trial.kind != _STATIC), None)


def compared(ours: TrialSummary, theirs: TrialSummary, objectives: Sequence[Objective]) -> tuple[Comparison, ...]:
    """Returns the comparison of two trials on the seeds that both have, at least one, in each objective."""
    pairs = paired_networks(ours, theirs)
    return tuple(
        compare(
            each.metric,
            each.direction,
            [one[each.metric] for one, _ in pairs],
            [other[each.metric] for _, other in pairs],
        )
        for each in objectives
    )


def _arm_lines(arm: ArmAnswer) -> Iterator[str]:
    for each in arm.comparisons:
        mean = estimate_words(each.metric, each.control)
        yield f"{_CALLED[arm.arm]} has {each.metric} {mean}; growth {difference_words(each)} against it."
