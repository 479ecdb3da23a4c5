import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from neurosearch.build.final import (
    FILE_NAME,
    final_confusion,
    final_test_scores,
    load_final,
    load_structure,
    save_final,
    score_test_part,
)
from neurosearch.build.trial import build_model, build_trainer
from neurosearch.config.trial import TrialConfig
from neurosearch.data.prepared import PreparedData
from neurosearch.neurons import apply_plan, find_units, prune, structure
from neurosearch.training.checkpoint import decode, encode

Make = Callable[..., TrialConfig]


def saved(config: TrialConfig, folder: Path) -> torch.nn.Module:
    """Saves the config's network after a neuron of its first layer has gone."""
    model = build_model(config, (1, 8, 8), 10)
    units = find_units(model, (torch.zeros(2, 1, 8, 8),))
    group = units.groups[0].name
    units = apply_plan(prune(units, {group: [1]}), model)
    save_final(folder, model, units)
    return model.eval()


def test_a_resized_network_comes_back_as_it_was(trial: Make, digits: PreparedData, tmp_path: Path) -> None:
    model = saved(trial(), tmp_path)
    again = load_final(trial(), digits.manifest, tmp_path)
    assert not again.training
    x = torch.randn(5, 1, 8, 8)
    assert torch.equal(again(x), model(x))
    assert load_structure(tmp_path) == structure(again, find_units(again, (x,)))
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


@pytest.mark.gpu
def test_a_network_from_a_gpu_is_scored_anywhere(trial: Make, digits: PreparedData, tmp_path: Path) -> None:
    config = trial(growth={"kind": "nimble"})
    trainer = build_trainer(config, digits, tmp_path / "states", torch.device("cuda"))
    for _ in trainer.epochs():
        pass
    final = trainer.finish()
    save_final(tmp_path, final.model, final.units)
    again = load_final(config, digits.manifest, tmp_path)
    for mine, other in zip(final.model.parameters(), again.parameters(), strict=True):
        assert (mine.device.type, other.device.type) == ("cuda", "cpu")
        assert torch.equal(mine.cpu(), other)
    assert 0 < final_test_scores(config, digits, tmp_path)["test/accuracy"] <= 1


def test_a_trial_without_a_network_is_named_with_the_remedy(trial: Make, digits: PreparedData, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError,
        match=r"final\.pt cannot be read: No such file.*search.kept_trials trials stay. Export another trial",
    ):
        load_final(trial(), digits.manifest, tmp_path)


def test_a_damaged_network_is_refused(trial: Make, digits: PreparedData, tmp_path: Path) -> None:
    saved(trial(), tmp_path)
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match="digest does not fit"):
        load_final(trial(), digits.manifest, tmp_path)


def test_a_network_of_another_format_is_refused(trial: Make, digits: PreparedData, tmp_path: Path) -> None:
    saved(trial(), tmp_path)
    path = tmp_path / FILE_NAME
    path.write_bytes(encode({**decode(path.read_bytes()), "format_version": 99}))
    with pytest.raises(ValueError, match="format version 99, but this neurosearch reads 1"):
        load_final(trial(), digits.manifest, tmp_path)


def test_the_test_part_is_scored_once_for_a_network(trial: Make, digits: PreparedData, tmp_path: Path) -> None:
    saved(trial(), tmp_path)
    scores = final_test_scores(trial(), digits, tmp_path)
    assert scores == score_test_part(load_final(trial(), digits.manifest, tmp_path), digits)
    assert all(name.startswith("test/") for name in scores)
    (tmp_path / FILE_NAME).unlink()
    assert final_test_scores(trial(), digits, tmp_path) == scores
    assert json.loads((tmp_path / "test.json").read_text()) == scores


def test_confusion_matrices_are_kept_beside_the_network(trial: Make, digits: PreparedData, tmp_path: Path) -> None:
    saved(trial(), tmp_path)
    files = final_confusion(trial(), digits, tmp_path)
    assert [path.name for path in files] == ["confusion.json", "confusion-validation.csv"]  # the test was not read
    scores = final_test_scores(trial(), digits, tmp_path)
    (tmp_path / FILE_NAME).unlink()
    files = final_confusion(trial(), digits, tmp_path)
    assert [path.name for path in files] == ["confusion.json", "confusion-validation.csv", "confusion-test.csv"]

    stored = json.loads(files[0].read_text())
    assert stored["class_names"] == list(digits.manifest.class_names)
    assert [sum(row) for row in stored["validation"]] == list(digits.manifest.validation_counts)
    recalls = [row[index] / sum(row) for index, row in enumerate(stored["test"])]
    assert scores["test/balanced_accuracy"] == pytest.approx(sum(recalls) / len(recalls))
    header, *rows = csv.reader(files[2].read_text().splitlines())
    assert header[:2] == ["true class", "taken for 0"]
    assert [[int(cell) for cell in row[1:]] for row in rows] == stored["test"]
