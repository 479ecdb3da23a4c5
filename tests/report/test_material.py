from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neurosearch.report.material import material_of
from neurosearch.report.page import build_report
from neurosearch.search.stored import StoredStudy
from tests.made_studies import TWO_OBJECTIVES, MadeStudy, config_with


class GoingOn:
    """A search that ends a trial whenever somebody has looked at all trials."""

    def __init__(self, made: MadeStudy, look: Callable[..., Any]) -> None:
        self.made, self.look = made, look

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        seen = list(self.look(*args, **kwargs))
        self.made.search(1)
        return seen


@pytest.fixture
def searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoredStudy:
    """A study that is searched while it is read."""
    changes = {"search.trials": 60, "search.objectives": list(TWO_OBJECTIVES), "search.candidates": "at_rest"}
    made = MadeStudy(tmp_path, config_with(**changes)).search(22)
    study = StoredStudy(made.folder)
    monkeypatch.setattr(study.storage, "get_all_trials", GoingOn(made, study.storage.get_all_trials))
    return study


def test_all_that_is_told_is_of_one_moment_while_the_search_goes_on(searched: StoredStudy) -> None:
    material = material_of(searched)
    numbers = {each.number for each in material.trials}
    assert numbers == set(range(22))
    assert material.best in material.trials
    assert {each.trial for each in material.reached.history} <= numbers
    assert {each.trial for each in material.reached.front} <= numbers
    assert set(material.reports) <= numbers
    assert material.influences[0].num_trials == sum(
        each.state in ("finished", "infeasible") for each in material.trials
    )


def test_a_page_is_built_while_the_search_goes_on(searched: StoredStudy) -> None:
    assert "22 trials, searching" in build_report(searched)
