from dataclasses import replace

from neurosearch.report.cost import cost_section
from neurosearch.report.material import Material


def test_where_each_trial_has_a_share_of_its_own_the_hours_are_an_upper_bound(material: Material) -> None:
    search = material.fields.search.model_copy(update={"gpus_per_trial": "auto"})
    shared = replace(material, fields=material.fields.model_copy(update={"search": search}))
    assert " GPU hours, with at most 1 GPU each" in cost_section(shared).html()
    assert "which is at most " in cost_section(shared).html()
    assert "at most" not in cost_section(material).html()
