"""How long a search will still take, by the speed that its trials had so far."""

from collections.abc import Iterator, Sequence

from neurosearch.config.search import SearchFields
from neurosearch.search.seams import TrialSummary


def seconds_left(trials: Sequence[TrialSummary], search: SearchFields, seconds: float, now: float) -> float | None:
    """Returns about how many seconds remain; None while no epoch has been timed.

    A trial to come is taken to last as long as the mean of those that ended, however they did, counted for each seed;
    before any has, as long as those that run will by their epochs. Finalists and control are trials to come, too. A
    budget of time cuts off the search's own trials, not these nor the ones that run.

    Args:
        trials: All so far.
        search: Budgets and concurrency.
        seconds: Seconds searched so far.
        now: Seconds since 1970.
    """
    seed_seconds = _seed_seconds(trials, now)
    if seed_seconds is None:
        return None
    running = [_rest(trial, seed_seconds) for trial in trials if trial.state == "running"]
    asked = sum(trial.role == "search" for trial in trials)
    searched = _span([*running, *[seed_seconds * search.seeds] * max(search.trials - asked, 0)], search.concurrency)
    if search.time_budget_seconds is not None:
        searched = min(searched, max(search.time_budget_seconds - seconds, 0.0) + max(running, default=0.0))
    return searched + _span([seed_seconds * seeds for seeds in _follow_ups(trials, search)], search.concurrency)


def _span(jobs: Sequence[float], concurrency: int) -> float:
    """Returns the time of jobs shared out evenly, but no less than the longest of them."""
    return max(sum(jobs) / concurrency, max(jobs, default=0.0))


def _seed_seconds(trials: Sequence[TrialSummary], now: float) -> float | None:
    """Returns the mean seconds of training on one seed."""
    ended = [trial.seconds / len(trial.seeds) for trial in trials if trial.seconds and trial.state != "failed"]
    times = ended or [
        max(now - trial.started, 0.0) * trial.config["training"]["epochs"] / trial.epochs
        for trial in trials
        if trial.state == "running" and trial.epochs
    ]
    return sum(times) / len(times) if times else None


def _rest(trial: TrialSummary, seed_seconds: float) -> float:
    done: float = trial.epochs / (trial.config["training"]["epochs"] * len(trial.seeds))
    return max(1.0 - done, 0.0) * seed_seconds * len(trial.seeds)


def _follow_ups(trials: Sequence[TrialSummary], search: SearchFields) -> Iterator[int]:
    """Yields the number of seeds of each finalist and of control and arms that are still to be asked for."""
    confirming = search.fresh_seeds if search.finalists else search.seeds
    begun = [trial.role for trial in trials if len(trial.seeds) == confirming]  # others had another fresh_seeds
    yield from [search.fresh_seeds] * max(search.finalists - begun.count("finalist"), 0)
    if search.control and "control" not in begun:
        yield confirming
    if any(trial.kind != "static" for trial in trials):
        yield from [search.fresh_seeds for arm in search.followed_by_arms if arm not in begun]
