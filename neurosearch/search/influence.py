"""Which hyperparameters mattered for an objective, how sure that is, and what chance alone would show.

By PED-ANOVA (arXiv:2304.10255; for hyperparameters that only some trials have arXiv:2601.20800), as Optuna has it: how
much the values of a hyperparameter among the best trials differ from those among all. A hyperparameter that did nothing
differs a little as well, by chance; how much is measured by evaluations in which the results are dealt to the trials
anew. How sure the shares are is measured by trials that are drawn anew with replacement (bootstrap).
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from neurosearch.config.search import Objective
from neurosearch.randomness import derive_seed
from neurosearch.search.front import Floats
from neurosearch.search.stored import ROLE, Snapshot

if TYPE_CHECKING:
    from optuna.importance import PedAnovaImportanceEvaluator

#: Fewer finished trials than this say nothing about hyperparameters.
FEWEST_TRIALS = 20
_BEST_TRIALS = 5  # at least so many make up the best; fewer have no distribution
_LEAST_BEST, _MOST_BEST = 0.1, 0.25  # the best are this share of all, by how many there are
_NUM_DRAWS, _NUM_DEALT = 20, 30  # a draw makes a study of its own, which costs twice as much
_INTERVAL = (5.0, 95.0)  # percentiles


@dataclass(frozen=True)
class Influence:
    """What one hyperparameter had to do with an objective.

    Attributes:
        name: The hyperparameter.
        share: Its share of what all hyperparameters had, in [0, 1].
        low: Lower end of the share's 90 % interval over trials drawn anew.
        high: Upper end.
        beyond_chance: Whether it is more than in 95 % of the evaluations whose results were dealt anew.
    """

    name: str
    share: float
    low: float
    high: float
    beyond_chance: bool


@dataclass(frozen=True)
class Influences:
    """What all hyperparameters had to do with one objective.

    Attributes:
        objective: The objective.
        num_trials: Finished trials that tell it.
        best_share: Which share of them counts as the best.
        found: The largest influence first.
    """

    objective: Objective
    num_trials: int
    best_share: float
    found: tuple[Influence, ...]


def influences(snapshot: Snapshot) -> tuple[Influences, ...]:
    """Returns the influences for each objective in the order of the config; none with too few finished trials.

    Only trials of the search count, also those beyond a bound; the same study gives the same figures.
    """
    trials = [_bare(each) for each in snapshot.frozen if _counts(each)]
    if len(trials) < FEWEST_TRIALS:
        return ()
    from optuna.importance import PedAnovaImportanceEvaluator  # brings scikit-learn along, a second's import

    best_share = min(max(_LEAST_BEST, _BEST_TRIALS / len(trials)), _MOST_BEST)
    evaluator = PedAnovaImportanceEvaluator(target_quantile=best_share)
    generator = np.random.default_rng(derive_seed(snapshot.study.seed, "influence") % 2**32)
    whole = _study_of(trials)
    draws = [generator.integers(len(trials), size=len(trials)) for _ in range(_NUM_DRAWS)]
    resampled = [_study_of([trials[row] for row in rows]) for rows in draws]
    dealt = [generator.permutation(len(trials)) for _ in range(_NUM_DEALT)]
    found = []
    for index, objective in enumerate(snapshot.study.search.objectives):
        losses = _losses(trials, index, objective)
        by_chance = [_values(evaluator, whole, losses[order]) for order in dealt]
        shares = [_shares(_values(evaluator, each, losses[rows])) for each, rows in zip(resampled, draws, strict=True)]
        values = _values(evaluator, whole, losses)
        found.append(Influences(objective, len(trials), best_share, _ranked(values, shares, by_chance)))
    return tuple(found)


def _counts(trial: FrozenTrial) -> bool:
    return trial.state is TrialState.COMPLETE and trial.user_attrs[ROLE] == "search" and bool(trial.params)


def _bare(trial: FrozenTrial) -> FrozenTrial:
    """Returns a trial without its reports, which Optuna would copy with every study."""
    return optuna.create_trial(params=trial.params, distributions=trial.distributions, values=trial.values)


def _losses(trials: Sequence[FrozenTrial], index: int, objective: Objective) -> Floats:
    """Returns an objective of each trial, less for better."""
    sign = -1.0 if objective.direction == "maximize" else 1.0
    return np.array([sign * trial.values[index] for trial in trials])


def _ranked(
    values: Mapping[str, float], drawn: Sequence[Mapping[str, float]], by_chance: Sequence[Mapping[str, float]]
) -> tuple[Influence, ...]:
    shares = _shares(values)
    found = []
    for name in sorted(values, key=lambda name: (-shares[name], name)):
        low, high = np.percentile([each.get(name, 0.0) for each in drawn], _INTERVAL)
        chance = np.percentile([each.get(name, 0.0) for each in by_chance], 95.0)
        found.append(Influence(name, shares[name], float(low), float(high), bool(values[name] > chance)))
    return tuple(found)


def _shares(values: Mapping[str, float]) -> dict[str, float]:
    total = sum(values.values())
    return {name: value / total if total else 0.0 for name, value in values.items()}


def _values(evaluator: "PedAnovaImportanceEvaluator", study: optuna.Study, losses: Floats) -> dict[str, float]:
    """Returns what each hyperparameter has to do with the losses of a study's trials, in the order of their numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of options with few trials: the interval says what that does
        return evaluator.evaluate(study, target=lambda trial: float(losses[trial.number]))


def _study_of(trials: Sequence[FrozenTrial]) -> optuna.Study:
    """Returns a study in memory, whose trials are numbered in their order."""
    study = optuna.create_study(directions=["minimize"] * len(trials[0].values))
    study.add_trials(trials)
    return study
