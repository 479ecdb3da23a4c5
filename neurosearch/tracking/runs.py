"""Writes studies and trials as MLflow runs, one call at a time.

Every method can be repeated, by this process after a failure or by a later one, without doubling a run, an epoch or a
param: a run is looked for before it is made when it may exist, and what it holds is read before it is added to.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurosearch.names import (
    GROWTH_TAG,
    OBJECTIVE_TAG,
    ROLE_TAG,
    SEED_TAG,
    STEPS,
    STUDY_KEY_TAG,
    STUDY_TAG,
    TAG_PREFIX,
    TRIAL_TAG,
)
from neurosearch.tracking import entries
from neurosearch.tracking.failures import RunDeletedError
from neurosearch.tracking.open_run import (
    OpenRun,
    local_folder,
    new_metrics_of_end,
    new_metrics_of_records,
    new_tags_of_end,
)
from neurosearch.tracking.provenance import provenance_tags
from neurosearch.tracking.store import Store, connect, experiment_id
from neurosearch.tracking.titles import NAME_TAG, NOTE_TAG, growth_kind, study_note, trial_name
from neurosearch.tracking.values import Record, RunStatus, Study, Trial, TrialEnd

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

CONFIG_FILE = "config.json"
_PARENT_TAG = "mlflow.parentRunId"
# MLflow takes 1,000 entries in a call; this leaves room for the params and tags that go with the metrics.
_METRICS_PER_CALL = 800


class RunWriter:
    """Writes one study's runs.

    Args:
        store: Where they are kept.
        experiment: Name of the MLflow experiment.
        work_folder: Where the user's work lies, for its git commit.
    """

    def __init__(self, store: Store, experiment: str, work_folder: Path) -> None:
        self._store = store
        self._experiment = experiment
        self._work_folder = work_folder
        self._client_if_connected: MlflowClient | None = None
        self._experiment_id = ""
        self._study: Study | None = None
        self._study_run: OpenRun | None = None
        self._maybe_created: set[int] = set()

    @property
    def study_run_id(self) -> str:
        """Id of the opened study's run."""
        assert self._study_run is not None, "open_study comes first"
        return self._study_run.run_id

    def open_study(self, study: Study, started_ms: int) -> OpenRun:
        """Finds the study's run or makes it.

        Raises:
            StoreError: The run or its experiment was deleted.
        """
        self._study = study
        self._experiment_id = self._experiment_id or experiment_id(self._client, self._store, self._experiment)
        study_key = self._store.study_key(study.name)
        run = self._get(study.run_id) or self._find({STUDY_KEY_TAG: study_key, ROLE_TAG: "study"})
        if run is None:
            tags = {
                STUDY_TAG: study.name,
                STUDY_KEY_TAG: study_key,
                ROLE_TAG: "study",
                SEED_TAG: str(study.seed),
                OBJECTIVE_TAG: study.objective,
                NOTE_TAG: study_note(study),
                **provenance_tags(self._work_folder),
            }
            self._study_run = self._create(study.name, tags, started_ms)
        else:
            self._study_run = self._read(run)
        return self._study_run

    def open_trial(
        self, trial: Trial, started_ms: int, end: TrialEnd | None = None, known_run_id: str | None = None
    ) -> OpenRun:
        """Finds a trial's run or makes it, below the study's.

        Args:
            trial: The trial; its run id counts before the known one.
            started_ms: Start of a run that is made.
            end: How it ended, if it has: a run that is made carries the end's tags from the beginning.
            known_run_id: Id of the run if this process has opened it before.

        Raises:
            RunDeletedError: The run was deleted.
        """
        run_id = trial.run_id or known_run_id
        found = self._get(run_id)
        if found is None and (run_id is not None or self._may_exist(trial.number)):
            found = self._find({_PARENT_TAG: self.study_run_id, TRIAL_TAG: str(trial.number)})
        if found is not None:
            return self._read(found)
        self._maybe_created.add(trial.number)  # stays if the answer is lost: then the run may be there
        name = self._name(trial, end)
        opened = self._create(name, {**self._trial_tags(trial), **new_tags_of_end({}, end, name)}, started_ms)
        self._maybe_created.discard(trial.number)
        return opened

    def log(
        self,
        run: OpenRun,
        records: Sequence[tuple[Record, int]],
        trial: Trial,
        end: TrialEnd | None,
    ) -> int:
        """Adds what the run does not hold yet.

        Args:
            run: The run.
            records: Epochs, each with the time it came, in milliseconds since 1970.
            trial: The trial, for its searched values and its name.
            end: How the trial ended: metrics of the final network, tags, and the name that says so.

        Returns:
            How many metrics, params and tags were added.
        """
        from mlflow.entities import Param, RunTag

        texts = {entries.key(name): entries.param(value) for name, value in trial.params.items()}
        param_list = [Param(name, text) for name, text in texts.items() if name not in run.params]
        tags = new_tags_of_end(run.tags, end, self._name(trial, end))
        tag_list = [RunTag(name, text) for name, text in tags.items()]
        metrics = [*new_metrics_of_records(run, records), *new_metrics_of_end(run, end)]
        first, *others = [*entries.in_batches(metrics, _METRICS_PER_CALL)] or [[]]
        if first or param_list or tag_list:
            self._client.log_batch(run.run_id, metrics=first, params=param_list, tags=tag_list)
        for batch in others:
            self._client.log_batch(run.run_id, metrics=batch)
        run.tags.update(tags)
        run.params.update(texts)
        run.metrics.update(metric.key for metric in metrics)
        run.epochs.update(int(record["epoch"]) for record, _ in records)
        return len(metrics) + len(param_list) + len(tag_list)

    def log_config(self, run: OpenRun, config: Mapping[str, Any]) -> bool:
        """Adds the config's file unless it is there; returns whether it was added."""
        if run.has_config:
            return False
        if run.folder is None:
            self._client.log_dict(run.run_id, dict(config), CONFIG_FILE)
        else:  # MLflow would come to the same file after many questions to its database
            run.folder.mkdir(parents=True, exist_ok=True)
            (run.folder / CONFIG_FILE).write_text(json.dumps(config, indent=2), encoding="utf-8")
        run.has_config = True
        return True

    def set_status(self, run: OpenRun, status: RunStatus, time_ms: int) -> None:
        """Ends the run at that time, or opens it again."""
        if run.status == status:
            return
        if status == "RUNNING":
            self._client.update_run(run.run_id, status=status)
        else:
            self._client.set_terminated(run.run_id, status, time_ms)
        run.status = status

    @property
    def _client(self) -> "MlflowClient":
        if self._client_if_connected is None:
            self._client_if_connected = connect(self._store)
        return self._client_if_connected

    def _may_exist(self, number: int) -> bool:
        """Whether a run may be there that nobody told us of: only then is it worth a search."""
        assert self._study_run is not None, "open_study comes first"
        return not self._study_run.created or number in self._maybe_created

    def _trial_tags(self, trial: Trial) -> dict[str, str]:
        assert self._study is not None, "open_study comes first"
        return {
            _PARENT_TAG: self.study_run_id,
            STUDY_TAG: self._study.name,
            TRIAL_TAG: str(trial.number),
            ROLE_TAG: trial.role,
            GROWTH_TAG: growth_kind(trial.config),
            SEED_TAG: str(trial.config.get("seed", self._study.seed)),
            **entries.prefixed(trial.tags, TAG_PREFIX),
            **provenance_tags(self._work_folder),
        }

    def _name(self, trial: Trial, end: TrialEnd | None) -> str:
        assert self._study is not None, "open_study comes first"
        return entries.tag(trial_name(self._study, trial, end))

    def _create(self, name: str, tags: Mapping[str, str], started_ms: int) -> OpenRun:
        run = self._client.create_run(self._experiment_id, start_time=started_ms, tags=dict(tags), run_name=name)
        return OpenRun(
            run.info.run_id,
            "RUNNING",
            tags={**tags, NAME_TAG: name},
            folder=local_folder(run.info.artifact_uri),
            created=True,
        )

    def _get(self, run_id: str | None) -> "Run | None":
        """Returns the run, or None when there is none of this id: another store, or it was removed for good."""
        from mlflow.exceptions import MlflowException

        if run_id is None:
            return None
        try:
            run = self._client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        if run.info.lifecycle_stage != "active":
            message = (
                f"{self._store.shown}: the run {run.info.run_name!r} was deleted, so nothing is added to it. "
                f"Restore it: mlflow runs restore --run-id {run_id}"
            )
            raise RunDeletedError(message)
        return run

    def _find(self, tags: Mapping[str, str]) -> "Run | None":
        """Returns the oldest run that carries all these tags."""
        wanted = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
        found = self._client.search_runs([self._experiment_id], wanted, max_results=1, order_by=["start_time ASC"])
        return found[0] if found else None

    def _read(self, run: "Run") -> OpenRun:
        run_id = run.info.run_id
        metrics = set(run.data.metrics)
        history = self._client.get_metric_history(run_id, STEPS) if STEPS in metrics else []
        files = {file.path for file in self._client.list_artifacts(run_id)}
        return OpenRun(
            run_id,
            run.info.status,
            {metric.step for metric in history},
            metrics,
            set(run.data.params),
            dict(run.data.tags),
            CONFIG_FILE in files,
            local_folder(run.info.artifact_uri),
        )
