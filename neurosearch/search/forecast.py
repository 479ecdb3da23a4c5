"""How long a search will take: pure arithmetic from what its trainings take and what its config allows.

What a trial costs beside its training, and what a search costs beside its trials, cannot be timed without running one.
These are constants, seen on one machine of two cores, and scaled by how fast the machine at hand is.
"""

from dataclasses import dataclass
from math import ceil
from statistics import median
from time import perf_counter

from neurosearch.config.search import SearchFields, StoppingFields

_HOUR = 3600.0
# Of the quickstart on two cores of an AMD EPYC with nothing else to do, Python 3.11.
_START_SECONDS = 17.5  # imports here and in the workers, Ray's start, the data
_END_SECONDS = 6.0  # the last words to MLflow, the winner's files written and verified, its test scores
_TRIAL_SECONDS = 0.45  # of a slot, between two trainings: hand over, take in, write files
_DRIVER_SECONDS = 0.16  # of the searching process, one trial after the other: suggest, store, tell MLflow
_DRIVER_CORES = 0.5  # that the searching process, MLflow and Ray keep busy while trials run
_YARDSTICK_SECONDS = 0.0035


@dataclass(frozen=True)
class Surroundings:
    """What a search takes beside its trainings.

    Attributes:
        start_seconds: Before the first trial.
        end_seconds: After the last one.
        trial_seconds: Between two trials that run one after the other.
        driver_seconds: Of the searching process for each trial, however many run at once.
        slowness: How many times as long as on the machine of the constants.
    """

    start_seconds: float
    end_seconds: float
    trial_seconds: float
    driver_seconds: float
    slowness: float

    @classmethod
    def scaled(cls, slowness: float) -> "Surroundings":
        """Returns the constants for a machine that takes so many times as long."""
        return cls(
            start_seconds=slowness * _START_SECONDS,
            end_seconds=slowness * _END_SECONDS,
            trial_seconds=slowness * _TRIAL_SECONDS,
            driver_seconds=slowness * _DRIVER_SECONDS,
            slowness=slowness,
        )


@dataclass(frozen=True)
class Work:
    """What is to be done, as it was timed.

    Attributes:
        training_seconds: Of one training alone on the machine, mean over the space.
        control_seconds: The same of the control.
        epochs: Of one training, mean over the space.
        num_points: How many different configurations there are; None for no end of them.
    """

    training_seconds: float
    control_seconds: float
    epochs: float
    num_points: int | None


@dataclass(frozen=True)
class Forecast:
    """What a search will take.

    Attributes:
        trials: Of the search that will start.
        trainings: Of all trials on all their seeds, finalists, control and arms included.
        epochs: Of all these trainings.
        start_seconds: Before the first trial.
        search_seconds: Of the trials of the search.
        confirmation_seconds: Of finalists and control.
        end_seconds: After the last trial.
        ended_by: The budget that ends the search before all its trials have started; None if none does.
    """

    trials: int
    trainings: int
    epochs: float
    start_seconds: float
    search_seconds: float
    confirmation_seconds: float
    end_seconds: float
    ended_by: str | None

    @property
    def seconds(self) -> float:
        """Seconds of the whole."""
        return self.start_seconds + self.search_seconds + self.confirmation_seconds + self.end_seconds


def slowness(times: int = 3) -> float:
    """Returns how many times as long this machine takes now for a piece of plain Python as that of the constants."""
    return median(_yardstick() for _ in range(times)) / _YARDSTICK_SECONDS


def forecast(search: SearchFields, work: Work, cores: int, around: Surroundings, share: float = 1.0) -> Forecast:
    """Tells how long a search takes whose trials end neither by `target` nor by `patience_trials`.

    Args:
        search: What the config allows.
        work: What is to be done.
        cores: Of the machine that the workers share.
        around: What it takes beside the trainings.
        share: Of a whole training that a trial of the search is trained on average (`stopping_share`).
    """
    wanted = search.trials if work.num_points is None else min(search.trials, work.num_points)
    crowded = _crowding(search, cores)
    each = search.seeds * work.training_seconds * share * crowded + around.trial_seconds
    trials, ended_by = _affordable(search, wanted, each, around.driver_seconds)
    confirming = [search.fresh_seeds * work.training_seconds] * min(search.finalists, trials)
    if search.control and trials:
        confirming.append((search.fresh_seeds if search.finalists else search.seeds) * work.control_seconds)
        confirming += [search.fresh_seeds * work.training_seconds] * len(search.followed_by_arms)
    fresh = search.fresh_seeds * len(confirming) if search.finalists else search.seeds * len(confirming)
    trainings = trials * search.seeds + fresh
    return Forecast(
        trials=trials,
        trainings=trainings,
        epochs=work.epochs * (trials * search.seeds * share + fresh),
        start_seconds=around.start_seconds,
        search_seconds=_seconds_of(trials, search.concurrency, each, around.driver_seconds),
        confirmation_seconds=_makespan([crowded * one + around.trial_seconds for one in confirming], search),
        end_seconds=around.end_seconds,
        ended_by=ended_by,
    )


def stopping_share(stopping: StoppingFields) -> float:
    """Returns the share of a whole training that trials need on average where others stop early.

    The shares of compute that lie between two rungs are spent by the 1 / reduction of the trials that passed the lower
    one (arXiv:1810.05934). Few trials, and networks not at rest at a rung, need more: the whole is the upper bound.
    """
    if stopping.kind == "none":
        return 1.0
    level, alive, total = stopping.first_share, 1.0, 0.0
    spent = 0.0
    while level < 1.0:
        total += alive * (level - spent)
        spent, level, alive = level, level * stopping.reduction, alive / stopping.reduction
    return total + alive * (1.0 - spent)


def _crowding(search: SearchFields, cores: int) -> float:
    """Returns how many times as long a training takes because others, and the search itself, share the cores."""
    return max(1.0, (search.concurrency * max(1.0, search.cpus_per_trial) + _DRIVER_CORES) / cores)


def _affordable(search: SearchFields, wanted: int, each: float, driver: float) -> tuple[int, str | None]:
    """Returns how many trials start within the budgets, and which budget ends the search before all wanted ones."""
    found, ended_by = wanted, None
    if search.time_budget_seconds is not None:
        # A slot starts its next trial as long as time is left when the one before has ended.
        rounds = max(1, ceil(search.time_budget_seconds / max(each, driver * search.concurrency)))
        found, ended_by = _fewer(found, ended_by, rounds * search.concurrency, "search.time_budget_seconds")
    if search.compute_budget_hours is not None:
        hours = each / _HOUR * search.devices_per_trial
        started = ceil(search.compute_budget_hours / hours) + search.concurrency - 1  # running ones are not counted yet
        found, ended_by = _fewer(found, ended_by, started, "search.compute_budget_hours")
    return found, ended_by


def _fewer(found: int, ended_by: str | None, other: int, name: str) -> tuple[int, str | None]:
    return (other, name) if other < found else (found, ended_by)


def _seconds_of(trials: int, concurrency: int, each: float, driver: float) -> float:
    """Returns what trials take that start as soon as a place is free, or as the searching process can hand them out."""
    at_once = min(concurrency, trials)
    return max(trials * each / at_once, trials * driver, each) if at_once else 0.0


def _makespan(seconds: list[float], search: SearchFields) -> float:
    """Returns when the last of some trials ends, each of which takes the place that is free first."""
    places = [0.0] * search.concurrency
    for each in seconds:
        first = min(range(len(places)), key=places.__getitem__)
        places[first] += each
    return max(places)


def _yardstick() -> float:
    before, counts = perf_counter(), dict[int, int]()
    for index in range(33_333):
        counts[index % 977] = counts.get(index % 977, 0) + index
    return perf_counter() - before
