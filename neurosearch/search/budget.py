"""Whether a study may start another trial: how much is spent, and how long nothing better has come.

What it knows follows from the trials in storage, so a restarted search goes on with the same budget.
"""

from neurosearch.config.search import SearchFields
from neurosearch.search.front import as_losses
from neurosearch.search.seams import TrialSummary

_HOUR = 3600.0


class Spending:
    """What the ended trials of a study have cost and brought; constant in size, whatever their number."""

    def __init__(self, search: SearchFields) -> None:
        """Starts with nothing spent."""
        self._search = search
        self._directions = tuple(objective.direction for objective in search.objectives)
        self._front: list[tuple[float, ...]] = []  # of losses, less is better
        self._since_better = 0
        self._hours = 0.0
        self._reached = False

    def add(self, trial: TrialSummary) -> None:
        """Takes note of an ended trial; those of the search, in the order of their ends."""
        self._hours += (trial.seconds or 0.0) / _HOUR * self._search.devices_per_trial
        if trial.role != "search":
            return
        self._since_better += 1
        if trial.state == "finished":
            (losses,) = as_losses([trial.values], self._directions).tolist()
            if not any(all(a <= b for a, b in zip(known, losses, strict=True)) for known in self._front):
                self._front = [
                    known for known in self._front if any(b > a for a, b in zip(known, losses, strict=True))
                ] + [tuple(losses)]
                self._since_better = 0
            self._reached = self._reached or self._is_target(trial.values[0])

    def used_up(self, num_trials: int, seconds: float) -> str | None:
        """Returns which budget is used up, in words; None while another trial may start.

        Args:
            num_trials: Trials of the search so far, running ones included.
            seconds: Seconds of searching so far, over all processes.
        """
        search = self._search
        if num_trials >= search.trials:
            return f"all {search.trials} trials of search.trials have started"
        if search.time_budget_seconds is not None and seconds >= search.time_budget_seconds:
            return f"search.time_budget_seconds of {search.time_budget_seconds:g} are over"
        if search.compute_budget_hours is not None and self._hours >= search.compute_budget_hours:
            return f"search.compute_budget_hours of {search.compute_budget_hours:g} are used"
        if self._reached:
            return f"search.target of {search.target:g} is reached"
        if search.patience_trials is not None and self._since_better >= search.patience_trials:
            return f"{self._since_better} trials in a row brought nothing better (search.patience_trials)"
        return None

    def _is_target(self, value: float) -> bool:
        target = self._search.target
        if target is None:
            return False
        return value >= target if self._directions[0] == "maximize" else value <= target
