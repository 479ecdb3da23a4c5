from collections.abc import Sequence
from pathlib import Path

import pytest

from neurosearch.report.comparing import Contestant, compare_studies, side_by_side
from neurosearch.search.seams import TrialSummary
from neurosearch.search.statistics import compare
from neurosearch.search.stored import StoredStudy
from tests.made_studies import REGRESSION, MadeStudy, config_with


def made(root: Path, name: str, gain: float = 0.02, **changes: object) -> StoredStudy:
    values = config_with(name=name, **{"search.trials": 6, **changes})
    return MadeStudy(root, values, gain=gain).search(6).confirm().done()


def test_studies_with_the_same_fresh_seeds_are_compared_pair_by_pair(tmp_path: Path) -> None:
    one, other = made(tmp_path, "a"), made(tmp_path, "b", gain=0.05)
    found = compare_studies([one, other])
    assert [each.study for each in found.contestants] == ["a", "b"]
    assert found.remarks == ()
    row = found.rows[0]
    (difference,) = row.differences
    assert (row.metric, difference.how) == ("balanced_accuracy", "paired")
    theirs, ours = ([metrics["balanced_accuracy"] for metrics in study.best().per_seed] for study in (one, other))
    expected = compare("balanced_accuracy", "maximize", ours, theirs)
    assert difference.mean == expected.difference
    assert difference.p == difference.p_holm == expected.p
    assert {row.metric for row in found.rows} >= {"test/balanced_accuracy", "parameters", "multiply_adds"}


def test_studies_with_other_seeds_make_no_pairs(tmp_path: Path) -> None:
    found = compare_studies([made(tmp_path, "a"), made(tmp_path, "b", seed=4)])
    assert {each.how for row in found.rows for each in row.differences} == {"unpaired"}
    assert "share fewer than 3 fresh seeds" in found.remarks[0]


@pytest.mark.parametrize(("field", "value"), [("imbalance.ratio", 5.0), ("validation_share", 0.5), ("split_seed", 1)])
def test_studies_on_other_parts_of_the_same_data_make_no_pairs(field: str, value: float, tmp_path: Path) -> None:
    found = compare_studies([made(tmp_path, "a"), made(tmp_path, "b", **{f"data.{field}": value})])
    assert {each.how for row in found.rows for each in row.differences} == {"unpaired"}
    (remark,) = found.remarks
    section = field.partition(".")[0]
    assert remark == (
        f"b trains and validates on other examples than a (data.{section}): what differs may be their doing."
    )


def test_what_was_chosen_by_its_own_seeds_is_said_to_be_lucky(tmp_path: Path) -> None:
    values = config_with(name="b", **{"search.trials": 3})
    found = compare_studies([made(tmp_path, "a"), MadeStudy(tmp_path, values).search(3).done()])
    (difference,) = found.rows[0].differences
    assert (difference.how, difference.p) == ("unpaired", None)
    assert found.remarks[0].startswith("b: its best was chosen by the seeds")
    assert not any(row.metric.startswith("test/") for row in found.rows)


def test_studies_that_learn_something_else_share_their_sizes_alone(tmp_path: Path) -> None:
    values = config_with(name="b", **{"search.trials": 3, **REGRESSION})
    other = MadeStudy(tmp_path, values, class_counts=(), targets=("y",)).search(3).done()
    found = compare_studies([made(tmp_path, "a"), other])
    assert [row.metric for row in found.rows] == ["parameters", "neurons", "multiply_adds"]
    assert found.remarks[-1] == "The studies have no objective in common."


def test_a_study_without_a_network_is_left_out(tmp_path: Path) -> None:
    empty = MadeStudy(tmp_path, config_with(name="b")).search(0, failed=1).done()
    found = compare_studies([made(tmp_path, "a"), empty])
    assert [each.study for each in found.contestants] == ["a"]
    assert found.remarks == ("b has no network within its limits yet.",)


def contestant(name: str, trial: TrialSummary, scores: Sequence[float]) -> Contestant:
    by_seed = {seed: {"accuracy": score} for seed, score in enumerate(scores)}
    return Contestant(name, trial, True, by_seed, frozenset())


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> TrialSummary:
    best = made(tmp_path_factory.mktemp("runs"), "a").best()
    assert best is not None
    return best


def test_what_is_clear_is_judged_by_the_p_that_is_corrected_for_all_studies(trial: TrialSummary) -> None:
    first = contestant("a", trial, (0.0, 0.0, 0.0, 0.0))
    spread = (1.0, 1.0, -1.0, -1.0)  # with a mean of m, t is m times the root of 3
    means = {"b": 4.0, "c": 2.0, "d": 1.9, "e": -3.0}
    others = [contestant(name, trial, [mean + each for each in spread]) for name, mean in means.items()]
    (row,) = side_by_side([first, *others], ["accuracy"]).rows
    assert [each.p for each in row.differences] == pytest.approx([0.006165, 0.040519, 0.046047, 0.013847], abs=1e-6)
    # Holm: 4 times the smallest, 3 times the next, twice the next, and none below one before it.
    assert [each.p_holm for each in row.differences] == pytest.approx(
        [0.024661, 0.081039, 0.081039, 0.041540], abs=3e-6
    )
    assert [each.is_better for each in row.differences] == [True, None, None, False]
    assert row.differences[1].mean.low is not None
    assert row.differences[1].mean.low > 0, "its own interval leaves 0 out, the correction does not"


def test_two_seeds_are_too_few_to_call_anything_clear(trial: TrialSummary) -> None:
    one, other = contestant("a", trial, (0.5, 0.5)), contestant("b", trial, (0.9, 0.90001))
    found = side_by_side([one, other], ["accuracy"])
    assert found.rows[0].differences[0].is_better is None
    assert "b and a share fewer than 3 fresh seeds" in found.remarks[0]


def test_scores_that_differ_by_the_same_on_every_seed_are_not_certain(trial: TrialSummary) -> None:
    one, other = contestant("a", trial, (0.5, 0.6, 0.7)), contestant("b", trial, (0.6, 0.7, 0.8))
    (difference,) = side_by_side([one, other], ["accuracy"]).rows[0].differences
    assert (difference.mean.low, difference.p, difference.is_better) == (None, 0.25, None)


def test_facts_are_plain(tmp_path: Path) -> None:
    facts = compare_studies([made(tmp_path, "a"), made(tmp_path, "b")]).facts()
    assert facts["studies"][0]["fresh_seeds"] is True
    assert set(facts["metrics"][0]) == {"metric", "means", "differences"}
