from collections.abc import Callable
from typing import Any

import pytest

from neurosearch.build.trial import prepare_data
from neurosearch.config.trial import TrialConfig
from neurosearch.data.prepared import PreparedData

SECTIONS: dict[str, Any] = {
    "data": {"kind": "digits"},
    "model": {"kind": "mlp", "widths": [6, 4]},
    "training": {"epochs": 2, "learning_rate": 0.01},
    "growth": {"kind": "static"},
}


@pytest.fixture(scope="session")
def trial() -> Callable[..., TrialConfig]:
    """Makes a trial of two epochs; sections can be replaced."""

    def make(**sections: Any) -> TrialConfig:
        return TrialConfig.model_validate({**SECTIONS, **sections})

    return make


@pytest.fixture(scope="session")
def digits(trial: Callable[..., TrialConfig], tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    return prepare_data(trial(), tmp_path_factory.mktemp("data"))
