"""A study as its storage tells it: what any process may read, and the stop that any process may request."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from optuna.trial import FrozenTrial, TrialState

from neurosearch.config.load import StudyConfig, study_from_mapping
from neurosearch.config.study import StudyFields
from neurosearch.randomness import derive_seed
from neurosearch.search.confirmed import best_confirmed, confirmed
from neurosearch.search.errors import NoStudy, StudyError
from neurosearch.search.folders import ArtifactsPlace, StudyFolder
from neurosearch.search.outcome import TrialOutcome
from neurosearch.search.reached import Reached, reached
from neurosearch.search.reports import StoredReport, from_attributes
from neurosearch.search.seams import Role, StudyInfo, SummaryState, TrialInfo, TrialSummary
from neurosearch.search.storage import open_storage, storage_exists, stored_names
from neurosearch.search.summaries import best_of
from neurosearch.search.used_data import used_data

# Names of the attributes that we keep in Optuna's storage: of a study,
CONFIG, STOP, SECONDS, RUN_ID, REFERENCE = "config", "stop", "seconds", "run_id", "reference_cost"
EARLIER, FORMAT, ENOUGH, PROVENANCE, PACKING = "earlier_trials", "format", "enough", "provenance", "packing"
BEGAN = "began"
TOKEN = "artifacts_token"  # noqa: S105  # no secret: tells apart studies of one name
#: Version of what stands in these attributes and of how the study's folder is laid out.
FORMAT_VERSION = 2
# and of a trial, beside its config.
ROLE, VALUES, SEEDS, OUTCOME, ROOM = "role", "values", "seeds", "outcome", "room"

_NO_ARMS: tuple[Role, ...] = ("search", "finalist", "control")

#: How a stop was requested: when running trials have ended their epoch, or without waiting for them.
StopRequest = Literal["soon", "now"]


def trial_run_id(number: int) -> str:
    """Returns the name of the study's attribute that holds a trial's run id: an ended trial takes no attributes."""
    return f"{RUN_ID}/{number}"


@dataclass(frozen=True)
class Snapshot:
    """All trials of a study at one moment: answers of it fit together, also while a search goes on.

    Attributes:
        study: The study's config.
        trials: All trials by number.
        frozen: Optuna's own values of them, which must not be changed.
    """

    study: StudyFields
    trials: tuple[TrialSummary, ...]
    frozen: tuple[FrozenTrial, ...]

    def best(self, role: Role | None = None) -> TrialSummary | None:
        """Returns the best feasible trial by the first objective; None when nothing is feasible.

        Once finalists are done, it is the best of them and of the controls on the fresh seeds that they have in
        common, because the search's own best value is in part luck; before that, or with the role of the search, the
        best trial. Where the one finalist is the control, that is enough. Arms are never the best: they are there to be
        compared with.
        """
        objective, roles = self.study.search.objectives[0], _NO_ARMS if role is None else (role,)
        fresh = confirmed(self.trials)
        sound: Role = "finalist" if any(each.role == "finalist" for each in self.trials) else "control"
        if role != "search" and any(each.role == sound and each.state == "finished" for each in fresh):
            return best_confirmed((each for each in fresh if each.role in roles), objective)
        return best_of((each for each in self.trials if each.role in roles), objective)

    def reports(self, number: int) -> list[StoredReport]:
        """Returns what a trial has reported, the first epoch first."""
        return from_attributes(self.frozen[number].user_attrs)

    def reached(self) -> Reached:
        """Returns the front and how it grew; by every epoch at rest, if `search.candidates` says so."""
        counted = [t for t in self.trials if t.role == "search" and self.study.search.candidates == "at_rest"]
        return reached(self.trials, self.study, {trial.number: self.reports(trial.number) for trial in counted})


class StoredStudy:
    """A study in its folder.

    Attributes:
        folder: Where it lies.
        config: The study as it was last started.
        storage: Optuna's storage.
        batch: Makes a block whose writes belong together; inside, they need not be visible. State changes come last.
        hold: Is told the right to search, held: from then on nothing is written without it.
        study_id: Its id in there.
    """

    def __init__(self, folder: StudyFolder) -> None:
        """Opens a study.

        Raises:
            NoStudy: There is no such study.
            StudyError: Its storage cannot be used.
        """
        if not storage_exists(folder):
            raise _no_study(folder)
        self.folder = folder
        opened = open_storage(folder)
        self.storage, self.batch, self.hold = opened.optuna, opened.batch, opened.hold
        try:
            self.study_id = self.storage.get_study_id_from_name(folder.name)
        except KeyError as error:
            raise _no_study(folder) from error
        if CONFIG not in self.attributes():  # its maker was killed at once
            raise _no_study(folder)
        _check_format(folder, self.attributes().get(FORMAT, 1))  # 1 was not written down
        self.config: StudyConfig = study_from_mapping(self.attributes()[CONFIG], folder.name)
        place = folder.artifacts or ArtifactsPlace.of(self.config.study.storage)
        if place is not None:
            place = replace(place, token=self.attributes().get(TOKEN, ""))
        self.folder = replace(folder, artifacts=place, used=used_data(self.attributes()))

    @property
    def info(self) -> StudyInfo:
        """The study as a tracker needs to know it."""
        study = self.config.study
        metric = ", ".join(objective.metric for objective in study.search.objectives)
        return StudyInfo(self.folder.name, self.config.to_mapping(), study.seed, metric, self.attributes().get(RUN_ID))

    @property
    def stop_requested(self) -> StopRequest | None:
        """How a stop was requested since the search was last started; None if it was not."""
        request: StopRequest | None = self.attributes().get(STOP)
        return request

    def request_stop(self, how: StopRequest = "soon") -> None:
        """Asks the process that searches to stop; trials that run keep their checkpoints."""
        self.storage.set_study_user_attr(self.study_id, STOP, how)

    @property
    def seconds_used(self) -> float:
        """Seconds of searching, as far as written down."""
        return float(self.attributes().get(SECONDS, 0.0))

    @property
    def began(self) -> float | None:
        """When the search was last started, in seconds since 1970; None where that was not written down."""
        began: float | None = self.attributes().get(BEGAN)
        return began

    @property
    def enough(self) -> str | None:
        """Why the search needed no further trial, in words; None before all is done, finalists and control included."""
        words: str | None = self.attributes().get(ENOUGH)
        return words

    @property
    def provenance(self) -> Mapping[str, str]:
        """Versions and commit that it was last searched with, by tag name; empty where that was not written down."""
        tags: Mapping[str, str] = self.attributes().get(PROVENANCE, {})
        return tags

    @property
    def num_searched(self) -> int:
        """Trials that count against `search.trials`: all that were suggested, however they ended."""
        return sum(trial.user_attrs[ROLE] == "search" for trial in self.frozen_trials())

    @property
    def is_unfinished(self) -> bool:
        """Whether something is left to do: trials without an end, more of them, finalists or the control."""
        return self.enough is None or any(not trial.state.is_finished() for trial in self.frozen_trials())

    def trials(self) -> tuple[TrialSummary, ...]:
        """Returns all trials by number."""
        return self.snapshot().trials

    def snapshot(self) -> Snapshot:
        """Returns all trials as they are now, for questions whose answers must fit together."""
        attributes, frozen = self.attributes(), tuple(self.frozen_trials())
        trials = tuple(_summary(trial, attributes.get(trial_run_id(trial.number))) for trial in frozen)
        return Snapshot(self.config.study, trials, frozen)

    def trial(self, number: int) -> TrialSummary:
        """Returns one trial.

        Raises:
            StudyError: There is none of this number.
        """
        trial = self.frozen_trial(number)
        return _summary(trial, self.attributes().get(trial_run_id(number)))

    def best(self, role: Role | None = None) -> TrialSummary | None:
        """Returns the best feasible trial now, as `Snapshot.best` has it; None when nothing is feasible."""
        return self.snapshot().best(role)

    def reports(self, number: int) -> list[StoredReport]:
        """Returns what a trial has reported, the first epoch first."""
        return from_attributes(self.frozen_trial(number).user_attrs)

    def reached(self) -> Reached:
        """Returns the front and how it grew; by every epoch at rest, if `search.candidates` says so."""
        return self.snapshot().reached()

    @property
    def search_seeds(self) -> tuple[int, ...]:
        """Seeds that every suggested configuration is judged on: common random numbers."""
        study = self.config.study
        return (study.seed, *_derived(study.seed, "seed", range(1, study.search.seeds)))

    @property
    def fresh_seeds(self) -> tuple[int, ...]:
        """Seeds that finalists and control are trained on, none of which the search has seen."""
        study = self.config.study
        return tuple(_derived(study.seed, "fresh", range(study.search.fresh_seeds)))

    def trial_info(self, number: int) -> TrialInfo:
        """Returns a trial as one that starts or goes on."""
        attributes = self.frozen_trial(number).user_attrs
        run_id = self.attributes().get(trial_run_id(number))
        seeds = tuple(attributes[SEEDS])
        return TrialInfo(number, attributes[ROLE], attributes[CONFIG], attributes[VALUES], seeds, {}, run_id)

    def keep_run_ids(self, run_ids: Mapping[int, str], study_run_id: str | None = None) -> None:
        """Keeps the tracker's ids of trials' runs and of the study's own; any process may."""
        known = self.attributes()
        wanted = {trial_run_id(number): run_id for number, run_id in run_ids.items()}
        if study_run_id:
            wanted[RUN_ID] = study_run_id
        with self.batch():
            for name, run_id in wanted.items():
                if known.get(name) != run_id:
                    self.storage.set_study_user_attr(self.study_id, name, run_id)

    def attributes(self) -> Mapping[str, Any]:
        """Returns the study's attributes."""
        return self.storage.get_study_user_attrs(self.study_id)

    def frozen_trials(self) -> list[FrozenTrial]:
        """Returns Optuna's own values, which must not be changed."""
        return self.storage.get_all_trials(self.study_id, deepcopy=False)

    def frozen_trial(self, number: int) -> FrozenTrial:
        """Returns Optuna's own value, which must not be changed.

        Raises:
            StudyError: There is no trial of this number.
        """
        try:
            return self.storage.get_trial(self.trial_id(number))
        except (KeyError, IndexError) as error:
            raise StudyError(
                f"the study {self.folder.name!r} has no trial {number}; it has {len(self.frozen_trials())}, from 0 on."
            ) from error

    def trial_id(self, number: int) -> int:
        """Returns Optuna's id of a trial."""
        return self.storage.get_trial_id_from_study_id_trial_number(self.study_id, number)


def _check_format(folder: StudyFolder, found: int) -> None:
    if found != FORMAT_VERSION:
        raise StudyError(
            f"the study {folder.name!r} in {folder.place} has storage format {found}, and this neurosearch reads "
            f"{FORMAT_VERSION}. Go on with the version that made it, or start a study of another name; nothing was "
            "changed."
        )


def _no_study(folder: StudyFolder) -> NoStudy:
    others = ", ".join(name for name in stored_names(folder) if name != folder.name) or "none"
    option = "--folder" if folder.database is None else "--database"
    return NoStudy(
        f"there is no study {folder.name!r} in {folder.place}. Studies there: {others}.",
        f"Name one of them, or another {option}.",
    )


def _derived(seed: int, label: str, indices: Iterable[int]) -> Iterator[int]:
    yield from (derive_seed(seed, label, index) % 2**32 for index in indices)  # 2**32: what a config's seed may be


def _summary(trial: FrozenTrial, run_id: str | None) -> TrialSummary:
    attributes = trial.user_attrs
    outcome = TrialOutcome.from_dict(attributes[OUTCOME]) if trial.state.is_finished() else None
    assert trial.datetime_start is not None
    return TrialSummary(
        number=trial.number,
        role=attributes[ROLE],
        kind=attributes[CONFIG]["growth"]["kind"],
        state=_state(trial),
        values=tuple(trial.values or ()) if trial.state is TrialState.COMPLETE else (),
        per_seed=outcome.per_seed if outcome else (),
        seeds=tuple(attributes[SEEDS]),
        params=attributes[VALUES],
        config=attributes[CONFIG],
        metrics=outcome.metrics if outcome else {},
        epochs=outcome.epochs if outcome else max(trial.intermediate_values, default=0),
        seconds=outcome.seconds if outcome else None,
        reason=outcome.reason if outcome else None,
        run_id=run_id,
        started=trial.datetime_start.timestamp(),
        ended=trial.datetime_complete.timestamp() if trial.datetime_complete else None,
    )


def _state(trial: FrozenTrial) -> SummaryState:
    if not trial.state.is_finished():
        return "running"
    if trial.state is TrialState.FAIL:
        return "failed"
    if trial.state is TrialState.PRUNED:
        return "stopped"
    return "infeasible" if any(excess > 0 for excess in trial.constraints.values()) else "finished"
