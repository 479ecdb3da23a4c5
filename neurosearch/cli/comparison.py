"""The winner beside its control, as lines: one column each."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from neurosearch import names
from neurosearch.cli.columns import aligned
from neurosearch.numbers import number
from neurosearch.search.answer import Answered

_SCORES = (names.BALANCED_ACCURACY, names.ACCURACY, names.WORST_CLASS_RECALL, *names.TARGET_SCORES)


def comparison_lines(
    trials: Sequence[Mapping[str, Any]], metrics: Sequence[str], answer: Answered | None
) -> Iterator[str]:
    """Tells what trials are, their sizes, their scores on the validation and the test part, and what that says.

    Args:
        trials: Facts of the winner, and of what stands beside it: the control, or where the control won, the best trial
            that was searched. Each with `test`.
        metrics: Names of the objectives.
        answer: Whether changing neurons helped; None where nothing can tell.
    """
    winner = trials[0]
    rival = "best searched" if winner["role"] == "control" else "control"
    rows = [["", *["winner", rival][: len(trials)]], *_rows(trials, metrics)]
    yield from aligned(rows)
    if answer is not None:
        yield from answer.lines()
    elif winner["role"] == "control" and len(trials) == 1:
        yield "the winner is the control itself, the largest static network; nothing else was trained on fresh seeds."
    elif winner["role"] == "control":
        yield "the winner is the control, the largest static network; what it won by was not tested on fresh seeds."


def _rows(trials: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> Iterator[list[str]]:
    yield ["trial", *(str(trial["number"]) for trial in trials)]
    yield ["growth", *(trial["kind"] for trial in trials)]
    if any(len(trial["seeds"]) > 1 for trial in trials):
        yield ["seeds", *(str(len(trial["seeds"])) for trial in trials)]
    for size in names.SIZES:
        yield [size, *(f"{trial['metrics'][size]:,.0f}" for trial in trials)]
    told = [score for score in _SCORES if score in trials[0]["metrics"]]  # those of the task that was learned
    for score in dict.fromkeys((*metrics, *told)):
        if score not in names.SIZES:
            yield [score, *(number(score, trial["metrics"].get(score)) for trial in trials)]
            on_test = f"{names.TEST_PREFIX}{score}"
            yield [on_test, *(number(score, trial["test"].get(on_test)) for trial in trials)]
    for name in trials[0]["params"]:
        yield [name, *(_searched(trial["params"].get(name)) for trial in trials)]


def _searched(value: object) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
