from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from neurosearch import names
from neurosearch.build.candidate import finish_candidate
from neurosearch.build.final import load_final
from neurosearch.build.trial import build_model, build_trainer
from neurosearch.config.trial import TrialConfig
from neurosearch.data.prepared import PreparedData
from neurosearch.search.candidates import candidate_file, keep_candidate
from neurosearch.training.checkpoint import checkpoint_name, decode, encode

GROWTH = [
    {"kind": "static"},
    {"kind": "periodic", "period_epochs": 3, "grown_epochs": 1},
    {"kind": "nimble", "target_share": 0.5, "size_coefficient": 5.0, "learning_rate": 0.2},
]


@pytest.mark.parametrize("growth", GROWTH, ids=lambda growth: growth["kind"])
def test_an_epoch_that_was_kept_becomes_a_network_as_if_it_had_been_the_last(
    trial: Callable[..., TrialConfig], digits: PreparedData, tmp_path: Path, growth: dict[str, object]
) -> None:
    config = trial(growth=growth, training={"epochs": 6, "learning_rate": 0.01}, model={"kind": "mlp", "widths": [16]})
    trainer = build_trainer(config, digits, tmp_path, torch.device("cpu"))
    kept = None
    for record in trainer.epochs():
        if record.at_rest and kept is None and record.epoch >= 2:
            keep_candidate(tmp_path, checkpoint_name(record.epoch), record.epoch)
            kept = record
    assert kept is not None
    folder = tmp_path / "candidate"
    metrics = finish_candidate(config, digits, candidate_file(tmp_path, kept.epoch), kept.epoch, folder)
    network = load_final(config, digits.manifest, folder)
    assert sum(parameter.numel() for parameter in network.parameters()) == metrics[names.PARAMETERS]
    if growth["kind"] != "nimble":  # its trained size is rounded at the end
        assert metrics == kept.metrics | {names.BASE_STRUCTURE: 1.0}


def test_an_epoch_that_was_not_kept_is_refused_with_the_remedy(
    trial: Callable[..., TrialConfig], digits: PreparedData, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="Only epochs on the front are kept; status lists them"):
        finish_candidate(trial(), digits, candidate_file(tmp_path, 3), 3, tmp_path / "candidate")


def test_the_file_that_a_training_started_from_is_not_needed_at_its_end(
    trial: Callable[..., TrialConfig], digits: PreparedData, tmp_path: Path
) -> None:
    shape, weights = digits.manifest.input_shape, tmp_path / "a.pt"
    torch.save(build_model(trial(), shape, digits.manifest.num_classes).state_dict(), weights)
    config = trial(model={"kind": "mlp", "widths": [6, 4], "weights": str(weights)})
    for record in build_trainer(config, digits, tmp_path, torch.device("cpu")).epochs():
        keep_candidate(tmp_path, checkpoint_name(record.epoch), record.epoch)
    weights.unlink()
    metrics = finish_candidate(config, digits, candidate_file(tmp_path, 1), 1, tmp_path / "candidate")
    network = load_final(config, digits.manifest, tmp_path / "candidate")
    assert sum(parameter.numel() for parameter in network.parameters()) == metrics[names.PARAMETERS]


def test_a_network_of_compiled_steps_needs_no_compiler_at_its_end(
    trial: Callable[..., TrialConfig], digits: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for record in build_trainer(trial(), digits, tmp_path, torch.device("cpu")).epochs():
        keep_candidate(tmp_path, checkpoint_name(record.epoch), record.epoch)
    state = candidate_file(tmp_path, 1)
    payload = decode(state.read_bytes())
    payload["settings"]["compiled"] = True  # as another machine has left it
    state.write_bytes(encode(payload))
    monkeypatch.setenv("CXX", "no-such-compiler")
    config = trial(training={"epochs": 2, "learning_rate": 0.01, "compile": True})
    assert finish_candidate(config, digits, state, 1, tmp_path / "candidate")
