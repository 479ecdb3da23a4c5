"""The allow-list: what each operation does to labels. An operation that is not here is refused by name."""

from neurosearch.neurons import rules_contraction, rules_elementwise, rules_layout, rules_making, rules_norm
from neurosearch.neurons.tracer import Rule

RULES: dict[str, Rule] = {
    **rules_elementwise.RULES,
    **rules_making.RULES,
    **rules_layout.RULES,
    **rules_contraction.RULES,
    **rules_norm.RULES,
}
