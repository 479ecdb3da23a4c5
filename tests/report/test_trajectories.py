from dataclasses import replace
from typing import Any

from neurosearch.report.exhibit import Exhibit
from neurosearch.report.material import Material
from neurosearch.report.trajectories import trajectories_exhibit
from neurosearch.search.early_stopping import Report
from neurosearch.search.reports import StoredReport


def report(epoch: int) -> StoredReport:
    """Returns an epoch that changed the network, with more that came the later it is."""
    events = ({"added": epoch, "removed": 1, "reason": "a long reason " * 20},)
    return StoredReport(0, None, events, Report(epoch, 1.0, (0.8, 100.0), 0.0, True), 100.0 + epoch)


def exhibit_of(material: Material, epochs: int) -> Exhibit:
    trial = material.shown[0]
    reports = {trial.number: tuple(report(epoch) for epoch in range(1, epochs + 1))}
    found = trajectories_exhibit(replace(material, shown=(trial,), reports=reports))
    assert isinstance(found, Exhibit)
    return found


def marked(exhibit: Exhibit) -> list[Any]:
    return [epoch for trace in exhibit.figure.data if trace.mode == "markers" for epoch in trace.x]


def test_a_course_of_many_changes_shows_a_bounded_number_and_says_how_many(material: Material) -> None:
    found, number = exhibit_of(material, 5000), material.shown[0].number
    assert len(marked(found)) <= 300
    assert {1, 5000} <= set(marked(found))
    assert len(found.table.rows) <= 300
    assert "changed its neurons in 5,000 epochs: 12,502,500 came and 5,000 went." in found.summary
    assert f"Not all changes are marked: of trial {number} {len(marked(found))} of 5,000 epochs." in found.summary


def test_the_page_grows_no_further_with_the_epochs(material: Material) -> None:
    few, many = (len(exhibit_of(material, epochs).html()) for epochs in (1000, 10_000))
    assert many < 1.1 * few


def test_a_course_of_few_changes_shows_all_of_them(material: Material) -> None:
    found = exhibit_of(material, 120)
    assert marked(found) == list(range(1, 121))
    assert "Not all changes are marked" not in found.summary
