"""A whole search: from a validated study to its best trial and the control beside it."""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurosearch.config.load import StudyConfig
from neurosearch.config.search import Arm
from neurosearch.config.search_nodes import Node, OneOfNode, slots
from neurosearch.config.trial import TrialConfig
from neurosearch.config.yaml_source import to_yaml
from neurosearch.search.artifacts import artifacts_of
from neurosearch.search.cause import grown_leader
from neurosearch.search.checkpoints import check_checkpoints
from neurosearch.search.data_cache import opened_data
from neurosearch.search.desk import Desk
from neurosearch.search.finalists import leaders
from neurosearch.search.folders import StudyFolder
from neurosearch.search.outcome import write_text
from neurosearch.search.room import UsualRooms, least_gpus
from neurosearch.search.seams import (
    Listener,
    SilentListener,
    SilentTracker,
    Tracker,
    TrialInfo,
    TrialSummary,
)
from neurosearch.search.sources import unchanged_sources
from neurosearch.search.stored import StoredStudy
from neurosearch.search.study import Study, create_study, resume_study
from neurosearch.search.summaries import counts
from neurosearch.search.travelled import bring_travelled, keep_travelled
from neurosearch.search.used_data import UsedData, of_section
from neurosearch.tracking.provenance import provenance_tags

if TYPE_CHECKING:
    from neurosearch.data.prepared import PreparedData

_CLOSE_SECONDS = 30.0  # a tracker that is not done by then has a server that is down
_CLOSE_AT_ONCE_SECONDS = 2.0  # after an error or a second Ctrl-C, when somebody waits


@dataclass(frozen=True)
class SearchResult:
    """What came out of a search.

    Attributes:
        folder: Where the study lies.
        best: The best feasible trial, which may be the control; None when nothing is feasible.
        control: The trial of the largest static network beside the winner; None if there is none.
        counts: Trials in each state.
        stopped: Whether the search was stopped before its budget was used up.
        halted: Why it could not go on; None if it could.
        untold: How many things the tracker could not write.
    """

    folder: StudyFolder
    best: TrialSummary | None
    control: TrialSummary | None
    counts: Mapping[str, int]
    stopped: bool
    halted: str | None
    untold: int


def run_search(
    config: StudyConfig,
    folder: StudyFolder,
    *,
    resume: bool = False,
    address: str | None = None,
    tracker: Tracker | None = None,
    listener: Listener | None = None,
) -> SearchResult:
    """Searches until the budget is used up or the search is stopped; then trains the control.

    Args:
        config: The study.
        folder: Where it lies, as every worker sees it.
        resume: Go on with the study that is there, instead of making a new one.
        address: Address of a running Ray cluster; None: this machine alone.
        tracker: Is told everything; closed at the end.
        listener: Is told everything.

    Raises:
        StudyError: The study cannot be made or gone on with, or the cluster has not what a trial needs.
        DataError: The data of every trial cannot be used, or has changed since trials were trained on it.
    """
    moved: Sequence[UsedData] = ()
    if resume:  # looked at first: a study that is refused is left untouched
        stored = StoredStudy(folder)
        check_checkpoints(stored)
        moved = unchanged_sources(stored.folder)
    study = resume_study(folder, config) if resume else create_study(folder, config)
    try:
        for each in moved:
            study.keep_data(each)
        return _searched(study, address, tracker or SilentTracker(), listener or SilentListener())
    finally:
        study.close()


def _searched(study: Study, address: str | None, tracker: Tracker, listener: Listener) -> SearchResult:
    from neurosearch.search.ray_cluster import Workers, cluster, gpu_bytes, node_memory
    from neurosearch.search.ray_tune import run_trials

    folder, search = study.stored.folder, study.config.study.search
    write_config(folder, study.config)
    keep_travelled(folder)
    study.set_provenance(provenance_tags(Path.cwd()))
    tracker.start_study(study.stored.info)
    desk = Desk(
        study,
        tracker,
        listener,
        lambda trial: _described(trial, study),
        lambda: _confirmation(study),
        UsualRooms(search.gpus_per_trial, partial(_data, study), gpu_bytes, None if address is None else node_memory),
    )
    workers = Workers(search.concurrency, search.cpus_per_trial, least_gpus(search.gpus_per_trial), address)
    untold, close_seconds = 0, _CLOSE_AT_ONCE_SECONDS
    try:
        with ThreadPoolExecutor(1) as pool:
            ready = pool.submit(_make_ready, study)  # behind the seconds that Ray takes to start
            with cluster(workers, folder):
                ready.result()
                if search.stopping.kind != "none":
                    study.set_reference_cost(_reference_cost(study))
                run_trials(desk, workers, folder)
        if desk.finished and desk.stopping is None:
            study.conclude()
        close_seconds = _CLOSE_SECONDS
    finally:
        untold = tracker.close(close_seconds)
        study.set_run_ids(tracker.run_ids(), tracker.study_run_id)
    stored = study.stored
    stopped = desk.stopping is not None and desk.halted is None
    best, control = stored.best(), stored.best("control")
    return SearchResult(folder, best, control, counts(stored.trials()), stopped, desk.halted, untold)


def _make_ready(study: Study) -> None:
    """Imports what the first trial needs here, and prepares the data if all trials have the same.

    Raises:
        DataError: The data cannot be used.
    """
    import_module("neurosearch.build.control")
    config = study.config
    if not any(slot.name.split(".")[0] == "data" for slot in slots(config.template)):
        _data(study, config.trial(partial(_at_end, 0)))


def _data(study: Study, config: TrialConfig) -> "PreparedData":
    """Returns a trial's data; the study keeps from the first time on which it is.

    Where that is searched, a section is met for the first time while the search goes on, and what the others are made
    of may have changed meanwhile: then trials on it would not compare with theirs.
    """
    from neurosearch.build.trial import prepare_data

    folder = study.stored.folder
    if not of_section(folder.used, config.data):
        bring_travelled(config, folder)
        for each in unchanged_sources(folder):
            study.keep_data(each)
        data = prepare_data(config, folder.data)  # as the source is now, not as this process opened it some time ago
        study.keep_data(UsedData.of(config.data, data.folder.name, data.manifest.data_hash))
    return opened_data(config, study.stored.folder)


def _at_end(end: int, _name: str, node: Node) -> Any:
    return node.labels[end] if isinstance(node, OneOfNode) else node.ends[end]


def write_config(folder: StudyFolder, config: StudyConfig) -> None:
    """Writes the study's config as it is searched now, for people; the storage is what a resumption reads."""
    text = to_yaml(config.to_mapping())
    write_text(folder.config, text)
    if folder.artifacts is not None:
        path = folder.near / folder.config.name
        write_text(path, text)
        artifacts_of(folder).keep(path)


def _described(trial: TrialInfo, study: Study) -> Mapping[str, str]:
    """Prepares a trial's data, once for all trials that share it, and returns the trial's tags."""
    data = _data(study, TrialConfig.model_validate(trial.config))
    return {"data_hash": data.manifest.data_hash}


def _confirmation(study: Study) -> Sequence[TrialInfo]:
    """Returns what is still to run beside what the search found: the best on fresh seeds, control and arms on the same.

    The control is that of the best trial; one of the best that equals it stands as the control, and is not trained
    twice. Without finalists it runs on the seeds of the search. The arms are those of the best finalist whose neurons
    changed; one that equals what runs anyway is left out.
    """
    stored, search = study.stored, study.config.study.search
    best = leaders(stored.trials(), study.config.study, max(search.finalists, 1))
    if not best:
        return ()
    seeds = stored.fresh_seeds if search.finalists else stored.search_seeds
    control = _control(study, best[0]) if search.control else None
    finalists = [(TrialConfig.model_validate(trial.config), trial.params) for trial in best[: search.finalists]]
    wanted = [
        study.ask_for(config, "control" if config == control else "finalist", seeds, params)
        for config, params in finalists
    ]
    known = [config for config, _ in finalists]
    if control is not None:
        if control not in known:
            wanted.append(study.ask_for(control, "control", seeds, {}))
            known.append(control)
        grown = grown_leader(best[: search.finalists])
        for arm, config in _arms(study, grown) if grown else ():
            if config not in known:
                wanted.append(study.ask_for(config, arm, seeds, {}))
                known.append(config)
    return [trial for trial in wanted if trial is not None]


def _arms(study: Study, grown: TrialSummary) -> Iterator[tuple[Arm, TrialConfig]]:
    """Yields the arms of a network that changed; warns of one that was asked for and cannot stand beside it."""
    from neurosearch.build.arms import arm_config

    search, config = study.config.study.search, TrialConfig.model_validate(grown.config)
    manifest = _data(study, config).manifest
    for arm in search.followed_by_arms:
        try:
            yield arm, arm_config(arm, config, grown.metrics, manifest)
        except ValueError as error:
            if "arms" in search.model_fields_set:
                warnings.warn(f"search.arms: {arm} is left out beside trial {grown.number}: {error}", stacklevel=2)


def _control(study: Study, winner: TrialSummary) -> TrialConfig:
    from neurosearch.build.control import control_config

    config = TrialConfig.model_validate(winner.config)
    manifest = _data(study, config).manifest
    return control_config(config, study.config.study.size_limit, manifest.input_shape, manifest.num_outputs)


def _reference_cost(study: Study) -> float:
    """Returns what early stopping measures compute by: the cost of a typical whole training, in multiply-adds.

    It is the geometric mean of those of the static networks at the low and at the high ends of the space.
    """
    from neurosearch.build.cost import training_cost

    costs = []
    for end in (0, -1):
        trial = study.config.trial(partial(_at_end, end))
        costs.append(training_cost(trial, _data(study, trial).manifest))
    return math.sqrt(costs[0] * costs[1])
