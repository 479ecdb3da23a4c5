"""What counts as evidence: what was trained on seeds that chose nothing."""

from pathlib import Path

import pytest

from neurosearch.report.classes import classes_section
from neurosearch.report.comparing import compare_studies
from neurosearch.report.front import front_section
from neurosearch.report.material import Material, material_of
from neurosearch.report.page import build_report
from neurosearch.report.seeds import seeds_section
from neurosearch.report.verdict import verdict
from neurosearch.search.stored import StoredStudy
from tests.made_studies import CONFIG, TWO_OBJECTIVES, MadeStudy, config_with


def without_finalists(root: Path, gain: float, name: str = "made") -> StoredStudy:
    """Makes a study whose control is trained on the two seeds of the search, as a search without finalists does."""
    changes = {"search.trials": 5, "search.finalists": 0, "search.seeds": 2, "search.objectives": list(TWO_OBJECTIVES)}
    growing = [each for each in CONFIG["growth"]["options"] if each["kind"] != "static"]
    values = config_with(name=name, **changes, **{"growth.options": growing})
    made = MadeStudy(root, values, gain=gain).search(5)
    return made.beside("control", made.study.stored.search_seeds).done()


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """A study without finalists whose best network changed its neurons."""
    return material_of(without_finalists(tmp_path_factory.mktemp("growing"), gain=0.3))


@pytest.fixture(scope="module")
def fixed(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """A study without finalists whose best network is the control."""
    return material_of(without_finalists(tmp_path_factory.mktemp("fixed"), gain=-0.5))


def test_a_control_on_the_seeds_of_the_search_is_no_evidence(growing: Material) -> None:
    section = seeds_section(growing).html()
    assert "Nothing was trained on fresh seeds yet" in section
    assert "Means over" not in section
    assert "minus control" not in section
    assert "Nothing here was trained on fresh seeds" in front_section(growing).html()


def test_a_best_of_the_search_has_neither_interval_nor_test(growing: Material) -> None:
    assert growing.best is not None
    assert growing.best.role == "search"
    found, helped = verdict(growing)
    assert "95 % interval" not in found
    assert "on the seeds of the search, so in part luck" in found
    assert helped == "Whether changing neurons helped was not tested."
    page = classes_section(growing).html()
    assert "on seeds that are no fresh ones, so without intervals and tests" in page
    assert "is clearly better" not in page


def test_a_control_that_is_the_best_stands_beside_the_best_that_was_searched(fixed: Material) -> None:
    assert fixed.best is not None
    assert fixed.contender is not None
    assert fixed.control == fixed.best
    assert fixed.contender.role == "search"
    assert fixed.contender.value == max(each.value or 0.0 for each in fixed.trials if each.role == "search")
    assert "the control itself, the largest fixed network" in verdict(fixed)[0]
    assert (
        f"The best network is the control itself. Trial {fixed.contender.number} ({fixed.contender.kind}) beside the "
        f"control, trial {fixed.best.number}" in classes_section(fixed).html()
    )


def test_a_control_alone_on_fresh_seeds_is_named_as_fresh(tmp_path: Path) -> None:
    made = MadeStudy(tmp_path, config_with(**{"search.trials": 3})).search(3)
    study = made.beside("control", made.study.stored.fresh_seeds).done()
    assert "Means over the fresh seeds" in build_report(study)


def test_studies_without_finalists_are_compared_without_intervals_and_tests(tmp_path: Path) -> None:
    found = compare_studies([without_finalists(tmp_path, gain=0.3, name=name) for name in ("a", "b")])
    for row in found.rows:
        assert [(each.low, each.high) for each in row.means] == [(None, None)] * 2
        (difference,) = row.differences
        assert (difference.mean.low, difference.p, difference.p_holm, difference.is_better) == (None,) * 4
    assert [each.is_fresh for each in found.contestants] == [False, False]
    assert [remark.partition(":")[0] for remark in found.remarks] == ["a", "b"]


def test_a_study_that_goes_on_with_more_fresh_seeds_is_told_as_status_tells_it(tmp_path: Path) -> None:
    few, more = (config_with(**{"search.trials": 5, "search.fresh_seeds": count}) for count in (3, 5))
    made = MadeStudy(tmp_path, few).search(5).confirm().resumed(more).finalists()
    halfway = material_of(StoredStudy(made.folder))
    assert halfway.answer is not None
    assert halfway.best is not None
    assert halfway.is_fresh(halfway.best)
    assert (len(halfway.answer.seeds), halfway.answer.num_seeds) == (3, (5, 3))
    assert [each.difference.num_seeds for each in halfway.answer.on_test] == [3]
    page = classes_section(halfway).html()
    assert f"beside the control, trial {halfway.answer.control}, on 3 fresh seeds, the same for both" in page
    section = seeds_section(halfway).html()
    assert "seeds that it never saw (3 to 5 seeds)" in section
    assert "compared on the 3 that both have" in " ".join(halfway.answer.lines())
    assert compare_studies([StoredStudy(made.folder)]).contestants[0].is_fresh

    seeds = made.study.stored.fresh_seeds
    whole = material_of(made.beside("control", seeds).beside("recycle", seeds).done())
    assert whole.answer is not None
    assert (whole.answer.seeds, whole.answer.num_seeds) == (seeds, (5, 5))
    assert {len(each.per_seed) for each in whole.confirmed} == {5}, "what was trained again stands for the network"
    assert "seeds that it never saw (5 seeds)" in seeds_section(whole).html()
