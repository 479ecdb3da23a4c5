"""All that a report tells of a study, read once from its storage and its folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from neurosearch.build.confusion import Matrix, Part, kept_confusion
from neurosearch.build.kept_scores import kept_test_scores
from neurosearch.config.search import Objective
from neurosearch.config.study import StudyFields
from neurosearch.data.manifest import FILE_NAME, Manifest, read_manifest
from neurosearch.data.problems import DataError
from neurosearch.search.answer import Answered, answered, unanswered
from neurosearch.search.artifacts import artifacts_of, bring_network
from neurosearch.search.confirmed import by_seed, confirmed
from neurosearch.search.folders import StudyFolder
from neurosearch.search.influence import Influences, influences
from neurosearch.search.lock import holder
from neurosearch.search.outcome import read_result
from neurosearch.search.reached import Reached
from neurosearch.search.reports import StoredReport, size_metric
from neurosearch.search.seams import Record, TrialSummary
from neurosearch.search.stored import Snapshot, StoredStudy
from neurosearch.search.summaries import best_of, best_seed, counts, ranked
from neurosearch.search.words import state_words

_MOST_SHOWN = 8  # courses in one figure; more cannot be told apart


@dataclass(frozen=True)
class Material:
    """What is known of a study.

    Attributes:
        folder: Where it lies.
        snapshot: Its trials at the one moment that all is told of.
        fields: Its config but for what is searched.
        config: The whole config as plain values.
        trials: All trials by number.
        confirmed: Finalists, control and arms on seeds that the search has not seen: what is evidence.
        best: The winner; None when nothing is feasible.
        reached: The front, and how it grew.
        answer: Whether changing neurons helped, with what the test part says; None without an answer.
        unanswered: Why there is none about networks that changed, in words; None with one, or where nobody asked.
        state: How far the study is, in words.
        seconds_used: Seconds of searching.
        provenance: Versions and commit that it was last searched with, by tag name; empty where nobody wrote it down.
        shown: Trials whose course is shown, the most telling first.
        reports: What these reported on their first seed, by number.
        layers: The winner's epochs on its first seed as whole records; empty where its history is not here.
        test: Scores on the test part for each seed of a trial, where it was read, by number.
        confusions: Confusion matrices of a trial's exported network, by number and part.
        manifests: What is known of the prepared data; several where data is searched.
    """

    folder: StudyFolder
    snapshot: Snapshot
    fields: StudyFields
    config: Mapping[str, Any]
    trials: tuple[TrialSummary, ...]
    confirmed: tuple[TrialSummary, ...]
    best: TrialSummary | None
    reached: Reached
    answer: Answered | None
    unanswered: str | None
    state: str
    seconds_used: float
    provenance: Mapping[str, str]
    shown: tuple[TrialSummary, ...]
    reports: Mapping[int, tuple[StoredReport, ...]]
    layers: tuple[Record, ...]
    test: Mapping[int, tuple[Mapping[str, float], ...]]
    confusions: Mapping[int, Mapping[Part, Matrix]]
    manifests: tuple[Manifest, ...]

    @cached_property
    def influences(self) -> tuple[Influences, ...]:
        """Which hyperparameters mattered, for each objective; empty with too few trials. Takes a second or two."""
        return influences(self.snapshot)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What is optimised; the first one decides who is the best."""
        return self.fields.search.objectives

    @property
    def size_metric(self) -> str:
        """What networks are measured by."""
        return size_metric(self.fields)

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """How many trials are in each state."""
        return counts(self.trials)

    @property
    def manifest(self) -> Manifest | None:
        """The one way in which the data was prepared; None where there are several, or where none lies here."""
        return self.manifests[0] if len(self.manifests) == 1 else None

    @property
    def contender(self) -> TrialSummary | None:
        """The network that stands for the search: what the answer compares with the control, or else the best.

        Where the best is the control itself, it is the best one beside it. None where the search has none.
        """
        if self.answer is not None:
            return self.trial(self.answer.searched)
        return _contender(self.trials, self.best, self.objectives[0])

    @property
    def control(self) -> TrialSummary | None:
        """The control beside the contender; None where none ended within the limits."""
        if self.answer is not None:
            return self.trial(self.answer.control)
        return next(iter(ranked((each for each in self.trials if each.role == "control"), self.objectives[0])), None)

    def is_fresh(self, trial: TrialSummary) -> bool:
        """Returns whether a trial was trained on seeds that chose nothing, so that tests and intervals mean something.

        Its role does not say so: without finalists the control is trained on the seeds of the search.
        """
        return any(each.number == trial.number for each in self.confirmed)

    def trial(self, number: int) -> TrialSummary:
        """Returns a trial by its number."""
        return self.trials[number]


def material_of(study: StoredStudy) -> Material:
    """Returns all that a report tells of a study, in whatever state it is.

    Raises:
        StudyError: Its storage cannot be read.
    """
    snapshot = study.snapshot()  # once: while a search goes on, each look would show another moment
    fields, trials, best = study.config.study, snapshot.trials, snapshot.best()
    answer = answered(trials, fields)
    closely = _looked_at_closely(trials, best, _contender(trials, best, fields.search.objectives[0]))
    test = _test_scores(study.folder, closely)
    if answer is not None and answer.searched in test and answer.control in test:
        both = (trials[number] for number in (answer.searched, answer.control))
        answer = answer.with_test(*(by_seed(each, test[each.number]) for each in both))
    shown = _shown(trials, best, fields)
    return Material(
        folder=study.folder,
        snapshot=snapshot,
        fields=fields,
        config=study.config.to_mapping(),
        trials=trials,
        confirmed=confirmed(trials),
        best=best,
        reached=snapshot.reached(),
        answer=answer,
        unanswered=unanswered(trials, fields),
        state=state_words(study, holder(study.folder)),
        seconds_used=study.seconds_used,
        provenance=study.provenance,
        shown=shown,
        reports={each.number: _on_first_seed(snapshot.reports(each.number)) for each in shown},
        layers=_records(study.folder, best),
        test=test,
        confusions=_confusions(study.folder, closely, fields),
        manifests=_manifests(study.folder),
    )


def test_scores(folder: StudyFolder, trial: TrialSummary) -> tuple[Mapping[str, float], ...]:
    """Returns a trial's scores on the test part for each of its seeds; empty unless it was read for all of them."""
    kept = [kept_test_scores(_network(folder, trial, index)) for index in range(len(trial.per_seed))]
    scores = tuple(each for each in kept if each is not None)
    return scores if len(scores) == len(kept) else ()


def data_hashes(folder: StudyFolder) -> tuple[str, ...]:
    """Returns the hashes of the data that the trials of a study were trained on.

    Empty where an older version searched it, which did not write them down, and the prepared data is not here.
    """
    return tuple(dict.fromkeys(each.data_hash for each in folder.used or _manifests(folder)))


def _contender(trials: Sequence[TrialSummary], best: TrialSummary | None, objective: Objective) -> TrialSummary | None:
    if best is None or best.role != "control":
        return best
    return next((found for role in ("finalist", "search") if (found := _best_of(trials, role, objective))), None)


def _best_of(trials: Sequence[TrialSummary], role: str, objective: Objective) -> TrialSummary | None:
    return best_of((each for each in trials if each.role == role), objective)


def _looked_at_closely(trials: Sequence[TrialSummary], *chosen: TrialSummary | None) -> list[TrialSummary]:
    """Returns the trials of which more than their validation scores may be known: these, and those beside them."""
    beside = (each for each in trials if each.role != "search" and each.per_seed)
    return list({each.number: each for each in (*chosen, *beside) if each is not None}.values())


def _test_scores(folder: StudyFolder, trials: Sequence[TrialSummary]) -> dict[int, tuple[Mapping[str, float], ...]]:
    found = {trial.number: test_scores(folder, trial) for trial in trials}
    return {number: scores for number, scores in found.items() if scores}


def _network(folder: StudyFolder, trial: TrialSummary, index: int) -> Path:
    return bring_network(folder, folder.training(trial.number, index))


def _confusions(
    folder: StudyFolder, trials: Sequence[TrialSummary], fields: StudyFields
) -> dict[int, Mapping[Part, Matrix]]:
    finished = [each for each in trials if each.state == "finished"]
    kept = {each.number: kept_confusion(_network(folder, each, best_seed(each, fields))) for each in finished}
    return {number: matrices for number, matrices in kept.items() if matrices}


def _shown(trials: Sequence[TrialSummary], best: TrialSummary | None, fields: StudyFields) -> tuple[TrialSummary, ...]:
    """Returns the trials whose courses tell most: winner, control, finalists, arms, then the best of each kind."""
    first = {"control": 1, "finalist": 2}
    beside = sorted((each for each in trials if each.role != "search"), key=lambda each: first.get(each.role, 3))
    by_worth = ranked((each for each in trials if each.role == "search"), fields.search.objectives[0])
    of_kinds = list({each.kind: each for each in reversed(by_worth)}.values())[::-1]
    others = (each for each in trials if each.epochs)  # where nothing has finished: whatever has begun
    chosen = dict.fromkeys(each.number for each in (*((best,) if best else ()), *beside, *of_kinds, *by_worth, *others))
    return tuple(trials[number] for number in list(chosen)[:_MOST_SHOWN])


def _on_first_seed(reports: Sequence[StoredReport]) -> tuple[StoredReport, ...]:
    return tuple(each for each in reports if each.seed_index == 0)


def _records(folder: StudyFolder, trial: TrialSummary | None) -> tuple[Record, ...]:
    if trial is None or not artifacts_of(folder).fetch(folder.result(trial.number)):
        return ()
    try:
        result = read_result(folder.result(trial.number))
    except ValueError:  # damaged, or of another version: the storage has all else that is told
        return ()
    return () if result is None else tuple(each for each in result.records if each["seed_index"] == 0)


def _manifests(folder: StudyFolder) -> tuple[Manifest, ...]:
    """Returns the different manifests of the data that trials were trained on; one of another version is passed over.

    Where the study does not know which these are, all that was prepared counts.
    """
    found, used = [], {each.key for each in folder.used}
    for path in sorted(folder.data.glob(f"*/{FILE_NAME}")):
        if used and path.parent.name not in used:
            continue
        try:
            found.append(read_manifest(path.parent))
        except DataError:
            continue
    return tuple(dict.fromkeys(found))
