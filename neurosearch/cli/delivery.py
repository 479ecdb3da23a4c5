"""From a finished trial to what a user takes away: exported files, test scores, a registered model."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurosearch import names
from neurosearch.build.candidate import finish_candidate
from neurosearch.build.final import final_confusion, final_test_scores
from neurosearch.build.kept_scores import kept_test_scores
from neurosearch.cli.mlflow_sync import study_store
from neurosearch.cli.model_card import Described, card_text
from neurosearch.cli.report import FAILED, CommandError
from neurosearch.cli.studies import on_study
from neurosearch.config.trial import TrialConfig
from neurosearch.export.deliver import deliver
from neurosearch.export.errors import ExportError
from neurosearch.export.rebuild import CARD_NAME
from neurosearch.export.write import Exported
from neurosearch.search.artifacts import artifacts_of, bring_network, keep_found_out
from neurosearch.search.candidates import candidate_file
from neurosearch.search.data_cache import opened_data
from neurosearch.search.folders import StudyFolder
from neurosearch.search.outcome import mean_metrics
from neurosearch.search.seams import TrialSummary
from neurosearch.search.summaries import best_seed
from neurosearch.search.words import trial_facts
from neurosearch.tracking.files import log_files
from neurosearch.tracking.models import LoggedNetwork, NetworkFiles, log_model
from neurosearch.tracking.provenance import provenance
from neurosearch.tracking.store import StoreError

if TYPE_CHECKING:
    from neurosearch.search.stored import StoredStudy

_OURS = "network."  # what the names of an export's files begin with


@dataclass(frozen=True)
class Delivery:
    """An exported trial.

    Attributes:
        trial: The trial.
        exported: Its files, verified.
        model: Where MLflow has the network; None if it has not.
        remarks: What else the user should know.
    """

    trial: TrialSummary
    exported: Exported
    model: LoggedNetwork | None
    remarks: tuple[str, ...]

    def facts(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        exported = self.exported
        return {
            "trial": self.trial.number,
            "folder": str(exported.folder),
            "files": {name: str(path) for name, path in exported.files.items()},
            "differences": {name: each.largest for name, each in exported.differences.items()},
            "model": None if self.model is None else {"uri": self.model.uri, "version": self.model.version},
            "remarks": list(self.remarks),
        }

    def lines(self) -> Iterator[str]:
        """Tells where the files are, for people."""
        differences = self.exported.differences.values()
        files = ", ".join([*(path.name for path in self.exported.files.values()), CARD_NAME])
        yield f"exported trial {self.trial.number} to {self.exported.folder}: {files}"
        yield (
            f"  each loaded back and run on {max(each.examples for each in differences)} validation examples: same "
            f"predictions, largest difference {max(each.largest for each in differences):.1g}"
        )
        if self.model is not None:
            yield f"  registered in MLflow as {self.model.uri}"
        yield from self.remarks


def deliver_trial(study: "StoredStudy", trial: TrialSummary, out: Path, epoch: int | None = None) -> Delivery:
    """Exports a finished trial's network and registers it in MLflow.

    Args:
        study: The study.
        trial: One with a final network.
        out: Folder of the files.
        epoch: The epoch whose network is wanted, one that is on the front; None: the final network.

    Raises:
        CommandError: The trial has no network, or it cannot be exported, or files of others are where it would go.
        ValueError: The network was removed.
    """
    if out != study.folder.export:
        _check_free(out)
    if trial.state not in ("finished", "infeasible"):
        why = "has not ended yet." if trial.state == "running" else f"{trial.state}: {trial.reason}"
        raise CommandError(
            f"trial {trial.number} {why} Name another by --trial.", next_commands=(on_study("status", study),)
        )
    folder = study.folder
    config, training = _chosen_training(study, trial)
    if epoch is None:
        metrics = trial.per_seed[best_seed(trial, study.config.study)]
    else:
        state, training = candidate_file(training, epoch), training / f"epoch-{epoch:06d}"
        artifacts_of(folder).fetch(state)
        metrics = finish_candidate(config, opened_data(config, folder), state, epoch, training)
    try:
        exported = deliver(config, opened_data(config, folder), training, out, log_file(folder, out))
    except ExportError as error:
        raise CommandError(str(error), code=FAILED) from error
    network = Described(
        study=folder.name,
        trial=trial,
        seed=config.seed,
        epoch=epoch,
        card=exported.card,
        metrics={**metrics, **(kept_test_scores(training) or {})},
        provenance=provenance(Path.cwd()),
        largest_difference=max(each.largest for each in exported.differences.values()),
    )
    model, remarks = _registered(study, network, exported)
    return Delivery(trial, exported, model, remarks)


def _check_free(out: Path) -> None:
    """Refuses a place that an export would take from something else: what is there is replaced whole.

    Raises:
        CommandError: It is a file, the folder of this process, or one that holds more than an earlier export.
    """
    if Path.cwd().is_relative_to(out.resolve()):
        raise CommandError(f"{out} is the folder you are in, or above it. Name one below, such as {out / 'export'}.")
    if out.exists() and not out.is_dir():
        raise CommandError(f"{out} is a file. Name a folder by --out.")
    others = sorted(each.name for each in out.iterdir() if not each.name.startswith(_OURS)) if out.is_dir() else []
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise CommandError(
            f"{out} holds {others[0]}{more}, which would be gone: an export takes a folder for itself. Name one "
            f"that is not there yet, such as {out / 'export'}."
        )


def log_file(folder: StudyFolder, out: Path) -> Path:
    """Returns what takes the words of third parties: among the study's logs; beside the files if it is not ours."""
    there = folder.logs if folder.logs.is_dir() else folder.path
    ours = os.access(there, os.W_OK)
    return folder.logs / "export.log" if ours else out.with_name(f"{out.name}.log")


def test_scores(study: "StoredStudy", trial: TrialSummary) -> tuple[dict[str, float], ...]:
    """Returns a finished trial's scores on the test part for each of its seeds; it is read once for each network."""
    return tuple(_test_scores(study, *_training(study, trial, index)) for index in range(len(trial.per_seed)))


def confusion(study: "StoredStudy", trials: Iterable[TrialSummary]) -> tuple[dict[int, list[str]], tuple[str, ...]]:
    """Keeps the confusion matrices of the networks of trials that are delivered, here and in MLflow.

    The test part is not read for it: of what was scored on it before, the matrix is there.

    Returns:
        The files by the trial's number, none for quantities, and what else the user should know.
    """
    found: dict[int, list[str]] = {}
    remarks: list[str] = []
    for trial in trials:
        config, training = _chosen_training(study, trial)
        try:
            files = final_confusion(config, opened_data(config, study.folder), training)
            keep_found_out(study.folder, training)
        except ValueError as error:
            remarks.append(f"no confusion matrix of trial {trial.number}: {error}")
            continue
        if files:
            found[trial.number] = [str(path) for path in files]
            remarks += _logged(study, trial, files)
    return found, tuple(remarks)


def _logged(study: "StoredStudy", trial: TrialSummary, files: tuple[Path, ...]) -> Iterator[str]:
    if trial.run_id is None or not study.config.study.tracking.enabled:
        return
    try:
        log_files(study_store(study), trial.run_id, "confusion", files)
    except StoreError as error:
        yield f"{error} The matrices of trial {trial.number} lie in {files[0].parent}."


def _test_scores(study: "StoredStudy", config: TrialConfig, training: Path) -> dict[str, float]:
    scores = final_test_scores(config, opened_data(config, study.folder), training)
    keep_found_out(study.folder, training)
    return scores


def _chosen_training(study: "StoredStudy", trial: TrialSummary) -> tuple[TrialConfig, Path]:
    """Returns config and folder of the one of a trial's trainings that is exported: its best by the first objective."""
    return _training(study, trial, best_seed(trial, study.config.study))


def _training(study: "StoredStudy", trial: TrialSummary, index: int) -> tuple[TrialConfig, Path]:
    config = TrialConfig.model_validate({**trial.config, "seed": trial.seeds[index]})
    return config, bring_network(study.folder, study.folder.training(trial.number, index))


def _registered(
    study: "StoredStudy", network: Described, exported: Exported
) -> tuple[LoggedNetwork | None, tuple[str, ...]]:
    if not study.config.study.tracking.enabled:
        return None, ()
    run_id, number = network.trial.run_id, network.trial.number
    again = f"`{on_study('sync', study)}`, then `{on_study('export', study)}` registers the network"
    if run_id is None:
        return None, (f"MLflow does not know the trial yet: {again}.",)
    best = study.best()
    is_best = network.epoch is None and best is not None and best.number == number
    try:
        store, files = study_store(study), _network_files(network, exported)
        return log_model(store, study.folder.name, run_id, number, files, _model_tags(network), is_best), ()
    except StoreError as error:
        return None, (str(error),)


def _network_files(network: Described, exported: Exported) -> NetworkFiles:
    others = [path for name, path in exported.files.items() if name != "onnx"]
    return NetworkFiles(
        onnx=exported.files["onnx"],
        others=(*others, exported.folder / CARD_NAME),
        input_example=exported.input_example,
        output_example=exported.output_example,
        output_name=exported.card.output_name,
        card=card_text(network),
        metrics=network.metrics,
        facts=network.facts(),
    )


def _model_tags(network: Described) -> dict[str, str]:
    return {
        names.GROWTH_TAG: network.trial.kind,
        names.ROLE_TAG: network.trial.role,
        names.SEED_TAG: str(network.seed),
        names.DATA_HASH_TAG: network.card.data_hash,
        **{f"{names.TAG_PREFIX}{name}": f"{network.metrics[name]:.0f}" for name in names.SIZES},
        **network.provenance,
    }


def winner_facts(study: "StoredStudy", trial: TrialSummary) -> dict[str, Any]:
    """Returns a trial with its test scores, as plain values; means over its seeds, as its other scores."""
    per_seed = test_scores(study, trial)
    return {**trial_facts(trial), "test": mean_metrics(per_seed), "test_per_seed": list(per_seed)}
