"""A search that is started anew whenever it fails, as a RayJob's is: where that is in vain it ends with 0 instead.

Each new start is a whole new cluster. A wrong config, name or password, data that are not there, and a space in which
nothing fits would be the same in each; a server that was away, a full disk, a lost node, and an earlier driver that
searches still, would not.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from neurosearch.cli.frame import failure
from neurosearch.cli.report import FAILED, NOTHING_FEASIBLE, OK, WRONG, Report
from neurosearch.search.errors import SearchedAlready

_IN_VAIN = {
    WRONG: "the search cannot go on as it was asked for, and a new start would not change that",
    NOTHING_FEASIBLE: "the search is done, and nothing that it found may be deployed",
}


def worth_another_start(search: Callable[[], Report], arguments: Mapping[str, Any]) -> Report:
    """Searches; returns a report whose code is that of a failure only where another start may help.

    Args:
        search: Does it.
        arguments: Those of the command, for what to type next.
    """
    try:
        report = search()
    except Exception as error:  # noqa: BLE001  # all that escapes is told, as by the frame
        report = failure(error, "search", dict(arguments))
        if isinstance(error, SearchedAlready):  # by the cluster before this one, which has not gone yet
            return replace(report, facts={**report.facts, "exit_code": FAILED}, code=FAILED)
    if report.code not in _IN_VAIN:
        return report
    last = f"ended for good, code {report.code} told as 0: {_IN_VAIN[report.code]}. It is not started again."
    return replace(report, code=OK, lines=(*report.lines, last), next=())
