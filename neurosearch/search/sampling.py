"""Which configuration is tried next.

Suggestions are drawn in a draft: a study in memory that mirrors what the real one knows. A draw that is no use (a point
that was tried before, a config that breaks a rule) leaves no trace in the real study, and a good one is written there
whole, in one piece.
"""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from neurosearch.config.load import StudyConfig
from neurosearch.config.search_nodes import slots
from neurosearch.config.trial import TrialConfig
from neurosearch.randomness import derive_seed
from neurosearch.search.space import chooser, drawn_by, num_points

_MODEL_DRAWS = 5  # by the study's sampler; it may insist on points that were tried
_RANDOM_DRAWS = 100  # where the space is not finite
_DRAWS_PER_POINT = 10  # a point is then missed with probability e^-10
_MAXIMUM_DRAWS = 5000  # some seconds
_FAILED = 1e6  # violation of a trial that failed: worse than any size above the limit


@dataclass(frozen=True)
class Suggestion:
    """A configuration to try.

    Attributes:
        config: What to run.
        values: The searched values by hyperparameter name.
        params: The same as Optuna's distributions know them.
        distributions: Those distributions.
    """

    config: TrialConfig
    values: dict[str, Any]
    params: dict[str, Any]
    distributions: dict[str, BaseDistribution]


def config_key(config: dict[str, Any]) -> str:
    """Returns a text that is equal for equal plain `TrialConfig`s."""
    return json.dumps(config, sort_keys=True)


class Suggester:
    """Draws configurations that were not tried before."""

    def __init__(self, config: StudyConfig) -> None:
        """Starts with an empty draft.

        Args:
            config: The study: its space, its sampler and its seed.
        """
        self._config = config
        self._known: set[str] = set()
        self._drafts: dict[int, int] = {}  # the study's number of a trial -> the draft's
        self._objectives = config.study.search.objectives
        directions = [objective.direction for objective in self._objectives]
        with _quiet():
            self._draft = optuna.create_study(directions=directions, sampler=RandomSampler(seed=0))

    def add(self, number: int, trial: FrozenTrial, config: dict[str, Any]) -> None:
        """Takes over a trial that an earlier process suggested; it counts as running until `ended`."""
        self._known.add(config_key(config))
        self._add(number, trial.params, trial.distributions)

    def know(self, config: dict[str, Any]) -> None:
        """Takes note of a configuration that runs without having been suggested, so that it is not suggested."""
        self._known.add(config_key(config))

    def ended(self, number: int, values: tuple[float, ...] | None, violation: float) -> None:
        """Takes note of the end of a suggested trial.

        Args:
            number: The study's number of the trial.
            values: Its objectives, in the order of the config; None when it failed.
            violation: By how much it is above the size limit, as a share of the limit; at most 0 when it is within.
        """
        draft = self._drafts[number]
        trial = optuna.Trial(self._draft, draft)  # in memory, the only study's numbers are the storage's ids
        # A failed trial is told as one that is worse than all others: the sampler shall leave its neighbourhood.
        trial.set_constraint("size", _FAILED if values is None else violation)
        self._draft.tell(draft, [0.0] * len(self._objectives) if values is None else list(values))

    def stopped(self, number: int, values: tuple[float, ...], violation: float, epoch: int) -> None:
        """Takes note of a suggested trial that was stopped early.

        Args:
            number: The study's number of the trial.
            values: Its objectives in its last report.
            violation: As for `ended`.
            epoch: Of its last report.
        """
        draft = self._drafts[number]
        trial = optuna.Trial(self._draft, draft)
        trial.set_constraint("size", violation)
        if len(values) == 1:  # samplers rank stopped trials by how far they came; Optuna takes no reports of several
            trial.report(values[0], epoch)
        self._draft.tell(draft, state=TrialState.PRUNED)

    def suggest(self, number: int) -> Suggestion | None:
        """Returns a configuration for the trial of this number; None when no new one was found in many draws.

        The same study seed, number and earlier trials give the same suggestion.
        """
        for attempt in range(_MODEL_DRAWS):
            self._draft.sampler = self._sampler(number, attempt)
            drawn = self._drawn(self._draft)
            if drawn is not None:
                self._drafts[number] = self._num_drafts() - 1
                return drawn
        return self._at_random(number)

    def _at_random(self, number: int) -> Suggestion | None:
        size = num_points(self._config.template)
        num_draws = _RANDOM_DRAWS if size is None else min(_DRAWS_PER_POINT * size, _MAXIMUM_DRAWS)
        with _quiet():
            aside = optuna.create_study(sampler=RandomSampler(seed=self._seed(number, _MODEL_DRAWS)))
        for _ in range(num_draws):
            drawn = self._drawn(aside)
            if drawn is not None:
                self._add(number, drawn.params, drawn.distributions)
                return drawn
        return None

    def _drawn(self, study: optuna.Study) -> Suggestion | None:
        """Draws once; None, and no running trial left in `study`, when what came is of no use."""
        trial = study.ask()
        values: dict[str, Any] = {}
        try:
            config = self._config.trial(chooser(drawn_by(trial), values.__setitem__))
        except ValueError:  # a rule is broken in between the ends, which alone were checked when the config was read
            config = None
        key = config_key(config.model_dump(mode="json")) if config is not None else ""
        if config is None or key in self._known:
            study.tell(trial, state=TrialState.FAIL)
            return None
        self._known.add(key)
        return Suggestion(config, values, trial.params, trial.distributions)

    def _sampler(self, number: int, attempt: int) -> BaseSampler:
        seed = self._seed(number, attempt)
        if self._config.study.search.sampler == "random":
            return RandomSampler(seed=seed)
        conditional = any(slot.requires for slot in slots(self._config.template))
        with _quiet():
            # Grouped: the options of a `one_of` have hyperparameters of their own, which are modelled apart.
            return TPESampler(seed=seed, multivariate=True, group=conditional)

    def _seed(self, number: int, attempt: int) -> int:
        return derive_seed(self._config.study.seed, "sampler", number, attempt) % 2**32  # numpy's largest

    def _add(self, number: int, params: dict[str, Any], distributions: dict[str, BaseDistribution]) -> None:
        running = optuna.create_trial(state=TrialState.RUNNING, params=params, distributions=distributions)
        self._draft.add_trial(running)
        self._drafts[number] = self._num_drafts() - 1

    def _num_drafts(self) -> int:
        return len(self._draft.get_trials(deepcopy=False))


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences Optuna's announcements of new studies and of experimental options."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
