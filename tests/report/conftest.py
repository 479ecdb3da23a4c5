from pathlib import Path

import pytest

from neurosearch.report.material import Material, material_of
from neurosearch.search.stored import StoredStudy
from tests.made_studies import TWO_OBJECTIVES, MadeStudy, config_with

CHANGES = {"search.objectives": list(TWO_OBJECTIVES), "search.trials": 43}


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> StoredStudy:
    """A study of 40 trials, 3 that failed, finalists, control and an arm, all with test scores."""
    root: Path = tmp_path_factory.mktemp("whole")
    return MadeStudy(root, config_with(**CHANGES)).search(40, failed=3).confirm().done()


@pytest.fixture(scope="session")
def material(whole: StoredStudy) -> Material:
    """All that is told of it."""
    return material_of(whole)
