"""`neurosearch compare`: studies side by side."""

import csv as csv_format
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neurosearch.cli.completion import study_names
from neurosearch.cli.frame import command
from neurosearch.cli.options import RUNS, Database, Folder
from neurosearch.cli.report import NOTHING_FEASIBLE, CommandError, Report

if TYPE_CHECKING:
    from neurosearch.report.comparing import Contestant, Difference, SideBySide

_COLUMNS = ("study", "trial", "growth", "role", "seeds", "fresh_seeds", "metric", "mean", "low", "high")
_TEST_COLUMNS = ("test", "difference", "difference_low", "difference_high", "p", "p_holm")


@command
def compare(
    studies: Annotated[
        list[str],
        typer.Argument(
            metavar="STUDY...",
            help="Names of studies, the one to compare with first; one in another folder as FOLDER/NAME.",
            show_default=False,
            autocompletion=study_names,
        ),
    ],
    folder: Folder = RUNS,
    database: Database = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print the figures as CSV, and nothing else.")] = False,
) -> Report:
    """Set the best networks of studies side by side: means with intervals, and each tested against the first one's."""
    from neurosearch.cli.studies import open_study
    from neurosearch.report.comparing import compare_studies

    if len(studies) < 2:
        raise CommandError("compare needs two studies or more: neurosearch compare A B.")
    found = compare_studies([open_study(Path(each).name, _folder(each, folder), database) for each in studies])
    if len(found.contestants) < 2:
        text = " ".join(("there are no two networks to compare.", *found.remarks))
        return Report({"ok": False, "error": text, "exit_code": NOTHING_FEASIBLE}, (text,), code=NOTHING_FEASIBLE)
    return Report(found.facts(), tuple(_csv(found) if csv else _lines(found)))


def _folder(study: str, folder: Path) -> Path:
    return Path(study).parent if "/" in study else folder


def _lines(found: "SideBySide") -> Iterator[str]:
    from neurosearch.cli.columns import aligned
    from neurosearch.report.numbers import mean_words
    from neurosearch.search.words import role_words

    contestants = found.contestants
    rows = [
        ["", *(each.study for each in contestants)],
        ["best trial", *(f"{each.trial.number}, {each.trial.kind}" for each in contestants)],
        ["role", *(role_words(each.trial.role) for each in contestants)],
        ["seeds", *(_seeds(each) for each in contestants)],
        *([row.metric, *(mean_words(row.metric, each) for each in row.means)] for row in found.rows),
    ]
    yield from aligned(rows)
    for index, other in enumerate(contestants[1:]):
        yield f"{other.study} minus {contestants[0].study}:"
        tests = [(row.metric, row.differences[index]) for row in found.rows]
        yield from aligned([[f"  {metric}", *_test(metric, test)] for metric, test in tests])
    yield from found.remarks


def _seeds(contestant: "Contestant") -> str:
    return f"{len(contestant.by_seed)}{' fresh' if contestant.is_fresh else ' of the search'}"


def _test(metric: str, test: "Difference") -> list[str]:
    from neurosearch.report.numbers import change_words

    ps = [_p("p", test.p), _p("Holm", test.p_holm) if test.p_holm != test.p else ""]
    word = {True: "clearly better", False: "clearly worse", None: "unclear"}[test.is_better]
    return [*change_words(metric, test.mean), test.how, *ps, word]


def _p(name: str, value: float | None) -> str:
    from neurosearch.numbers import figure

    if value is None:
        return ""
    return f"{name} < .001" if value < 0.001 else f"{name} = {figure(value, 3)}"


def _csv(found: "SideBySide") -> Iterator[str]:
    """Yields a line for each study and metric; empty cells where there is nothing to tell."""
    text = io.StringIO()
    writer = csv_format.writer(text, lineterminator="\n")
    writer.writerow((*_COLUMNS, *_TEST_COLUMNS))
    for row in found.rows:
        for index, (each, mean) in enumerate(zip(found.contestants, row.means, strict=True)):
            test = row.differences[index - 1] if index else None
            own = (each.study, each.trial.number, each.trial.kind, each.trial.role, len(each.by_seed), each.is_fresh)
            writer.writerow((*own, row.metric, mean.mean, mean.low, mean.high, *_cells(test)))
    yield from text.getvalue().splitlines()


def _cells(test: "Difference | None") -> tuple[object, ...]:
    if test is None:
        return ("",) * len(_TEST_COLUMNS)
    found = test.mean
    return (test.how, found.mean, found.low, found.high, test.p, test.p_holm)
