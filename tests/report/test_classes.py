from dataclasses import replace

import pytest

from neurosearch.report.classes import classes_exhibit
from neurosearch.report.exhibit import Exhibit
from neurosearch.report.material import Material
from neurosearch.search.statistics import paired

CLASSES = [f"recall/class {index}" for index in range(10)]
NOISE = (-0.02, -0.01, 0.0, 0.01, 0.02)  # around a gain, on each of five seeds


def with_gain(material: Material, gain: float) -> Material:
    """Returns a study whose contender is better on the first class by a gain, and on all others by noise alone."""
    contender, control = material.contender, material.control
    assert contender is not None
    assert control is not None
    theirs = [dict.fromkeys(CLASSES, 0.7) for _ in NOISE]
    ours = [{**dict.fromkeys(CLASSES, 0.7 + each), CLASSES[0]: 0.7 + gain + each} for each in NOISE]
    given = {contender.number: tuple(ours), control.number: tuple(theirs)}
    trials = tuple(replace(each, per_seed=given.get(each.number, each.per_seed)) for each in material.trials)
    return replace(material, trials=trials, test={})


@pytest.mark.parametrize(
    ("gain", "p", "clear"), [(0.025, 0.024, 0), (0.08, 0.00035, 1)], ids=["clear alone", "clear among ten"]
)
def test_how_many_classes_are_better_is_corrected_for_their_number(
    gain: float, p: float, clear: int, material: Material
) -> None:
    assert paired("recall", [gain + each for each in NOISE])[1] == pytest.approx(p, rel=0.05)
    exhibit = classes_exhibit(with_gain(material, gain))
    assert isinstance(exhibit, Exhibit)
    assert f"Of 10, the search's network is clearly better on {clear} and clearly worse on 0" in exhibit.summary
