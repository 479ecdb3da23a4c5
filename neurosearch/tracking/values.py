"""What this room is told, by structure: the search's own values fit, and so do a test's.

This room lies below the search and must not import it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

#: `EpochRecord.to_dict()`: `epoch` (from 1 on), `step`, `metrics`, `events`.
Record = Mapping[str, Any]
RunStatus = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
#: A trial that was stopped early has a run that was killed: its last values are not those of a whole training.
_STATUS: Mapping[str, RunStatus] = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


class Study(Protocol):
    """A study as its run shows it."""

    @property
    def name(self) -> str:
        """Unique name in its storage."""

    @property
    def config(self) -> Mapping[str, Any]:
        """The whole config as plain values."""

    @property
    def seed(self) -> int:
        """Seed of the sampler and of every trial."""

    @property
    def objective(self) -> str:
        """Name of the optimised metric."""

    @property
    def run_id(self) -> str | None:
        """Id of the study's run, if an earlier process told one."""


class Trial(Protocol):
    """A trial as its run shows it."""

    @property
    def number(self) -> int:
        """The study's number of the trial."""

    @property
    def role(self) -> str:
        """`search`, `finalist`, `control` or the name of an arm."""

    @property
    def config(self) -> Mapping[str, Any]:
        """The plain `TrialConfig`."""

    @property
    def params(self) -> Mapping[str, Any]:
        """The searched values by hyperparameter name."""

    @property
    def tags(self) -> Mapping[str, str]:
        """Short texts about it, by name without the prefix of our tags."""

    @property
    def run_id(self) -> str | None:
        """Id of the trial's run, if an earlier process told one."""


class Outcome(Protocol):
    """The end of a trial."""

    @property
    def state(self) -> str:
        """`finished`, `stopped` early, or `failed`."""

    @property
    def reason(self) -> str | None:
        """Why it was stopped or failed."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """Metrics of the final network."""

    @property
    def epochs(self) -> int:
        """Whole epochs done."""


@dataclass(frozen=True)
class TrialEnd:
    """How and when a trial ended.

    Attributes:
        outcome: What came out.
        feasible: Whether the final network is within the size limit.
        time_ms: When, in milliseconds since 1970.
    """

    outcome: Outcome
    feasible: bool
    time_ms: int

    @property
    def status(self) -> RunStatus:
        """Status of the trial's run."""
        return _STATUS[self.outcome.state]


@dataclass(frozen=True)
class TrialHistory:
    """A trial as the study's own storage knows it, from which its run can be rebuilt.

    Attributes:
        trial: Its number, config, searched values, and run id if one was told.
        started_ms: When it was first handed out, in milliseconds since 1970.
        records: Every epoch record, first epoch first.
        end: Its end; None while there is none.
    """

    trial: Trial
    started_ms: int
    records: Sequence[Record]
    end: TrialEnd | None
