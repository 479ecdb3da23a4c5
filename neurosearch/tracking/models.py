"""Logs an exported network as an MLflow model, with signature, and registers it under the study's name.

The ONNX file becomes the model: MLflow's pt2 flavor would export the network a second time and needs torch to predict,
while the ONNX one takes the very file that was verified, predicts with onnxruntime alone and holds no pickle. The other
exported files travel with it as they are, and so does its card, which is also the description that MLflow's pages show.
"""

import hashlib
import json
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurosearch.longwork import long_work
from neurosearch.names import EXPORTED_PREFIX, STUDY_TAG, TRIAL_TAG
from neurosearch.tracking import entries
from neurosearch.tracking.failures import in_words
from neurosearch.tracking.store import Store, StoreError, connect, patient
from neurosearch.tracking.titles import shortened
from neurosearch.tracking.waiting import now_ms

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

#: `models:/<study>@best` is the network of the study's best trial that was logged last.
ALIAS = "best"
CARD_FILE = "MODEL_CARD.md"

_DIGEST_TAG = "neurosearch.onnx_sha256"
_UPLOAD_SECONDS = 120
# What predicting needs, so that MLflow does not load the model in another process to find out (6 to 16 s).
_REQUIREMENTS = ("mlflow", "numpy", "onnx", "onnxruntime")
_METRICS_PER_CALL = 800  # MLflow takes 1,000
_LARGEST_ONE_FILE = 1_500_000_000  # protobuf ends at 2 GiB


@dataclass(frozen=True)
class NetworkFiles:
    """An exported network.

    Attributes:
        onnx: The verified ONNX file: raw examples in, logits or quantities out.
        others: Files that travel with it: pt2, safetensors, structure.
        input_example: A few raw examples, as the network was trained on.
        output_example: Its outputs for them.
        output_name: Name of the ONNX file's output.
        card: What there is to know of it, in Markdown.
        metrics: The network's own metrics by name, without prefix.
        facts: Plain values that the model's own file keeps, such as its widths and where it comes from.
    """

    onnx: Path
    others: Sequence[Path]
    input_example: "npt.NDArray[Any]"
    output_example: "npt.NDArray[np.float32]"
    output_name: str
    card: str
    metrics: Mapping[str, float]
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class LoggedNetwork:
    """Where MLflow has the network.

    Attributes:
        name: Name of the registered model: the study's.
        version: Its version.
        uri: What loads it, as in `mlflow.pyfunc.load_model(uri)`.
        is_new: False when this very network was registered for this run before.
    """

    name: str
    version: int
    uri: str
    is_new: bool


def log_model(
    store: Store, study: str, run_id: str, number: int, files: NetworkFiles, tags: Mapping[str, str], is_best: bool
) -> LoggedNetwork:
    """Logs and registers the network of a trial, once; takes seconds, so only for what will be used.

    Args:
        store: Where runs are kept.
        study: Name of the study, and of the registered model.
        run_id: The trial's run, which the model is linked to.
        number: The trial's number.
        files: The exported network.
        tags: Short texts about the network, such as its size.
        is_best: Whether it is the study's best, which `models:/<study>@best` is to give.

    Raises:
        StoreError: MLflow does not take it.
    """
    try:
        client = connect(store)
        with patient(_UPLOAD_SECONDS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow warns of its own type hints while its model modules are imported
            digest = hashlib.sha256(files.onnx.read_bytes()).hexdigest()
            version_number = _registered_version(client, study, run_id, digest)
            is_new = version_number is None
            if version_number is None:
                all_tags = {**tags, STUDY_TAG: study, TRIAL_TAG: str(number), _DIGEST_TAG: digest}
                with long_work("uploading the network to MLflow"):
                    model = _log(client, f"{study}-{number:05d}", run_id, files)
                version_number = _register(client, study, model, run_id, all_tags, files.card)
            if is_best:
                client.set_registered_model_alias(study, ALIAS, str(version_number))
    except Exception as error:  # whatever MLflow, a driver or a disk raises
        message = (
            f"MLflow at {store.shown} does not take the network of trial {number}: {in_words(error)} "
            "The exported files are complete; export again to log them."
        )
        raise StoreError(message) from error
    return LoggedNetwork(study, version_number, f"models:/{study}/{version_number}", is_new)


def _registered_version(client: "MlflowClient", study: str, run_id: str, digest: str) -> int | None:
    """Returns the version that already is this network of this run."""
    for each in client.search_model_versions(f"name = '{study}'"):
        if each.run_id == run_id and each.tags.get(_DIGEST_TAG) == digest:
            return int(each.version)
    return None


def _log(client: "MlflowClient", name: str, run_id: str, files: NetworkFiles) -> "LoggedModel":
    """Makes a model of the run.

    By the client, not by `mlflow.onnx.log_model`, which goes by the process's active experiment and address.
    """
    import mlflow.onnx
    import onnx
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus
    from mlflow.models import Model, infer_signature

    run = client.get_run(run_id)
    logged = client.create_logged_model(
        run.info.experiment_id, name, source_run_id=run_id, params=dict(run.data.params), model_type="onnx"
    )
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    with tempfile.TemporaryDirectory() as folder:
        path, card = Path(folder) / "model", Path(folder) / CARD_FILE
        card.write_text(files.card, encoding="utf-8")
        mlflow.onnx.save_model(
            onnx.load(files.onnx),
            path,
            mlflow_model=Model(logged.artifact_location, run_id, model_uuid=logged.model_id, model_id=logged.model_id),
            signature=infer_signature(files.input_example, {files.output_name: files.output_example}),
            input_example=files.input_example,
            pip_requirements=[f"{package}=={version(package)}" for package in _REQUIREMENTS],
            onnx_execution_providers=["CPUExecutionProvider"],
            save_as_external_data=files.onnx.stat().st_size > _LARGEST_ONE_FILE,
            extra_files=[str(path) for path in (*files.others, card)],
            metadata=dict(files.facts),
        )
        client.log_model_artifacts(logged.model_id, str(path))
    _log_metrics(client, run_id, logged.model_id, files.metrics)
    return client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)


def _log_metrics(client: "MlflowClient", run_id: str, model_id: str, metrics: Mapping[str, float]) -> None:
    """Gives a model its metrics; MLflow keeps them on its run, too, so they have names of their own."""
    from mlflow.entities import Metric

    now = now_ms()
    named = {entries.key(f"{EXPORTED_PREFIX}{name}"): value for name, value in metrics.items()}
    made = [Metric(name, value, now, 0, model_id=model_id, run_id=run_id) for name, value in named.items()]
    for batch in entries.in_batches(made, _METRICS_PER_CALL):
        client.log_batch(run_id, metrics=batch)


def _register(
    client: "MlflowClient", study: str, model: "LoggedModel", run_id: str, tags: Mapping[str, str], card: str
) -> int:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(study, description=f"Exported networks of the study {study}.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    # The files' place, not models:/<id>: an embedded registry looks that up at the process's address, not at its own.
    made = client.create_model_version(
        study, model.artifact_location, run_id, dict(tags), description=shortened(card), model_id=model.model_id
    )
    # MLflow's pages lead from the model to its version by this tag of theirs.
    link = json.dumps([{"name": study, "version": made.version}])
    client.set_logged_model_tags(model.model_id, {"mlflow.modelVersions": link})
    return int(made.version)
