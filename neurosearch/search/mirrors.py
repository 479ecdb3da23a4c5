"""Optuna's NSGA-II and Gaussian processes, over one branch each, and the study in memory that its samplers draw in.

Each draws in a study in memory that holds the trials in the order of their numbers. Optuna's samplers keep some of what
they decided beside the trials; here everything is decided again from the trials alone.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler
from optuna.trial import FrozenTrial, TrialState

from neurosearch.config.search import Direction
from neurosearch.search.history import Ask, Ending, Entry, History, Point
from neurosearch.search.space import Draw, drawn_by

_DRAWS = 5  # a sampler may insist on points that were tried
_PROCESS_DRAWS = 2  # each is another fit
_POPULATION = 20  # Optuna's default of 50 would leave most searches no second generation


class GeneticMirror:
    """NSGA-II (Deb et al. 2002) over one branch, in generations of trials in the order of numbers.

    A generation has parents once all trials before it have ended; until then, trials are children of older parents.
    """

    num_draws = _DRAWS

    def __init__(self, directions: Sequence[Direction]) -> None:
        """Starts without trials."""
        self._study = InMemoryStudy(directions)
        self._history = History()
        self._generations = 0  # of which all trials have ended

    def add(self, number: int, point: Point) -> None:
        """Takes a trial that starts."""
        self._history.add(number, point)
        self._study.add(number, point)

    def ended(self, number: int, ending: Ending) -> None:
        """Takes the end of a trial."""
        self._history.ended(number, ending)
        self._study.end(number, ending.values, ending.badness)

    @contextmanager
    def drawing(self, ask: Ask) -> Iterator[Draw | None]:
        """Draws a child of the parents that the newest whole generation gives."""
        while self._is_whole(self._generations):
            self._generations += 1
        sampler = _Genetic(ask.seed, self._generations)
        sampler.remember(self._study.optuna)
        with self._study.drawing(sampler) as draw:
            yield draw

    def _is_whole(self, generation: int) -> bool:
        trials = self._history.entries[generation * _POPULATION : (generation + 1) * _POPULATION]
        return len(trials) == _POPULATION and all(trial.ending is not None for trial in trials)


class ProcessMirror:
    """Gaussian processes over one branch; the study is made anew for each draw, as what failed follows the others."""

    num_draws = _PROCESS_DRAWS

    def __init__(self, directions: Sequence[Direction]) -> None:
        """Starts without trials."""
        self._directions = tuple(directions)
        self._history = History()
        # It would tell of a search that converges, in the middle of our own screen.
        logging.getLogger("optuna._gp").setLevel(logging.ERROR)

    def add(self, number: int, point: Point) -> None:
        """Takes a trial that starts."""
        self._history.add(number, point)

    def ended(self, number: int, ending: Ending) -> None:
        """Takes the end of a trial."""
        self._history.ended(number, ending)

    @contextmanager
    def drawing(self, ask: Ask) -> Iterator[Draw | None]:
        """Draws where the expected improvement is largest."""
        study, worst = InMemoryStudy(self._directions), self._worst()
        is_bounded = any(_constraint(entry) > 0 for entry in self._history)
        for entry in self._history:
            if entry.ending is None or entry.ending.values or worst:
                study.add(entry.number, entry.point)
            if entry.ending is not None and (values := entry.ending.values or worst):
                # Without a constraint there is nothing to model beside the objectives.
                study.end(entry.number, values, _constraint(entry) if is_bounded else None)
        # Optuna divides by the sum of all other starts' weights; where one start is far above them, that is 0 by 0.
        with np.errstate(invalid="ignore"), study.drawing(_Process(ask.seed)) as draw:
            yield draw

    def _worst(self) -> tuple[float, ...] | None:
        """Returns what a failed trial is told as: no invented value shall lead the model of an objective."""
        known = [entry.ending.values for entry in self._history if entry.ending is not None and entry.ending.values]
        if not known:
            return None
        return tuple(
            min(values) if direction == "maximize" else max(values)
            for direction, values in zip(self._directions, zip(*known, strict=True), strict=True)
        )


def _constraint(entry: Entry) -> float:
    """Returns by how much a trial is beyond the bounds; 0 while it runs."""
    return 0.0 if entry.ending is None else entry.ending.excess


class _Process(GPSampler):
    """A Gaussian process that looks for the next point less thoroughly: in half a second instead of several.

    The process that draws is the one that hands trials out and takes their reports, so it must not be away for long.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed=seed, warn_independent_sampling=False)
        self._n_preliminary_samples = 512
        self._n_local_search = 4
        self._n_qmc_samples_qei = self._n_qmc_samples_ehvi = 64


class _Genetic(NSGAIISampler):
    """NSGA-II whose generations follow from the trials' places, and not from when a trial was asked for."""

    def __init__(self, seed: int, generation: int) -> None:
        super().__init__(population_size=_POPULATION, seed=seed)
        self._generation = generation

    def remember(self, study: optuna.Study) -> None:
        """Chooses the parents of all generations so far, oldest first: the study keeps them."""
        for generation in range(1, self._generation + 1):
            self.get_parent_population(study, generation)

    def get_trial_generation(self, study: optuna.Study, trial: FrozenTrial) -> int:  # noqa: ARG002  # Optuna's names
        """Returns the generation of the trial that is drawn."""
        return self._generation

    def get_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        """Returns a generation's trials by their places."""
        told = [trial for trial in study.get_trials(deepcopy=False) if trial.state is not TrialState.FAIL]
        return told[generation * _POPULATION : (generation + 1) * _POPULATION]


class InMemoryStudy:
    """An Optuna study in memory, by our numbers.

    Attributes:
        optuna: The study.
    """

    def __init__(self, directions: Sequence[Direction]) -> None:
        """Starts without trials."""
        with quiet():
            self.optuna = optuna.create_study(directions=list(directions))
        self._num_objectives = len(directions)
        self._ids: dict[int, int] = {}  # in memory, the only study's numbers are the storage's ids

    def add(self, number: int, point: Point) -> None:
        """Takes a trial that starts."""
        running = optuna.create_trial(
            state=TrialState.RUNNING, params=dict(point.params), distributions=dict(point.distributions)
        )
        self.optuna.add_trial(running)
        self._ids[number] = len(self.optuna.get_trials(deepcopy=False)) - 1

    def end(self, number: int, values: tuple[float, ...] | None, constraint: float | None) -> None:
        """Ends a trial; without values its constraint must put it behind all others."""
        if constraint is not None:
            optuna.Trial(self.optuna, self._ids[number]).set_constraint("bounds", constraint)
        self.optuna.tell(self._ids[number], list(values or [0.0] * self._num_objectives))

    @contextmanager
    def drawing(self, sampler: BaseSampler) -> Iterator[Draw]:
        """Draws by a trial that is thrown away: what comes of it is added as any other."""
        self.optuna.sampler = sampler
        trial = self.optuna.ask()
        try:
            yield drawn_by(trial)
        finally:
            self.optuna.tell(trial, state=TrialState.FAIL)


@contextmanager
def quiet() -> Iterator[None]:
    """Silences Optuna's announcements of new studies and of experimental options."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
