"""The study as the process that searches holds it: it asks, reports to and tells Optuna, by the study's trial numbers.

Optuna's storage is the truth. A suggested trial is written in one piece with its config, so whatever process dies at
whatever moment, a trial either does not exist or can be handed out again as it was; told twice, it is told once.
"""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from neurosearch.config.load import StudyConfig
from neurosearch.config.search_nodes import SEARCHED_SECTIONS
from neurosearch.config.trial import TrialConfig
from neurosearch.search.differences import differing_fields
from neurosearch.search.errors import StudyError
from neurosearch.search.folders import StudyFolder
from neurosearch.search.lock import SearchLock, search_lock
from neurosearch.search.outcome import TrialOutcome
from neurosearch.search.sampling import Suggester, config_key
from neurosearch.search.seams import Record, Role, TrialInfo, TrialSummary
from neurosearch.search.storage import open_storage
from neurosearch.search.stored import CONFIG, OUTCOME, ROLE, SECONDS, STOP, VALUES, StoredStudy
from neurosearch.search.summaries import judge

_SIZE_CONSTRAINT = "constraints:size"  # what optuna.Trial.set_constraint("size", ...) writes


def create_study(folder: StudyFolder, config: StudyConfig) -> "Study":
    """Makes a new study and takes the right to search it.

    Raises:
        StudyError: The name is used already, or the folder cannot be written.
    """
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        lock = search_lock(folder)
    except OSError as error:
        raise StudyError(
            f"{folder.path} cannot be written: {error.strerror}. Mend that, or choose another storage.folder."
        ) from error
    try:
        check_name_is_free(folder, config)
        folder.journal.unlink(missing_ok=True)  # of a search that ended before its first trial
        storage = open_storage(folder).optuna
        direction = config.study.search.objectives[0].direction
        optuna.create_study(study_name=folder.name, storage=storage, direction=direction)
        storage.set_study_user_attr(storage.get_study_id_from_name(folder.name), CONFIG, config.to_mapping())
        return Study(StoredStudy(folder), config, lock)
    except BaseException:
        lock.release()
        raise


def resume_study(folder: StudyFolder, config: StudyConfig | None = None) -> "Study":
    """Opens a study to go on with it, and takes the right to search it.

    Args:
        folder: Where it lies.
        config: The study with other budgets, say; None: as it was last started.

    Raises:
        StudyError: There is no such study, it has another space, or another living process searches it.
    """
    stored = StoredStudy(folder)
    if config is not None:
        _check_same_space(folder, stored.config, config)
    lock = search_lock(folder)
    return Study(StoredStudy(folder), config or stored.config, lock)  # read again, now that nobody else writes


def check_name_is_free(folder: StudyFolder, config: StudyConfig) -> None:
    """Checks that a new study may take the folder's name; a study without a trial does not hold it.

    Raises:
        StudyError: There is a study of this name; says how it differs from `config`, or how to go on with it.
    """
    try:
        stored = StoredStudy(folder)
    except StudyError:
        return
    if not stored.frozen_trials():
        return
    _check_same_space(folder, stored.config, config)
    ended = sum(trial.state != "running" for trial in stored.trials())
    raise StudyError(
        f"there is a study {folder.name!r} in {folder.root} already; {ended} of its trials have ended. "
        f"Go on with it by `{folder.command('resume')}`, or give this one another name."
    )


class Study:
    """A study that this process searches; made by `create_study` or `resume_study`.

    Attributes:
        stored: What its storage tells, always up to date.
        config: The study as it is searched now.
    """

    def __init__(self, stored: StoredStudy, config: StudyConfig, lock: SearchLock) -> None:
        """Takes over what is stored; trials without an end will be handed out again.

        Args:
            stored: The study.
            config: How it goes on.
            lock: The right to search it, held.
        """
        self.stored = stored
        self.config = config
        self._lock = lock
        self._objective = config.study.search.objectives[0]
        self._suggester = Suggester(config)
        self._orphans: deque[int] = deque()
        self._seconds_before = stored.seconds_used
        self._started = time.monotonic()
        with stored.batch():
            self._set(CONFIG, config.to_mapping())
            self._set(STOP, False)
        for trial in stored.frozen_trials():
            self._take_over(trial)

    def close(self) -> None:
        """Writes down the time used and gives up the right to search."""
        if self._lock.held:
            self._set(SECONDS, self.seconds_used)
            self._lock.release()

    def ask(self) -> TrialInfo | None:
        """Returns the next trial to run; None when the budget is used up or no new configuration is left.

        Trials that an earlier process left without an end come first, as they were.
        """
        while self._orphans:
            number = self._orphans.popleft()
            if not self.stored.frozen_trial(number).state.is_finished():
                return self.stored.trial_info(number)
        if self.budget_is_used:
            return None
        number = len(self.stored.frozen_trials())
        suggestion = self._suggester.suggest(number)
        if suggestion is None:
            return None
        trial = optuna.create_trial(
            state=TrialState.RUNNING,
            params=suggestion.params,
            distributions=suggestion.distributions,
            user_attrs=_attributes(suggestion.config, "search", suggestion.values),
        )
        return self._added(trial, number)

    def ask_control(self, config: TrialConfig) -> TrialInfo | None:
        """Returns the control trial of this config to run; None when a trial of this config has ended already."""
        plain = config.model_dump(mode="json")
        for trial in self.stored.frozen_trials():
            if config_key(trial.user_attrs[CONFIG]) == config_key(plain):
                return None if trial.state.is_finished() else self.stored.trial_info(trial.number)
        self._suggester.know(plain)
        trial = optuna.create_trial(state=TrialState.RUNNING, user_attrs=_attributes(config, "control", {}))
        return self._added(trial, len(self.stored.frozen_trials()))

    def report(self, number: int, records: Sequence[Record]) -> None:
        """Keeps the objective after each epoch; epochs that are known, and ended trials, are left as they are."""
        trial = self.stored.frozen_trial(number)
        if trial.state.is_finished():
            return
        trial_id = self.stored.trial_id(number)
        with self.stored.batch():
            for record in records:
                value = record["metrics"].get(self._objective.metric)
                if value is not None and record["epoch"] not in trial.intermediate_values:
                    self.stored.storage.set_trial_intermediate_value(trial_id, record["epoch"], value)

    def tell(self, number: int, outcome: TrialOutcome) -> TrialSummary:
        """Ends a trial; told again, it stays as it was told first.

        A network above the size limit is complete, with the excess as a constraint for the sampler, and never the best.
        """
        trial = self.stored.frozen_trial(number)
        if not trial.state.is_finished():
            verdict = judge(outcome, self._objective, self.config.study.size_limit)
            self._end(self.stored.trial_id(number), verdict.outcome, verdict.value, verdict.violation)
            if trial.user_attrs[ROLE] == "search":
                values = None if verdict.value is None else (verdict.value,)
                self._suggester.ended(number, values, verdict.violation)
        return self.stored.trial(number)

    def set_run_ids(self, run_ids: Mapping[int, str], study_run_id: str | None = None) -> None:
        """Keeps the tracker's ids of trials' runs and of the study's own."""
        self.stored.keep_run_ids(run_ids, study_run_id)

    @property
    def seconds_used(self) -> float:
        """Seconds of searching so far, over all processes that searched."""
        return self._seconds_before + time.monotonic() - self._started

    @property
    def budget_is_used(self) -> bool:
        """Whether no new trial may start."""
        search = self.config.study.search
        is_late = search.time_budget_seconds is not None and self.seconds_used >= search.time_budget_seconds
        return is_late or self.stored.num_searched >= search.trials

    def _take_over(self, trial: FrozenTrial) -> None:
        config = trial.user_attrs[CONFIG]
        if trial.user_attrs[ROLE] != "search":
            self._suggester.know(config)
            return
        self._suggester.add(trial.number, trial, config)
        if trial.state.is_finished():
            values = None if trial.values is None else tuple(trial.values)
            self._suggester.ended(trial.number, values, max(trial.constraints.values(), default=0.0))
        else:
            self._orphans.append(trial.number)

    def _end(self, trial_id: int, outcome: TrialOutcome, value: float | None, violation: float) -> None:
        storage = self.stored.storage
        with self.stored.batch():
            storage.set_trial_user_attr(trial_id, OUTCOME, outcome.to_dict())
            self._set(SECONDS, self.seconds_used)
            if value is None:
                storage.set_trial_state_values(trial_id, TrialState.FAIL)
            else:
                storage.set_trial_system_attr(trial_id, _SIZE_CONSTRAINT, violation)
                storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [value])

    def _added(self, trial: FrozenTrial, number: int) -> TrialInfo:
        self.stored.storage.create_new_trial(self.stored.study_id, trial)
        return self.stored.trial_info(number)

    def _set(self, name: str, value: Any) -> None:
        self.stored.storage.set_study_user_attr(self.stored.study_id, name, value)


def _check_same_space(folder: StudyFolder, stored: StudyConfig, config: StudyConfig) -> None:
    if stored.fingerprint() == config.fingerprint():
        return
    fields = differing_fields(_compared(stored), _compared(config))
    raise StudyError(
        f"the study {folder.name!r} in {folder.root} has another space: {', '.join(fields)} differ. "
        "Give this one another name, or restore these fields to go on with that study."
    )


def _compared(config: StudyConfig) -> dict[str, Any]:
    """Returns what the fingerprint is made of, in the user's words."""
    mapping, study = config.to_mapping(), config.study
    searched = {name: mapping[name] for name in SEARCHED_SECTIONS if name in mapping}
    judged = study.model_dump(mode="json", include={"seed", "size_limit"})
    objectives = [objective.model_dump(mode="json") for objective in study.search.objectives]
    return {**searched, **judged, "search": {"objectives": objectives}}


def _attributes(config: TrialConfig, role: Role, values: dict[str, Any]) -> dict[str, Any]:
    return {CONFIG: config.model_dump(mode="json"), ROLE: role, VALUES: values}
