"""The study as the process that searches holds it: it asks, reports to and tells Optuna, by the study's trial numbers.

Optuna's storage is the truth. A suggested trial is written in one piece with its config, so whatever process dies at
whatever moment, a trial either does not exist or can be handed out again as it was; told twice, it is told once.

This file is longer than most: what is asked, reported and told of a trial must agree, and is read together.
"""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

import optuna
from optuna.trial import FrozenTrial, TrialState

from neurosearch.config.load import StudyConfig
from neurosearch.config.trial import TrialConfig, config_key
from neurosearch.search.budget import Spending
from neurosearch.search.checkpoints import check_folder_is_free
from neurosearch.search.differences import words_of_difference
from neurosearch.search.early_stopping import Halving, Verdict, last_judged_epoch, rung_levels, verdict
from neurosearch.search.errors import NoStudy, StudyError
from neurosearch.search.folders import StudyFolder
from neurosearch.search.generations import Generations
from neurosearch.search.lock import SearchLock, search_lock
from neurosearch.search.outcome import TrialOutcome
from neurosearch.search.racing import race
from neurosearch.search.reports import Reports, from_attributes, to_attribute
from neurosearch.search.room import Room, larger_room
from neurosearch.search.sampling import Suggester
from neurosearch.search.seams import Record, Role, TrialInfo, TrialSummary
from neurosearch.search.storage import new_storage
from neurosearch.search.stored import (
    BEGAN,
    CONFIG,
    EARLIER,
    ENOUGH,
    FORMAT,
    FORMAT_VERSION,
    OUTCOME,
    PACKING,
    PROVENANCE,
    REFERENCE,
    ROLE,
    ROOM,
    SECONDS,
    SEEDS,
    STOP,
    TOKEN,
    VALUES,
    StoredStudy,
)
from neurosearch.search.summaries import Judgement, judge, values_of
from neurosearch.search.used_data import UsedData
from neurosearch.search.warm_start import earlier_trials, placed

_CONSTRAINT = "constraints:size"  # what optuna.Trial.set_constraint("size", ...) writes
_GOES_ON = Verdict(stop=False, rung=None, reason="goes on: nothing is judged by")
_HIGHEST = 100.0  # times a typical training: no trial is so expensive, and rungs above are never reached


def create_study(folder: StudyFolder, config: StudyConfig) -> "Study":
    """Makes a new study and takes the right to search it.

    Raises:
        StudyError: The name is used already, the folder cannot be written, or the study to learn from is not there.
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
        check_folder_is_free(folder)
        earlier = [trial.to_dict() for trial in earlier_trials(folder, config)]
        opened = new_storage(folder)
        opened.hold(lock)
        storage = opened.optuna
        directions = [objective.direction for objective in config.study.search.objectives]
        optuna.create_study(study_name=folder.name, storage=storage, directions=directions)
        study_id = storage.get_study_id_from_name(folder.name)
        storage.set_study_user_attr(study_id, FORMAT, FORMAT_VERSION)
        if folder.artifacts is not None:
            storage.set_study_user_attr(study_id, TOKEN, uuid4().hex[:12])
        storage.set_study_user_attr(study_id, EARLIER, earlier)  # kept, as that study may change or go
        storage.set_study_user_attr(study_id, CONFIG, config.to_mapping())
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
    try:
        return Study(StoredStudy(folder), config or stored.config, lock)  # read again, now that nobody else writes
    except BaseException:
        lock.release()
        raise


def check_name_is_free(folder: StudyFolder, config: StudyConfig) -> None:
    """Checks that a new study may take the folder's name; a study without a trial does not hold it.

    Raises:
        StudyError: There is a study of this name; says how it differs from `config`, or how to go on with it.
    """
    try:
        stored = StoredStudy(folder)
    except NoStudy:
        return
    if not stored.frozen_trials():
        return
    _check_same_space(folder, stored.config, config)
    ended = sum(trial.state != "running" for trial in stored.trials())
    raise StudyError(
        f"there is a study {folder.name!r} in {folder.place} already; {ended} of its trials have ended. "
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
        self._search = config.study.search
        self._lock = lock
        stored.hold(lock)
        self._suggester = Suggester(config, placed(config, stored.attributes().get(EARLIER, ())))
        self._spending = Spending(self._search)
        self._reports = Reports(config.study)
        self._generations = Generations(self._search.concurrency if self._search.deterministic else None)
        self._orphans: deque[int] = deque()
        self._has_no_new_point = False
        self._seconds_before = stored.seconds_used
        self._started = time.monotonic()
        with stored.batch():
            self._set(CONFIG, config.to_mapping())
            self._set(BEGAN, time.time())
            self._set(STOP, None)
            self._set(ENOUGH, None)
        stored.config = config
        for trial in stored.frozen_trials():
            self._take_over(trial)
        for summary in sorted(stored.trials(), key=lambda each: each.ended or 0.0):
            if summary.ended is not None and not self._waits_for_its_generation(summary):
                self._spending.add(summary)

    def close(self) -> None:
        """Writes down the time used and gives up the right to search."""
        if self._lock.held:
            try:
                self._set(SECONDS, self.seconds_used)
            finally:
                self._lock.release()

    def conclude(self) -> None:
        """Writes down that all is done, finalists and control included, and why no further trial is needed."""
        no_point = "no point of the space is left that was not tried"
        self._set(ENOUGH, no_point if self._has_no_new_point else self.budget_used)

    def ask(self) -> TrialInfo | None:
        """Returns the next trial to run; None when there is none now, and none ever if nothing runs.

        Trials that an earlier process left without an end come first, as they were.
        """
        while self._orphans:
            number = self._orphans.popleft()
            if not self.stored.frozen_trial(number).state.is_finished():
                return self.stored.trial_info(number)
        if self._has_no_new_point or not self._generations.may_ask():
            return None
        self._close_generation()  # first: what it has spent says whether there is another one
        if self.budget_used is not None:
            return None
        number = len(self.stored.frozen_trials())
        suggestion = self._suggester.suggest(number)
        if suggestion is None:
            self._has_no_new_point = True
            return None
        self._generations.asked(number)
        attributes = _attributes(suggestion.config, "search", suggestion.values, self.stored.search_seeds)
        trial = optuna.create_trial(
            state=TrialState.RUNNING,
            params=suggestion.params,
            distributions=suggestion.distributions,
            user_attrs=attributes,
        )
        return self._added(trial, number)

    def ask_for(
        self, config: TrialConfig, role: Role, seeds: Sequence[int], values: Mapping[str, Any]
    ) -> TrialInfo | None:
        """Returns a trial of this config and these seeds to run; None when one has ended already.

        Args:
            config: What to train.
            role: Why.
            seeds: On which seeds.
            values: The searched values that the config came from; empty for the control.
        """
        attributes = _attributes(config, role, values, seeds)
        for trial in self.stored.frozen_trials():
            if _same_training(trial.user_attrs, attributes):
                return None if trial.state.is_finished() else self.stored.trial_info(trial.number)
        if tuple(seeds) == self.stored.search_seeds:
            self._suggester.know(attributes[CONFIG])
        trial = optuna.create_trial(state=TrialState.RUNNING, user_attrs=attributes)
        return self._added(trial, len(self.stored.frozen_trials()))

    def report(self, number: int, records: Sequence[Record]) -> None:
        """Keeps what epochs brought; epochs that are known, and ended trials, are left as they are."""
        trial = self.stored.frozen_trial(number)
        if trial.state.is_finished():
            return
        new = self._reports.new(number, records)
        if not new:
            return
        trial_id, storage = self.stored.trial_id(number), self.stored.storage
        with self.stored.batch():
            storage.set_trial_user_attr(trial_id, *to_attribute(new))
            for each in new:
                storage.set_trial_intermediate_value(trial_id, each.epoch, each.report.values[0])
        self._reports.add(number, new)

    def verdict(self, number: int, per_seed: Sequence[Mapping[str, float]]) -> Verdict:
        """Decides whether a trial that waits goes on: by its rung, or between two seeds by those it has finished.

        Args:
            number: The trial.
            per_seed: Metrics of the final network of each seed that it was trained on to the end.
        """
        attributes = self.stored.frozen_trial(number).user_attrs
        if attributes[ROLE] != "search":
            return _GOES_ON
        peers = self._generations.peers(number)
        if per_seed:
            return self._raced(per_seed, peers)
        rule = self.halving
        if rule is None:
            return _GOES_ON
        curves = [self._reports.curve(peer, finished=self._has_finished(peer)) for peer in peers]
        last = last_judged_epoch(attributes[CONFIG]["training"]["epochs"], len(attributes[SEEDS]))
        return verdict(rule, self._reports.curve(number, finished=False).until(last), curves)

    def tell(self, number: int, outcome: TrialOutcome) -> TrialSummary:
        """Ends a trial; told again, it stays as it was told first.

        A network beyond a bound is complete, with the excess as a constraint for the sampler, and never the best.
        """
        trial = self.stored.frozen_trial(number)
        if trial.state.is_finished():
            return self.stored.trial(number)
        self._end(self.stored.trial_id(number), judge(outcome, self.config.study))
        summary = self.stored.trial(number)
        if not self._waits_for_its_generation(summary):
            self._spending.add(summary)
        if summary.role == "search":
            for ended in self._generations.ended(number):
                self._tell_suggester(ended)
        return summary

    def enlarged_room(self, number: int) -> Room | None:
        """Returns what a trial runs in since it ran out of memory; None if it never did."""
        enlarged = self.stored.frozen_trial(number).user_attrs.get(ROOM)
        return None if enlarged is None else Room.from_dict(enlarged)

    def enlarge(self, number: int, room: Room) -> Room | None:
        """Gives a running trial that ran out of memory in `room` more, once for all processes; None: no more."""
        if self.enlarged_room(number) is not None:
            return None
        larger = larger_room(room, self._search.concurrency)
        if larger is not None:
            self.stored.storage.set_trial_user_attr(self.stored.trial_id(number), ROOM, larger.to_dict())
        return larger

    def pack_choice(self, key: str) -> Mapping[str, Any] | None:
        """Returns what was measured of trials of a kind, together and alone; None if nothing was."""
        choice: Mapping[str, Any] | None = self.stored.attributes().get(f"{PACKING}/{key}")
        return choice

    def keep_pack_choice(self, key: str, choice: Mapping[str, Any]) -> None:
        """Keeps what was measured of trials of a kind."""
        self._set(f"{PACKING}/{key}", dict(choice))

    @property
    def trials_left(self) -> int:
        """How many more trials may be asked for, by their number alone."""
        return max(0, self._search.trials - self._generations.num_asked)

    def set_run_ids(self, run_ids: Mapping[int, str], study_run_id: str | None = None) -> None:
        """Keeps the tracker's ids of trials' runs and of the study's own."""
        self.stored.keep_run_ids(run_ids, study_run_id)

    def set_provenance(self, tags: Mapping[str, str]) -> None:
        """Keeps the versions and the commit that the study is searched with from now on."""
        self._set(PROVENANCE, dict(tags))

    def keep_data(self, data: UsedData) -> None:
        """Keeps which data trials are trained on; from then on `stored.folder` tells it, too."""
        if data not in self.stored.folder.used:
            self._set(data.attribute, data.to_dict())
            self.stored.folder = replace(self.stored.folder, used=(*self.stored.folder.used, data))

    def set_reference_cost(self, cost: float) -> None:
        """Keeps what the rungs of early stopping are measured by, unless it is known: it never changes."""
        if REFERENCE not in self.stored.attributes():
            self._set(REFERENCE, cost)

    @property
    def halving(self) -> Halving | None:
        """The rule by which trials are stopped early; None when none is."""
        reference = self.stored.attributes().get(REFERENCE)
        stopping = self._search.stopping
        if reference is None or stopping.kind == "none":
            return None
        levels = rung_levels(reference, stopping.first_share, stopping.reduction, _HIGHEST * reference)
        objectives = self._search.objectives
        return Halving(
            stopping.reduction,
            levels,
            tuple(objective.metric for objective in objectives),
            tuple(objective.direction for objective in objectives),
        )

    @property
    def seconds_used(self) -> float:
        """Seconds of searching so far, over all processes that searched."""
        return self._seconds_before + time.monotonic() - self._started

    @property
    def budget_used(self) -> str | None:
        """Which budget is used up, in words; None while a new trial may start."""
        return self._spending.used_up(self._generations.num_asked, self.seconds_used)

    def _raced(self, per_seed: Sequence[Mapping[str, float]], peers: Sequence[int]) -> Verdict:
        objectives = self._search.objectives
        ended = (self.stored.trial(peer) for peer in peers)
        others = [self._values(trial.per_seed) for trial in ended if trial.state == "finished"]
        return race(
            [objective.metric for objective in objectives],
            [objective.direction for objective in objectives],
            self._search.seeds,
            self._values(per_seed),
            others,
        )

    def _values(self, per_seed: Sequence[Mapping[str, float]]) -> list[tuple[float, ...]]:
        found = (values_of(metrics, self.config.study) for metrics in per_seed)
        return [values for values in found if values is not None]

    def _take_over(self, trial: FrozenTrial) -> None:
        number, config, role = trial.number, trial.user_attrs[CONFIG], trial.user_attrs[ROLE]
        self._reports.add(number, from_attributes(trial.user_attrs))
        if not trial.state.is_finished():
            self._orphans.append(number)
        if role != "search":
            if tuple(trial.user_attrs[SEEDS]) == self.stored.search_seeds:
                self._suggester.know(config)
            return
        self._close_generation()
        self._suggester.add(number, trial, config)
        self._generations.asked(number)
        if trial.state.is_finished():
            for ended in self._generations.ended(number):
                self._tell_suggester(ended)

    def _close_generation(self) -> None:
        """Counts the trials of a generation that has ended, in the order of their numbers, as another one may begin."""
        for number in self._generations.begin():
            self._tell_suggester(number)
            self._spending.add(self.stored.trial(number))

    def _waits_for_its_generation(self, trial: TrialSummary) -> bool:
        """Tells whether a trial is counted with its whole generation, whenever it ended within that."""
        return self._search.deterministic and trial.role == "search"

    def _tell_suggester(self, number: int) -> None:
        trial = self.stored.frozen_trial(number)
        violation = max(trial.constraints.values(), default=0.0)
        match trial.state:
            case TrialState.COMPLETE:
                self._suggester.ended(number, tuple(trial.values or ()), violation)
            case TrialState.PRUNED:
                report = self._reports.curve(number, finished=False).reports[-1]
                self._suggester.stopped(number, report.values, report.violation, report.epoch)
            case _:
                self._suggester.ended(number, None, 0.0)

    def _has_finished(self, number: int) -> bool:
        return self.stored.frozen_trial(number).state is TrialState.COMPLETE

    def _end(self, trial_id: int, judgement: Judgement) -> None:
        storage, outcome = self.stored.storage, judgement.outcome
        with self.stored.batch():
            storage.set_trial_user_attr(trial_id, OUTCOME, outcome.to_dict())
            self._set(SECONDS, self.seconds_used)
            match outcome.state:
                case "failed":
                    storage.set_trial_state_values(trial_id, TrialState.FAIL)
                case "stopped":
                    storage.set_trial_state_values(trial_id, TrialState.PRUNED)
                case "finished":
                    assert judgement.values is not None
                    storage.set_trial_system_attr(trial_id, _CONSTRAINT, judgement.violation)
                    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, judgement.values)

    def _added(self, trial: FrozenTrial, number: int) -> TrialInfo:
        self.stored.storage.create_new_trial(self.stored.study_id, trial)
        return self.stored.trial_info(number)

    def _set(self, name: str, value: Any) -> None:
        self.stored.storage.set_study_user_attr(self.stored.study_id, name, value)


def _check_same_space(folder: StudyFolder, stored: StudyConfig, config: StudyConfig) -> None:
    difference = words_of_difference(stored, config)
    if difference is not None:
        raise StudyError(
            f"the study {folder.name!r} in {folder.place} has another space: {difference}. "
            "Give this one another name, or restore these fields to go on with that study."
        )


def _attributes(config: TrialConfig, role: Role, values: Mapping[str, Any], seeds: Sequence[int]) -> dict[str, Any]:
    return {CONFIG: config.model_dump(mode="json"), ROLE: role, VALUES: dict(values), SEEDS: list(seeds)}


def _same_training(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one[SEEDS] == other[SEEDS] and config_key(one[CONFIG]) == config_key(other[CONFIG])
