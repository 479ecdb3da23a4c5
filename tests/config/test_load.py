import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from neurosearch.config.base import ConfigError, Problem
from neurosearch.config.load import StudyConfig, load_study, study_from_mapping
from neurosearch.config.search_nodes import Node, OneOfNode
from neurosearch.config.yaml_source import to_yaml

Load = Callable[..., StudyConfig]
Problems = Callable[..., tuple[Problem, ...]]

SEARCHED = """\
name: searched
seed: 3
data: {kind: digits}
model: {kind: mlp, widths: [8]}
training:
  epochs: 10
  learning_rate: {search: log_uniform, low: 1e-3, high: 1e-1}
growth:
  search: one_of
  options:
    - {kind: static}
    - kind: periodic
      period_epochs: {search: int, low: 4, high: 8}
      grown_epochs: {search: int, low: 1, high: 3}
"""


def first(_name: str, node: Node) -> Any:
    return node.labels[0] if isinstance(node, OneOfNode) else node.ends[0]


def last(_name: str, node: Node) -> Any:
    return node.labels[-1] if isinstance(node, OneOfNode) else node.ends[-1]


def numbers(low: float, high: float) -> st.SearchStrategy[Any]:
    """A number, or a node over numbers."""
    values = st.floats(low, high)
    ranges = st.tuples(values, values).filter(lambda ends: ends[0] != ends[1]).map(sorted)
    return st.one_of(
        values,
        ranges.map(lambda ends: {"search": "uniform", "low": ends[0], "high": ends[1]}),
        ranges.map(lambda ends: {"search": "log_uniform", "low": ends[0], "high": ends[1], "steps": 4}),
        st.lists(values, min_size=1, max_size=3).map(lambda options: {"search": "choice", "options": options}),
    )


def counts(low: int, high: int) -> st.SearchStrategy[Any]:
    values = st.integers(low, high)
    ranges = st.tuples(values, values).filter(lambda ends: ends[0] != ends[1]).map(sorted)
    return values | ranges.map(lambda ends: {"search": "int", "low": ends[0], "high": ends[1]})


widths = st.lists(counts(1, 64), min_size=1, max_size=3)
growth = st.one_of(
    st.just({"kind": "static"}),
    st.fixed_dictionaries(
        {"kind": st.just("periodic"), "period_epochs": counts(4, 8), "grown_epochs": counts(1, 3)},
        optional={"grow_share": numbers(0.1, 2.0), "start": st.sampled_from(["zero_outgoing", "shared_copy"])},
    ),
    st.fixed_dictionaries({"kind": st.just("nimble")}, optional={"target_share": numbers(0.1, 1.0)}),
)
configs = st.fixed_dictionaries(
    {
        "name": st.from_regex(r"[a-z][a-z0-9-]{0,10}[a-z0-9]", fullmatch=True),
        "data": st.fixed_dictionaries(
            {"kind": st.just("digits")},
            optional={"validation_share": numbers(0.1, 0.5), "imbalance": st.just({"ratio": 20})},
        ),
        "model": st.fixed_dictionaries({"kind": st.sampled_from(["mlp", "cnn"]), "widths": widths}),
        "training": st.fixed_dictionaries(
            {"epochs": counts(10, 40)}, optional={"learning_rate": numbers(1e-4, 1.0), "bf16": st.booleans()}
        ),
        "growth": growth
        | st.lists(growth, min_size=1, max_size=3).map(lambda options: {"search": "one_of", "options": options}),
    },
    optional={
        "seed": st.integers(0, 2**32 - 1),
        "size_limit": st.just({"parameters": 6000}),
        "search": st.fixed_dictionaries({"trials": st.integers(1, 50)}),
    },
)


@settings(max_examples=60)
@given(configs)
def test_a_config_written_as_yaml_and_read_again_is_the_same(values: dict[str, Any]) -> None:
    study = study_from_mapping(values, "values")
    from neurosearch.config.yaml_source import parse_yaml

    again = study_from_mapping(parse_yaml(to_yaml(study.to_mapping()), "text").values, "text")
    assert again.to_mapping() == values
    assert (again.study, again.template.sections) == (study.study, study.template.sections)
    assert again.fingerprint() == study.fingerprint()
    for choose in (first, last):
        assert again.trial(choose) == study.trial(choose)


@settings(max_examples=40)
@given(configs)
def test_a_trial_survives_json(values: dict[str, Any]) -> None:
    trial = study_from_mapping(values, "values").trial(last)
    assert type(trial).model_validate(json.loads(json.dumps(trial.model_dump(mode="json")))) == trial


SHIPPED = Path(__file__).parents[2] / "tune_configs"


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_config_is_right(path: Path) -> None:
    assert load_study(path).study.name == path.stem.replace("_", "-")  # names of studies hold no underscore


def test_the_quickstart_lets_every_kind_of_growth_compete() -> None:
    study = load_study(SHIPPED / "quickstart.yaml")
    assert study.study.search.trials >= 20
    assert {"static", "periodic", "nimble"} == {
        label for name, node in _nodes(study) if name == "growth" for label in node.labels
    }


def _nodes(study: StudyConfig) -> list[tuple[str, Any]]:
    from neurosearch.config.search_nodes import slots

    return [(slot.name, slot.node) for slot in slots(study.template)]


def test_every_trial_has_the_studys_seed(load: Load) -> None:
    assert load(SEARCHED).trial(first).seed == 3


def test_a_trial_outside_the_rules_is_refused(load: Load) -> None:
    def choose(name: str, node: Node) -> Any:
        return {"growth": "periodic", "growth.periodic.grown_epochs": 9}.get(name) or first(name, node)

    with pytest.raises(ValidationError, match="grown_epochs is 9"):
        load(SEARCHED).trial(choose)


@pytest.mark.parametrize(
    ("override", "is_same"),
    [
        ("search.trials=99", True),
        ("search.concurrency=3", True),
        ("storage.folder=elsewhere", True),
        ("tracking.enabled=false", True),
        ("seed=4", False),
        ("training.epochs=11", False),
        ("size_limit={parameters: 5}", False),
        ("search.objectives=[{metric: accuracy, direction: maximize}]", False),
        ("training.learning_rate.high=0.2", False),
    ],
)
def test_the_fingerprint_tells_searches_that_cannot_be_compared(load: Load, override: str, is_same: bool) -> None:
    assert (load(SEARCHED, override).fingerprint() == load(SEARCHED).fingerprint()) is is_same


def test_a_study_whose_epochs_were_not_kept_does_not_go_on_with_epochs_as_candidates(load: Load) -> None:
    objectives = "[{metric: accuracy, direction: maximize}, {metric: parameters, direction: minimize}]"
    final, at_rest = (
        load(SEARCHED, f"search={{objectives: {objectives}, candidates: {candidates}}}")
        for candidates in ("final", "at_rest")
    )
    assert final.judged_by()["search"]["candidates"] == "final"
    assert final.fingerprint() != at_rest.fingerprint()


def test_a_loaded_study_cannot_be_changed(load: Load) -> None:
    trial = load().trial(first)
    for section, name in ((trial, "seed"), (trial.training, "epochs"), (load().study.search, "trials")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(section, name, 5)
    assert isinstance(getattr(trial.model, "widths"), tuple)  # noqa: B009  # a field of one kind of model


def npz(path: str) -> tuple[str, ...]:
    return ("data.kind=npz", f"data.path={path}")


def test_data_paths_are_relative_to_the_config_file(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/homes/someone")
    monkeypatch.setenv("NEUROSEARCH_TEST_DATA", "/data")
    for written, meant in (
        ("sub/x.npz", f"{tmp_path}/sub/x.npz"),
        ("/abs/x.npz", "/abs/x.npz"),
        ("~/x.npz", "/homes/someone/x.npz"),
        ("$NEUROSEARCH_TEST_DATA/x.npz", "/data/x.npz"),
        ("{search: choice, options: [a.npz, b.npz]}", None),
    ):
        study = load(*_minimal_with(*npz(written)))
        paths = study.to_mapping()["data"]["path"]
        if meant is None:
            assert paths == {"search": "choice", "options": [f"{tmp_path}/a.npz", f"{tmp_path}/b.npz"]}
        else:
            assert paths == meant


def test_folders_of_studies_are_relative_to_the_working_directory(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/homes/someone")
    monkeypatch.setenv("SCRATCH", "/scratch")
    for written, meant in (
        ("my runs", "my runs"),
        ("~/runs", "/homes/someone/runs"),
        ("$SCRATCH/runs", "/scratch/runs"),
    ):
        study = load(*_minimal_with(f"storage.folder={written}", f"search.warm_start={{study: a, folder: {written}}}"))
        earlier = study.study.search.warm_start
        assert earlier is not None
        assert (study.study.storage.folder, earlier.folder) == (meant, meant)


def test_list_files_are_relative_to_the_config_file_too(load: Load, tmp_path: Path) -> None:
    written = ("data.kind=image_list", "data.path=.", "data.train_list=a.txt", "data.test_list=lists/b.txt")
    data = load(*_minimal_with(*written)).to_mapping()["data"]
    assert data["path"] == str(tmp_path)
    assert (data["train_list"], data["test_list"]) == (f"{tmp_path}/a.txt", f"{tmp_path}/lists/b.txt")


def _minimal_with(*overrides: str) -> tuple[str, ...]:
    sections = "data: {kind: digits}\nmodel: {kind: mlp, widths: [8]}\ntraining: {epochs: 3}\ngrowth: {kind: static}\n"
    return ("name: tiny\n" + sections, *overrides)


def test_a_path_with_an_unset_variable_is_refused(problems: Problems, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOWHERE_SET", raising=False)
    found = problems(*_minimal_with(*npz("$NOWHERE_SET/x.npz")))
    assert [(each.field, each.text) for each in found] == [
        ("data.path", "the environment variable NOWHERE_SET is not set. Set it.")
    ]
    (folder,) = problems(*_minimal_with("storage.folder=${NOWHERE_SET}/runs"))
    assert (folder.field, folder.text) == ("storage.folder", "the environment variable NOWHERE_SET is not set. Set it.")


def test_a_missing_file_is_told_with_its_remedy() -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml: cannot be read: No such file or directory\. Check the path"):
        load_study("absent.yaml")
