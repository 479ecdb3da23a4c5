from collections.abc import Callable
from pathlib import Path

import pytest

from neurosearch.config.base import ConfigError, Problem
from neurosearch.config.load import StudyConfig, load_study

MINIMAL = """\
name: tiny
data: {kind: digits}
model: {kind: mlp, widths: [8]}
training: {epochs: 10}
growth: {kind: static}
"""


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., StudyConfig]:
    """Loads a config from its text, the minimal one where only overrides matter."""

    def load_text(text: str = MINIMAL, *overrides: str) -> StudyConfig:
        path = tmp_path / "study.yaml"
        path.write_text(text, encoding="utf-8")
        return load_study(path, overrides)

    return load_text


@pytest.fixture
def problems(load: Callable[..., StudyConfig]) -> Callable[..., tuple[Problem, ...]]:
    """Returns what is wrong with a config; its places without the temporary folder."""

    def problems_of(text: str = MINIMAL, *overrides: str) -> tuple[Problem, ...]:
        with pytest.raises(ConfigError) as caught:
            load(text, *overrides)
        return tuple(Problem(each.where.rpartition("/")[2], each.field, each.text) for each in caught.value.problems)

    return problems_of
