"""What the search tells others: a tracker that keeps it (MLflow), a listener that shows it (the command line).

Both live in the driver process and are called from its one loop, so neither may block or raise. All values are plain or
frozen; a record is `EpochRecord.to_dict()`: `epoch` (whole epochs done, from 1 on), `step`, `metrics` (name to number,
names of `neurosearch.names`), `events` (dicts), `at_rest`; and of the trial, `seed_index` (which of its seeds it was
trained on; epochs count on over them) and `checkpoint` (name of the file with the state after it, or None).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from neurosearch.config.search import Arm
from neurosearch.search.outcome import TrialOutcome

#: Why a trial runs: `search` trials are suggested, a `finalist` is one of the best of them on fresh seeds, the
#: `control` is the largest static network beside the winner; the others are arms, which tell what growth gives.
Role = Literal["search", "finalist", "control"] | Arm
#: `running` covers every trial without an end, `infeasible` one that ended beyond the size limit or a constraint,
#: `stopped` one that ended early because others were better.
SummaryState = Literal["running", "finished", "infeasible", "stopped", "failed"]
Record = Mapping[str, Any]


@dataclass(frozen=True)
class StudyInfo:
    """The study as a tracker needs to know it.

    Attributes:
        name: Unique name of the study in its storage.
        config: The whole config as plain values (`StudyConfig.to_mapping()`).
        seed: Seed of the sampler and of every trial.
        objective: Name of the metric that is optimised.
        run_id: The tracker's id of the study's run, if an earlier process told one (see `Tracker.study_run_id`).
    """

    name: str
    config: Mapping[str, Any]
    seed: int
    objective: str
    run_id: str | None


@dataclass(frozen=True)
class TrialInfo:
    """A trial that starts or goes on.

    Attributes:
        number: The study's number of the trial; the same trial keeps it for life.
        role: Why it runs.
        config: The plain `TrialConfig`.
        params: The searched values by hyperparameter name; empty for the control.
        seeds: What it is trained on, one after the other.
        tags: Short texts about it, such as the data's hash.
        run_id: The tracker's id of the trial's run, if an earlier process told one (see `Tracker.run_ids`).
    """

    number: int
    role: Role
    config: Mapping[str, Any]
    params: Mapping[str, Any]
    seeds: tuple[int, ...]
    tags: Mapping[str, str]
    run_id: str | None


@dataclass(frozen=True)
class TrialSummary:
    """A trial as a table shows it.

    Attributes:
        number: The study's number of the trial.
        role: Why it ran.
        kind: Kind of growth.
        state: How far it is.
        values: Objectives of the final network in the order of the config, means over the seeds; empty without them.
        per_seed: Metrics of the final network of each seed that was trained to its end.
        seeds: The seeds it is trained on.
        params: The searched values by hyperparameter name.
        config: The plain `TrialConfig`.
        metrics: Metrics of the final network; empty without one.
        epochs: Whole epochs done, as far as reported.
        seconds: Wall time of the trial; None while it runs.
        reason: Why it was stopped or failed; None otherwise.
        run_id: The tracker's id of its run.
        started: When it was first handed out, in seconds since 1970.
        ended: When it ended; None while it runs.
    """

    number: int
    role: Role
    kind: str
    state: SummaryState
    values: tuple[float, ...]
    per_seed: tuple[Mapping[str, float], ...]
    seeds: tuple[int, ...]
    params: Mapping[str, Any]
    config: Mapping[str, Any]
    metrics: Mapping[str, float]
    epochs: int
    seconds: float | None
    reason: str | None
    run_id: str | None
    started: float
    ended: float | None

    @property
    def value(self) -> float | None:
        """First objective of the final network; None without one."""
        return self.values[0] if self.values else None


class Tracker(Protocol):
    """Keeps what the search tells it.

    No method waits for a server or a disk: each takes note and returns, a thread of the tracker's own writes. No method
    raises because something could not be written; `close` says how much that was.
    """

    def start_study(self, study: StudyInfo) -> None:
        """Opens the study's run, or goes on with the one named by `study.run_id`. Called once, before all others."""

    def start_trial(self, trial: TrialInfo) -> None:
        """Opens a trial's run, or goes on with the one named by `trial.run_id` (epochs it holds are not logged again).

        Called again for a number that it knows when a trial is resumed or retried: it stays one run.
        """

    def log(self, number: int, records: Sequence[Record]) -> None:
        """Takes epoch records of a started trial; a resumed trial may send epochs again, which are kept once."""

    def end_trial(self, number: int, outcome: TrialOutcome, feasible: bool) -> None:
        """Ends a trial's run with what came out.

        Args:
            number: A started trial.
            outcome: Its end; `outcome.metrics` are those of the final network, which may differ from the last record's.
            feasible: Whether the final network is within the size limit; False when it failed.
        """

    def run_ids(self) -> Mapping[int, str]:
        """Returns run ids by trial number that became known since the last call; the study keeps them."""

    @property
    def study_run_id(self) -> str | None:
        """Id of the study's run, once known."""

    def close(self, timeout_seconds: float) -> int:
        """Writes what is left, for at most so long, and ends the study's run.

        Trials without an end were stopped: their runs are marked so, and `start_trial` reopens them in a later process.

        Returns:
            How many things told could not be written; 0 means that the tracker holds everything.
        """


class Listener(Protocol):
    """Shows how the search goes."""

    def on_trial_started(self, trial: TrialInfo) -> None:
        """Called when a trial is handed to a worker, also when it is resumed."""

    def on_records(self, number: int, records: Sequence[Record]) -> None:
        """Called with the new epoch records of a trial, several at once when epochs are short."""

    def on_trial_finished(self, trial: TrialSummary, best: TrialSummary | None) -> None:
        """Called when a trial has ended.

        Args:
            trial: The trial and what came out.
            best: The best feasible trial so far; None while there is none.
        """

    def on_stopping(self) -> None:
        """Called once it is known that no further trial starts: a stop was requested, or the study halted."""


class SilentListener:
    """A listener that shows nothing."""

    def on_trial_started(self, trial: TrialInfo) -> None:
        """Does nothing."""

    def on_records(self, number: int, records: Sequence[Record]) -> None:
        """Does nothing."""

    def on_trial_finished(self, trial: TrialSummary, best: TrialSummary | None) -> None:
        """Does nothing."""

    def on_stopping(self) -> None:
        """Does nothing."""


class SilentTracker:
    """A tracker that keeps nothing, for `tracking: {enabled: false}`."""

    study_run_id: str | None = None

    def start_study(self, study: StudyInfo) -> None:
        """Does nothing."""

    def start_trial(self, trial: TrialInfo) -> None:
        """Does nothing."""

    def log(self, number: int, records: Sequence[Record]) -> None:
        """Does nothing."""

    def end_trial(self, number: int, outcome: TrialOutcome, feasible: bool) -> None:
        """Does nothing."""

    def run_ids(self) -> Mapping[int, str]:
        """Returns nothing."""
        return {}

    def close(self, timeout_seconds: float) -> int:  # noqa: ARG002  # the seam's name
        """Returns 0: nothing was to be kept."""
        return 0
