"""Studies of which there is little to tell, or much: the report is built, and says what is missing."""

import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neurosearch.config.trial import TrialConfig
from neurosearch.report.page import build_report
from neurosearch.search.answer import answered
from neurosearch.search.stored import StoredStudy
from tests.made_studies import REGRESSION, TWO_OBJECTIVES, MadeStudy, config_with

FIVE = [
    *TWO_OBJECTIVES,
    {"metric": "worst_class_recall", "direction": "maximize"},
    {"metric": "calibration_error", "direction": "minimize"},
    {"metric": "latency_seconds", "direction": "minimize"},
]
Make = Callable[[Path], StoredStudy]


def nothing(root: Path) -> StoredStudy:
    return MadeStudy(root).done()


def only_running(root: Path) -> StoredStudy:
    return MadeStudy(root).search(0, running=2).done()


def only_failures(root: Path) -> StoredStudy:
    return MadeStudy(root).search(0, failed=3).done()


def beyond_every_bound(root: Path) -> StoredStudy:
    return MadeStudy(root, config_with(size_limit={"parameters": 500})).search(3).done()


def killed_half_way(root: Path) -> StoredStudy:
    return MadeStudy(root).search(4, running=2).done()


def killed_in_the_final(root: Path) -> StoredStudy:
    made = MadeStudy(root, config_with(**{"search.trials": 4})).search(4)
    best = made.study.stored.best()
    assert best is not None
    config = TrialConfig.model_validate(best.config)
    made.study.ask_for(config, "finalist", made.study.stored.fresh_seeds, best.params)
    return made.done()


def one_objective(root: Path) -> StoredStudy:
    return MadeStudy(root, config_with(**{"search.trials": 5})).search(5).confirm().done()


def five_objectives(root: Path) -> StoredStudy:
    values = config_with(**{"search.trials": 10, "search.objectives": FIVE, "training.measure_latency": True})
    return MadeStudy(root, values).search(10).confirm().done()


def sizes_alone(root: Path) -> StoredStudy:
    values = config_with(**{"search.trials": 5, "search.objectives": [TWO_OBJECTIVES[1]]})
    return MadeStudy(root, values).search(5).confirm().done()


def two_classes(root: Path) -> StoredStudy:
    values = config_with(**{"search.trials": 5})
    return MadeStudy(root, values, class_counts=(400, 10)).search(5).confirm().done()


def a_thousand_classes(root: Path) -> StoredStudy:
    values = config_with(**{"search.trials": 4, "training.epochs": 6})
    counts = tuple(max(round(500 * 0.993**index), 5) for index in range(1000))
    return MadeStudy(root, values, class_counts=counts).search(4).confirm(test=False).done()


def one_quantity(root: Path) -> StoredStudy:
    values = config_with(**{"search.trials": 5, **REGRESSION})
    return MadeStudy(root, values, class_counts=()).search(5).confirm().done()


def several_quantities(root: Path) -> StoredStudy:
    values = config_with(**{"search.trials": 5, **REGRESSION})
    return MadeStudy(root, values, class_counts=(), targets=("weight", "<i>height")).search(5).confirm().done()


def without_a_final(root: Path) -> StoredStudy:
    values = config_with(**{"search.trials": 5, "search.finalists": 0, "search.control": False})
    return MadeStudy(root, values).search(5).done()


def without_its_folders(root: Path) -> StoredStudy:
    made = MadeStudy(root, config_with(**{"search.trials": 5})).search(5).confirm()
    study = made.done()
    shutil.rmtree(made.folder.data)
    shutil.rmtree(made.folder.trials)
    return study


def damaged_files(root: Path) -> StoredStudy:
    made = MadeStudy(root, config_with(**{"search.trials": 5})).search(5).confirm()
    for name in ("test.json", "confusion.json", "result.json"):
        for path in made.folder.trials.rglob(name):
            path.write_text("{")
    return made.done()


def no_number_on_the_test_part(root: Path) -> StoredStudy:
    values = config_with(**{"search.trials": 5, **REGRESSION})
    made = MadeStudy(root, values, class_counts=()).search(5).confirm()
    for place, path in enumerate(sorted(made.folder.trials.rglob("test.json"))):
        scores = {**json.loads(path.read_text()), "test/rmse": math.nan if place % 2 else math.inf}
        path.write_text(json.dumps(scores))
    return made.done()


def one_seed(root: Path) -> StoredStudy:
    return MadeStudy(root, config_with(**{"search.trials": 3, "search.fresh_seeds": 1})).search(3).confirm().done()


SAYS: list[tuple[Make, tuple[str, ...]]] = [
    (nothing, ("no trial has begun", "No trial has ended with a network yet", "No trial has ended an epoch yet")),
    (only_running, ("2 trials without an end", "No network within the limits was found yet", "0 trials of the search")),
    (only_failures, ("of 3 trials, 3 failed", "&lt;script&gt;", "logs made")),
    (beyond_every_bound, ("3 ended beyond a bound", "of which 0 are on the front")),
    (killed_half_way, ("2 trials without an end", "so in part luck", "not tested", "stopped; it can go on")),
    (killed_in_the_final, ("1 trial without an end", "Nothing was trained on fresh seeds yet")),
    (one_objective, ("optimised balanced accuracy alone", "5 trials of the search", "changing and fixed neurons")),
    (five_objectives, ("of the box between", "calibration error", "latency seconds", "against the control")),
    (sizes_alone, ("Parameters against neurons", "against the control")),
    (two_classes, ("Of 2, the search&#x27;s network", "few recall")),
    (a_thousand_classes, ("Of 1000, the search&#x27;s network", "class 999")),
    (one_quantity, ("Quantity by quantity", "no score of single classes or quantities")),
    (several_quantities, ("Quantity by quantity", "&lt;i&gt;height", "rmse")),
    (without_a_final, ("Whether changing neurons", "Nothing was trained on fresh seeds")),
    (without_its_folders, ("changing and fixed neurons", "not here", "The test part has not been read")),
    (damaged_files, ("The test part has not been read", "The epochs of the best network are not here")),
    (no_number_on_the_test_part, ("test/rmse unknown (not a finite number on every seed)", "test part")),
    (one_seed, ("Too few seeds to say", "1 fresh seed")),
]


@pytest.mark.parametrize(("make", "says"), SAYS, ids=[make.__name__ for make, _ in SAYS])
def test_the_report_is_built_and_says_what_is_missing(make: Make, says: tuple[str, ...], tmp_path: Path) -> None:
    study = make(tmp_path)
    page = build_report(study)
    for text in says:
        assert text in page.replace("<code>", "").replace("</code>", ""), text
    assert "<script>alert" not in page
    assert "<i>" not in page
    assert re.search(r">[^<]*\b(nan|inf)\b", re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)) is None
    assert page.count("</section>") == 8


def test_the_search_s_own_words_stand_in_the_answer(tmp_path: Path) -> None:
    study = one_objective(tmp_path)
    answer: Any = answered(study.trials(), study.config.study)
    assert answer.lines()[0] in build_report(study)
