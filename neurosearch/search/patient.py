"""Optuna's storage in a database as the search sees it: operations that a broken connection cut off are repeated.

An answer may be lost after the server did what was asked, so everything that is repeated can be done twice with the
effect of once: values are set, not added; a trial carries a token by which it is found again before another is made
(see `database`); a trial that has ended as told is not told again.
"""

from collections.abc import Callable, Container, Sequence
from typing import Any, TypeVar

from optuna.distributions import BaseDistribution
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from neurosearch.search.database import with_token
from neurosearch.search.patience import Patience

_T = TypeVar("_T")


class PatientStorage(BaseStorage):
    """Optuna's storage in a database, with patience; `get_storage(RDBStorage(...))` is what it stands before."""

    def __init__(self, inner: BaseStorage, patience: Patience) -> None:
        """Takes the storage and for how long it is waited for."""
        self._inner = inner
        self._patience = patience

    def _read(self, work: Callable[[], _T]) -> _T:
        return self._patience.run(lambda _: work())

    def _write(self, work: Callable[[bool], _T]) -> _T:
        def guarded(again: bool) -> _T:
            self._patience.guard()
            return work(again)

        return self._patience.run(guarded)

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        """Makes a study; the caller holds the right to search it, so one that is there on a second try is its own."""
        assert study_name is not None, "a study of ours has a name"

        def work(again: bool) -> int:
            try:
                return self._inner.create_new_study(directions, study_name)
            except DuplicatedStudyError:
                if not again:
                    raise
                return self._inner.get_study_id_from_name(study_name)

        return self._write(work)

    def delete_study(self, study_id: int) -> None:
        """Removes a study; one that is gone on a second try was removed by the first."""

        def work(again: bool) -> None:
            try:
                self._inner.delete_study(study_id)
            except KeyError:
                if not again:
                    raise

        self._write(work)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Makes a trial, once: by its token the database finds it again."""
        assert template_trial is not None, "a trial of ours is made whole"
        marked = with_token(template_trial)
        return self._write(lambda _: self._inner.create_new_trial(study_id, marked))

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Ends a trial; one that has ended so on a second try was ended by the first."""

        def work(again: bool) -> bool:
            try:
                return self._inner.set_trial_state_values(trial_id, state, values)
            except UpdateFinishedTrialError:
                trial = self._inner.get_trial(trial_id)
                if not again or trial.state != state or trial.values != (list(values) if values else None):
                    raise
                return True

        return self._write(work)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Sets an attribute."""
        self._write(lambda _: self._inner.set_study_user_attr(study_id, key, value))

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Sets an attribute of Optuna's own."""
        self._write(lambda _: self._inner.set_study_system_attr(study_id, key, value))

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        """Is not used: trials are made with their parameters, and a parameter would be added, not set."""
        raise NotImplementedError

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Sets a report."""
        self._write(lambda _: self._inner.set_trial_intermediate_value(trial_id, step, intermediate_value))

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Sets an attribute."""
        self._write(lambda _: self._inner.set_trial_user_attr(trial_id, key, value))

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Sets an attribute of Optuna's own."""
        self._write(lambda _: self._inner.set_trial_system_attr(trial_id, key, value))

    def get_study_id_from_name(self, study_name: str) -> int:
        """Returns a study's id."""
        return self._read(lambda: self._inner.get_study_id_from_name(study_name))

    def get_study_name_from_id(self, study_id: int) -> str:
        """Returns a study's name."""
        return self._read(lambda: self._inner.get_study_name_from_id(study_id))

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Returns a study's directions."""
        return self._read(lambda: self._inner.get_study_directions(study_id))

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Returns a study's attributes."""
        return self._read(lambda: self._inner.get_study_user_attrs(study_id))

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Returns a study's attributes of Optuna's own."""
        return self._read(lambda: self._inner.get_study_system_attrs(study_id))

    def get_all_studies(self) -> list[Any]:
        """Returns all studies (Optuna's type of them is its own)."""
        return self._read(self._inner.get_all_studies)

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        """Returns a trial's id."""
        return self._read(lambda: self._inner.get_trial_id_from_study_id_trial_number(study_id, trial_number))

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Returns a trial."""
        return self._read(lambda: self._inner.get_trial(trial_id))

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Returns a study's trials."""
        return self._read(lambda: self._inner.get_all_trials(study_id, deepcopy, states))
