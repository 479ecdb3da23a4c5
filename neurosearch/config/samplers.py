"""What a sampler asks of the space, and whether it is so."""

from collections.abc import Iterator, Mapping

from neurosearch.config.base import Problem
from neurosearch.config.positions import num_values
from neurosearch.config.search import SearchFields
from neurosearch.config.search_nodes import ChoiceNode, OneOfNode, Slot, Template, slots

MAXIMUM_BRANCHES = 16
_BY_BRANCH = ("gp", "cmaes", "nsga2")
_UNTEACHABLE = ("qmc", "random", "grid")
_OTHERS = "Choose sampler: tpe, which takes any space."


def branches_of(template: Template) -> tuple[dict[str, str], ...]:
    """Returns every way to choose among the options of the space's `one_of`s, as labels by hyperparameter name.

    At most one more than `MAXIMUM_BRANCHES` of them.
    """
    found: list[dict[str, str]] = [{}]
    for slot in slots(template):
        if isinstance(slot.node, OneOfNode):
            found = [extended for branch in found for extended in _extended(branch, slot, slot.node)]
            found = found[: MAXIMUM_BRANCHES + 1]
    return tuple(found)


def is_in_branch(slot: Slot, labels: Mapping[str, str]) -> bool:
    """Tells whether a hyperparameter belongs to a branch; it may yet depend on others that are no `one_of`."""
    return all(labels.get(name, values[0]) in values for name, values in slot.requires.items())


def sampler_problems(search: SearchFields, template: Template) -> Iterator[Problem]:
    """Yields why the sampler cannot search this space."""
    for text in _reasons(search, template):
        yield Problem(template.source.place(("search", "sampler")), "search.sampler", text)
    if search.warm_start is not None and search.sampler in _UNTEACHABLE:
        text = f"{search.sampler} learns from no trial, so an earlier study is of no use. Take this out. {_OTHERS}"
        yield Problem(template.source.place(("search", "warm_start")), "search.warm_start", text)


def _reasons(search: SearchFields, template: Template) -> Iterator[str]:
    every = list(slots(template))
    if search.sampler in _BY_BRANCH and len(branches_of(template)) > MAXIMUM_BRANCHES:
        names = ", ".join(slot.name for slot in every if isinstance(slot.node, OneOfNode))
        yield (
            f"{search.sampler} searches every combination of the options of {names} on its own, and there are more "
            f"than {MAXIMUM_BRANCHES}. Take options out. {_OTHERS}"
        )
    if search.sampler == "grid":
        endless = {slot.stepped_by: slot.name for slot in reversed(every) if num_values(slot.node) is None}
        for key, name in endless.items():  # each key once, though it may give several hyperparameters their steps
            yield f"grid tries every point, but {name} has no end of them. Give it steps by {key}. {_OTHERS}"
    if search.sampler == "cmaes":
        yield from _reasons_against_evolution(search, every)


def _reasons_against_evolution(search: SearchFields, every: list[Slot]) -> Iterator[str]:
    if len(search.objectives) > 1:
        yield (
            f"cmaes follows one objective, but search.objectives names {len(search.objectives)}. Keep one, or choose "
            "sampler: nsga2, gp or tpe."
        )
    for slot in every:
        if isinstance(slot.node, ChoiceNode) and num_values(slot.node) != 1:
            yield (
                f"cmaes moves along ranges, but {slot.name} is a choice, which has no order. Write search: int or "
                f"uniform there, or one_of. {_OTHERS}"
            )


def _extended(branch: dict[str, str], slot: Slot, node: OneOfNode) -> list[dict[str, str]]:
    if not slot.exists(branch):
        return [branch]
    return [{**branch, slot.name: label} for label in node.labels]
