from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neurosearch.cli import planning

TypeIn = Callable[..., Any]
Config = Callable[..., Path]


def test_a_plan_tells_trials_epochs_time_and_memory_and_leaves_nothing(
    type_in: TypeIn, config: Config, tmp_path: Path
) -> None:
    done = type_in("plan", config(search="{trials: 7, finalists: 1, fresh_seeds: 3}").name)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert (
        lines[0] == "study tiny: 1 trials, 1 at a time; with finalists, control and arms 7 trainings, about 14 epochs"
    )
    assert lines[1].startswith("time: about ")
    assert lines[2] == "budget: the space has 1 configurations, so no more than these trials can be tried"
    assert any(line.startswith("memory: a trial holds up to ") for line in lines)
    assert lines[-2:] == ["next: neurosearch search tiny.yaml --smoke", "  or: neurosearch search tiny.yaml"]
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]


def test_a_process_is_measured_in_the_unit_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    in_kib = planning._process_bytes()
    assert 2**24 < in_kib < 2**40
    monkeypatch.setattr("sys.platform", "darwin")
    assert 1024 * planning._process_bytes() == pytest.approx(in_kib, rel=0.1)


@pytest.fixture
def searched(config: Config) -> Path:
    rate = "{search: log_uniform, low: 1e-3, high: 1e-1}"
    return config(
        training=f"{{epochs: 4, learning_rate: {rate}}}",
        growth="{kind: periodic, period_epochs: 2, grown_epochs: 1, grow_share: 1.0}",
    )


def test_facts_are_json_and_agree_with_each_other(
    type_in: TypeIn, searched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "_LIMIT_SECONDS", 600.0)  # all epochs are timed, however busy the machine is
    facts = type_in("plan", searched.name, "--json", "--set", "search.stopping.kind=halving").facts
    whole, stopped = facts["forecast"], facts["with_stopping"]
    assert whole["trials"] == 2
    assert 0 < stopped["share"] < 1
    assert stopped["seconds"] < whole["seconds"], "early stopping can only end trials sooner"
    training = facts["training"]
    assert training["shortest_seconds"] <= training["seconds"] <= training["longest_seconds"]
    assert training["sampled_whole_schedule"] is True
    assert facts["memory"]["bytes"] > 0


def test_memory_is_that_of_the_network_at_its_largest(type_in: TypeIn, searched: Path) -> None:
    def weights(share: float) -> int:
        words = ("--set", f"growth.grow_share={share}", "--set", "size_limit.parameters=700")
        facts: dict[str, Any] = type_in("plan", searched.name, "--json", *words).facts
        return int(facts["memory"]["weights"])

    assert weights(3.0) > weights(1.0)


def test_a_budget_that_ends_the_search_early_is_named(type_in: TypeIn, searched: Path) -> None:
    words = ("--set", "search.trials=100000", "--set", "search.time_budget_seconds=60")
    done = type_in("plan", searched.name, *words)
    (line,) = [line for line in done.out.splitlines() if line.startswith("budget:")]
    assert line.startswith("budget: search.time_budget_seconds of 60 allows about ")


def test_a_wrong_config_is_told_before_anything_is_timed(type_in: TypeIn, config: Config) -> None:
    assert type_in("plan", config(training="{epochs: 0}").name).code == 2


def test_a_space_of_which_nothing_trains_is_told(type_in: TypeIn, config: Config) -> None:
    done = type_in("plan", config(training="{epochs: 2, learning_rate: 1e30, optimizer: sgd}").name)
    assert done.code == 3
    assert "none of 1 configurations can be trained" in done.err
