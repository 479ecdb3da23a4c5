"""Studies side by side: the best network of each, with intervals, and each of them tested against the first one's."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from neurosearch import names
from neurosearch.config.search import Direction
from neurosearch.report.material import data_hashes, test_scores
from neurosearch.search.confirmed import by_seed, confirmed
from neurosearch.search.seams import TrialSummary
from neurosearch.search.statistics import FEWEST_SEEDS, Answer, Estimate, answer_of, estimate, holm, paired, welch
from neurosearch.search.stored import StoredStudy

#: What is compared where all have it, beside the objectives of the first study.
_SCORES = (names.BALANCED_ACCURACY, names.ACCURACY, names.WORST_CLASS_RECALL, names.FEW_RECALL, *names.TARGET_SCORES)
#: Of the data section, what says which examples of the same data train and which validate.
_PARTS = ("imbalance", "validation_share", "split_seed")
_IS_BETTER: Mapping[Answer, bool] = {"helped": True, "harmed": False}
How = Literal["paired", "unpaired"]


@dataclass(frozen=True)
class Contestant:
    """The best network of a study.

    Attributes:
        study: Name of the study.
        trial: Its best trial.
        is_fresh: Whether it was trained on seeds that its search has not seen.
        by_seed: Its metrics on each seed, those of the test part included where it was read.
        data: Hashes of the data that the study was prepared from; empty where that is not here.
    """

    study: str
    trial: TrialSummary
    is_fresh: bool
    by_seed: Mapping[int, Mapping[str, float]]
    data: frozenset[str]

    def values(self, metric: str) -> list[float]:
        """Returns a metric on each seed."""
        return [metrics[metric] for metrics in self.by_seed.values()]


@dataclass(frozen=True)
class Difference:
    """One contestant minus the first one in one metric.

    Attributes:
        how: `paired` seed by seed, or `unpaired` (Welch).
        mean: Mean difference with its 95 % interval; without one where it is not tested.
        p: Two-sided; None with too few seeds, or with seeds that chose one of both.
        p_holm: The same, corrected for all contestants in this metric (Holm).
        is_better: Whether it is clearly better (True), clearly worse (False), or neither (None), by the corrected p; of
            fewer than three seeds nothing is clear.
    """

    how: How
    mean: Estimate
    p: float | None
    p_holm: float | None
    is_better: bool | None


@dataclass(frozen=True)
class Row:
    """One metric of all contestants.

    Attributes:
        metric: Its name.
        means: Mean and interval of each contestant.
        differences: Each contestant but the first against the first.
    """

    metric: str
    means: tuple[Estimate, ...]
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class SideBySide:
    """Studies side by side.

    Attributes:
        contestants: The best of each study that has one, in the order asked for.
        rows: The metrics that all have.
        remarks: What a reader must know to judge it.
    """

    contestants: tuple[Contestant, ...]
    rows: tuple[Row, ...]
    remarks: tuple[str, ...]

    def facts(self) -> dict[str, Any]:
        """Returns plain values, fit for JSON."""
        return {
            "studies": [
                {
                    "study": each.study,
                    "trial": each.trial.number,
                    "kind": each.trial.kind,
                    "role": each.trial.role,
                    "seeds": list(each.by_seed),
                    "fresh_seeds": each.is_fresh,
                    "data": sorted(each.data),
                }
                for each in self.contestants
            ],
            "metrics": [asdict(row) for row in self.rows],
            "remarks": list(self.remarks),
        }


def compare_studies(studies: Sequence[StoredStudy]) -> SideBySide:
    """Sets the best networks of studies side by side.

    Args:
        studies: At least two; those without a network within their limits are left out with a remark.

    Raises:
        StudyError: A study's storage cannot be read.
    """
    found = [(study, _contestant(study)) for study in studies]
    contestants = [each for _, each in found if each is not None]
    remarks = [f"{study.folder.name} has no network within its limits yet." for study, each in found if each is None]
    if not contestants:
        return SideBySide((), (), tuple(remarks))
    objectives = [each.metric for each in studies[0].config.study.search.objectives]
    return side_by_side(contestants, objectives, remarks)


def side_by_side(
    contestants: Sequence[Contestant], objectives: Sequence[str], remarks: Sequence[str] = ()
) -> SideBySide:
    """Sets networks side by side: a pure function of what is known of them.

    Args:
        contestants: At least one; the first one is what the others are compared with.
        objectives: What stands first, where all have it.
        remarks: What is known of those that are left out.
    """
    metrics = [metric for metric in _candidates(objectives) if all(_has(each, metric) for each in contestants)]
    rows = tuple(_row(metric, contestants) for metric in metrics)
    return SideBySide(tuple(contestants), rows, (*remarks, *_remarks(contestants, metrics, objectives)))


def _contestant(study: StoredStudy) -> Contestant | None:
    snapshot = study.snapshot()
    best = snapshot.best()
    if best is None or not best.per_seed:
        return None
    test: Sequence[Mapping[str, float]] = test_scores(study.folder, best) or [{}] * len(best.per_seed)
    merged = [{**metrics, **scores} for metrics, scores in zip(best.per_seed, test, strict=True)]
    is_fresh = any(each.number == best.number for each in confirmed(snapshot.trials))
    return Contestant(study.folder.name, best, is_fresh, by_seed(best, merged), frozenset(data_hashes(study.folder)))


def _candidates(objectives: Sequence[str]) -> tuple[str, ...]:
    scores = [each for each in dict.fromkeys((*objectives, *_SCORES)) if each not in names.SIZES]
    on_test = (f"{names.TEST_PREFIX}{each}" for each in scores)
    return (*scores, *on_test, *names.SIZES)


def _has(contestant: Contestant, metric: str) -> bool:
    return all(metric in metrics for metrics in contestant.by_seed.values())


def _row(metric: str, contestants: Sequence[Contestant]) -> Row:
    means = tuple(_mean(each, metric) for each in contestants)
    first, *others = contestants
    tested = [_tested(metric, each, first) for each in others]
    corrected = holm([p for _, _, p in tested])
    rises = names.OBJECTIVES[metric.removeprefix(names.TEST_PREFIX)] == "maximize"
    direction: Direction = "maximize" if rises else "minimize"
    return Row(
        metric,
        means,
        tuple(
            Difference(how, difference, p, p_holm, _IS_BETTER.get(answer_of(difference, p_holm, direction)))
            for (how, difference, p), p_holm in zip(tested, corrected, strict=True)
        ),
    )


def _mean(contestant: Contestant, metric: str) -> Estimate:
    """Returns a mean; with its interval where the seeds have not chosen what they measure."""
    found = estimate(contestant.values(metric))
    return found if contestant.is_fresh else replace(found, low=None, high=None)


def _tested(metric: str, other: Contestant, first: Contestant) -> tuple[How, Estimate, float | None]:
    if not (other.is_fresh and first.is_fresh):
        seeds = min(len(other.by_seed), len(first.by_seed))
        return "unpaired", Estimate(_mean(other, metric).mean - _mean(first, metric).mean, None, None, seeds), None
    pairs = _common_seeds(other, first)
    if len(pairs) >= FEWEST_SEEDS:
        differences = [other.by_seed[seed][metric] - first.by_seed[seed][metric] for seed in pairs]
        return "paired", *paired(metric, differences)
    difference, p = welch(metric, other.values(metric), first.values(metric))
    return "unpaired", difference, p


def _common_seeds(one: Contestant, other: Contestant) -> list[int]:
    """Returns the seeds of both that make pairs: on data, and parts of it, that are not known to differ."""
    if _data_differs(one, other) or _parted_otherwise(one, other):
        return []
    return [seed for seed in one.by_seed if seed in other.by_seed]


def _data_differs(one: Contestant, other: Contestant) -> bool:
    return bool(one.data and other.data) and one.data.isdisjoint(other.data)


def _parted_otherwise(one: Contestant, other: Contestant) -> list[str]:
    """Returns the fields by which both have other examples of their data in training and validation."""
    ours, theirs = (each.trial.config.get("data", {}) for each in (one, other))
    return [f"data.{field}" for field in _PARTS if ours.get(field) != theirs.get(field)]


def _remarks(contestants: Sequence[Contestant], metrics: Sequence[str], objectives: Sequence[str]) -> list[str]:
    first, *others = contestants
    said = [
        f"{each.study}: its best was chosen by the seeds it is shown on, so it is in part lucky and stands without "
        "interval and test; search.finalists trains it again on fresh ones."
        for each in contestants
        if not each.is_fresh
    ]
    for each in others:
        if _data_differs(each, first):
            said.append(f"{each.study} has other data than {first.study}: what differs may be the data's doing.")
        elif fields := _parted_otherwise(each, first):
            said.append(
                f"{each.study} trains and validates on other examples than {first.study} ({', '.join(fields)}): what "
                "differs may be their doing."
            )
        elif each.is_fresh and first.is_fresh and len(_common_seeds(each, first)) < FEWEST_SEEDS:
            said.append(
                f"{each.study} and {first.study} share fewer than {FEWEST_SEEDS} fresh seeds, so the test is unpaired "
                "(Welch); studies with the same seed and fresh_seeds in their configs make pairs."
            )
    if not any(metric in objectives for metric in metrics):
        said.append("The studies have no objective in common.")
    return said
