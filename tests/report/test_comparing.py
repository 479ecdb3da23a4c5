from pathlib import Path

from neurosearch.report.comparing import compare_studies
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
    assert "share no fresh seeds" in found.remarks[0]


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


def test_several_studies_have_their_p_corrected(tmp_path: Path) -> None:
    found = compare_studies([made(tmp_path, name) for name in ("a", "b", "c")])
    for row in found.rows:
        assert all(each.p_holm >= each.p for each in row.differences)


def test_facts_are_plain(tmp_path: Path) -> None:
    facts = compare_studies([made(tmp_path, "a"), made(tmp_path, "b")]).facts()
    assert facts["studies"][0]["fresh_seeds"] is True
    assert set(facts["metrics"][0]) == {"metric", "means", "differences"}
