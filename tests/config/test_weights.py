import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neurosearch.config.base import ConfigError, Problem
from neurosearch.config.load import StudyConfig, load_study, study_from_mapping
from neurosearch.config.weights import pinned, split_pin

CONTENT = b"some weights"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
TEXT = """\
name: tiny
data: {kind: digits}
model: {kind: mlp, widths: [8], weights: a.safetensors}
training: {epochs: 10}
growth: {kind: static}
"""

Problems = Callable[..., tuple[Problem, ...]]


def first(_name: str, node: Any) -> Any:
    return node.ends[0]


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[[str], StudyConfig]:
    def load(text: str) -> StudyConfig:
        for name in ("a.safetensors", "b.pt"):
            (tmp_path / name).write_bytes(CONTENT)
        (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
        return load_study(tmp_path / "study.yaml")

    return load


def weights_of(study: StudyConfig) -> str | None:
    weights: str | None = getattr(study.trial(first).model, "weights")  # noqa: B009  # only our kinds' fields have it
    return weights


def test_a_path_comes_back_with_the_hash_of_its_content(tmp_path: Path) -> None:
    path = tmp_path / "a#b.pt"
    path.write_bytes(CONTENT)
    assert split_pin(pinned(str(path))) == (str(path), DIGEST)
    assert split_pin(str(path)) == (str(path), None)
    assert pinned(pinned(str(path))) == pinned(str(path))


@pytest.mark.parametrize("text", ["a.pt#sha256=", "a.pt#sha256=" + "A" * 64, "a.pt#sha256=" + "0" * 63])
def test_what_is_no_hash_belongs_to_the_path(text: str) -> None:
    assert split_pin(text) == (text, None)


def test_a_trial_depends_on_path_and_content(loaded: Callable[[str], StudyConfig], tmp_path: Path) -> None:
    study = loaded(TEXT)
    assert weights_of(study) == f"{tmp_path / 'a.safetensors'}#sha256={DIGEST}"
    before = study.fingerprint()
    (tmp_path / "a.safetensors").write_bytes(b"other weights")
    assert load_study(tmp_path / "study.yaml").fingerprint() != before


def test_a_stored_study_keeps_its_hash_when_the_file_is_gone(
    loaded: Callable[[str], StudyConfig], tmp_path: Path
) -> None:
    study = loaded(TEXT)
    (tmp_path / "a.safetensors").unlink()
    assert study_from_mapping(study.to_mapping(), "stored").trial(first) == study.trial(first)


def test_the_search_may_choose_between_files_and_none(loaded: Callable[[str], StudyConfig], tmp_path: Path) -> None:
    choice = "{search: choice, options: [b.pt, a.safetensors, null]}"
    study = loaded(TEXT.replace("a.safetensors}", choice + "}"))
    assert weights_of(study) == f"{tmp_path / 'b.pt'}#sha256={DIGEST}"


def test_what_begins_wider_than_it_was_trained_is_refused(loaded: Callable[[str], StudyConfig]) -> None:
    with pytest.raises(ConfigError) as refused:
        loaded(TEXT.replace("kind: static", "kind: wide_then_prune"))
    (problem,) = refused.value.problems
    assert problem.where.endswith("study.yaml:5")
    assert problem.field == "growth.kind and model.weights"
    assert "weights starts from what was trained before, which they would spoil" in problem.text


def test_an_absent_file_is_told_with_its_line(problems: Problems) -> None:
    (problem,) = problems(TEXT)
    assert (problem.where, problem.field) == ("study.yaml:3", "model.weights")
    assert "a.safetensors cannot be read: No such file or directory" in problem.text


def test_another_format_is_refused_in_words(problems: Problems) -> None:
    (problem,) = problems(TEXT.replace("a.safetensors", "a.h5"))
    assert problem.field == "model.weights"
    assert ".safetensors, .pt or .pth" in problem.text
