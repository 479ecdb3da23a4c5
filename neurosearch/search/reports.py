"""What trials report, as values that decisions are made of, and as they lie in a trial's attributes."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from neurosearch import names
from neurosearch.config.study import StudyFields
from neurosearch.search.early_stopping import Curve, Report, may_be_judged
from neurosearch.search.seams import Record
from neurosearch.search.summaries import values_of, violation_of

_PREFIX = "reports/"


@dataclass(frozen=True)
class StoredReport:
    """What the storage keeps of an epoch.

    Attributes:
        seed_index: Which of the trial's seeds it was trained on.
        checkpoint: Name of the file that holds the state after it, in the folder of the training; None without one.
        events: The growth events of the epoch, as dicts.
        report: What decisions look at.
        size: Size of the network after it, in the unit of `size_metric`; None in what older versions stored.
    """

    seed_index: int
    checkpoint: str | None
    events: tuple[Mapping[str, Any], ...]
    report: Report
    size: float | None

    @property
    def epoch(self) -> int:
        """Epochs done by the trial, over all its seeds."""
        return self.report.epoch


class Reports:
    """The reports of a study's trials; numbers are the study's.

    Args:
        study: What they are judged by.
    """

    def __init__(self, study: StudyFields) -> None:
        self._study = study
        self._curves: dict[int, list[Report]] = {}  # of the first seed
        self._known: dict[int, int] = {}  # last epoch

    def new(self, number: int, records: Sequence[Record]) -> list[StoredReport]:
        """Returns the reports of epochs that are not known yet; those without an objective are left out."""
        known = self._known.get(number, 0)
        made = (self._of(record) for record in records if record["epoch"] > known)
        return [each for each in made if each is not None]

    def add(self, number: int, stored: Sequence[StoredReport]) -> None:
        """Takes in reports that stand in the storage, in the order of their epochs."""
        curve = self._curves.setdefault(number, [])
        for each in stored:
            self._known[number] = each.epoch
            if each.seed_index == 0:
                judged = may_be_judged(each.report.at_rest, each.epoch, each.events)
                curve.append(replace(each.report, at_rest=judged))

    def curve(self, number: int, *, finished: bool) -> Curve:
        """Returns a trial's curve on its first seed."""
        return Curve(number, tuple(self._curves.get(number, ())), finished)

    def _of(self, record: Record) -> StoredReport | None:
        metrics = record["metrics"]
        values = values_of(metrics, self._study)
        if values is None:
            return None
        cost = metrics.get(names.TRAINING_MULTIPLY_ADDS, 0.0)
        report = Report(record["epoch"], cost, values, violation_of(metrics, self._study), record["at_rest"])
        size = metrics.get(size_metric(self._study))
        return StoredReport(record["seed_index"], record["checkpoint"], tuple(record["events"]), report, size)


def size_metric(study: StudyFields) -> str:
    """Returns what a study's networks are measured by: the metric of its size limit, or neurons without one."""
    return names.NEURONS if study.size_limit is None else study.size_limit.metric


def to_attribute(stored: Sequence[StoredReport]) -> tuple[str, list[dict[str, Any]]]:
    """Returns name and plain value of the attribute that keeps reports, the first epoch first."""
    return f"{_PREFIX}{stored[0].epoch:06d}", [asdict(each) for each in stored]


def from_attributes(attributes: Mapping[str, Any]) -> list[StoredReport]:
    """Returns the reports that a trial's attributes keep, the first epoch first."""
    chosen = sorted(name for name in attributes if name.startswith(_PREFIX))
    return [_from_plain(values) for name in chosen for values in attributes[name]]


def _from_plain(values: Mapping[str, Any]) -> StoredReport:
    report = dict(values["report"])
    report["values"] = tuple(report["values"])
    events = tuple(values["events"])
    return StoredReport(values["seed_index"], values["checkpoint"], events, Report(**report), values.get("size"))
