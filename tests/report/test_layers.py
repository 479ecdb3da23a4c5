from dataclasses import replace

from neurosearch.report.exhibit import Exhibit, Missing
from neurosearch.report.layers import layers_exhibit
from neurosearch.report.material import Material


def test_what_is_told_of_a_layer_comes_from_every_epoch_also_where_few_are_drawn(material: Material) -> None:
    widths = [10.0] * 1001
    widths[333], widths[666], widths[1000] = 1.0, 90.0, 42.0
    records = tuple({"epoch": index + 1, "metrics": {"neurons/a": width}} for index, width in enumerate(widths))
    exhibit = layers_exhibit(replace(material, layers=records))
    assert isinstance(exhibit, Exhibit)
    assert exhibit.table.rows == (("a", "10", "1", "90", "42"),)
    assert exhibit.summary.startswith("1 of 1 layer changed")
    (trace,) = exhibit.figure.data
    assert len(trace.x) <= 201
    assert (trace.x[0], trace.x[-1]) == (1, 1001)
    assert (trace.customdata[0][-1], trace.z[0][-1]) == (42.0, 42.0 / 90.0)


def test_without_a_best_network_there_are_no_layers_to_show(material: Material) -> None:
    found = layers_exhibit(replace(material, best=None, layers=()))
    assert isinstance(found, Missing)
    assert found.why == "No network within the limits has ended yet, so no layers can be shown."
