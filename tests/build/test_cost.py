from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from neurosearch import names
from neurosearch.build.cost import second_stage_cost, training_cost
from neurosearch.build.trial import build_trainer
from neurosearch.config.trial import TrialConfig
from neurosearch.data.prepared import PreparedData

RETRAINED = {"kind": "retrained", "epochs": 3}


@pytest.mark.parametrize("model", [{"kind": "mlp", "widths": [6, 4]}, {"kind": "cnn", "widths": [4, 6]}])
@pytest.mark.parametrize(
    "training",
    [{}, {"decorrelation": 0.1}, {"classifier": RETRAINED}, {"decorrelation": 0.1, "classifier": RETRAINED}],
)
def test_what_is_told_beforehand_is_what_is_spent(
    trial: Callable[..., TrialConfig], digits: PreparedData, tmp_path: Path, model: Any, training: Any
) -> None:
    config = trial(model=model, training={"epochs": 2, "batch_size": 100, **training})
    trainer = build_trainer(config, digits, tmp_path, torch.device("cpu"))
    *_, last = trainer.epochs()
    after = trainer.finish().record.metrics[names.TRAINING_MULTIPLY_ADDS]
    assert training_cost(config, digits.manifest) == last.metrics[names.TRAINING_MULTIPLY_ADDS]
    assert second_stage_cost(config, digits.manifest) == after - last.metrics[names.TRAINING_MULTIPLY_ADDS]
