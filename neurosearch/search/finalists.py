"""Who is trained again on fresh seeds, so that the winner is not a lucky draw."""

from collections.abc import Sequence

from neurosearch.config.study import StudyFields
from neurosearch.search.front import pareto_front
from neurosearch.search.seams import TrialSummary
from neurosearch.search.summaries import ranked

_STATIC = "static"


def leaders(trials: Sequence[TrialSummary], study: StudyFields, count: int) -> tuple[TrialSummary, ...]:
    """Returns the best trials of the search, best first by the first objective; with several, those of the front.

    If they would all be fixed networks, the last of several is the best one whose neurons changed, if there is any:
    otherwise nothing could be said about whether changing neurons helps.

    Args:
        trials: Of the study, in any state and role.
        study: Its config.
        count: How many at most.
    """
    objectives = study.search.objectives
    searched = [trial for trial in trials if trial.role == "search" and trial.state == "finished"]
    directions = [objective.direction for objective in objectives]
    front = pareto_front([trial.values for trial in searched], directions, [0.0] * len(searched))
    best = ranked([searched[index] for index in front] if len(objectives) > 1 else searched, objectives[0])
    chosen = tuple(best[:count])
    changing = (trial for trial in (*best, *ranked(searched, objectives[0])) if trial.kind != _STATIC)
    other = next(changing, None)
    if count < 2 or other is None or any(trial.kind != _STATIC for trial in chosen):
        return chosen
    return (*chosen[: count - 1], other)
