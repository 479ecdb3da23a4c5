"""Samplers by name."""

from collections.abc import Mapping

from optuna.distributions import BaseDistribution

from neurosearch.config.load import StudyConfig
from neurosearch.randomness import derive_seed
from neurosearch.search.branches import Branches, MakeMirror
from neurosearch.search.finite import FiniteSpace
from neurosearch.search.history import Mirror
from neurosearch.search.mirrors import GeneticMirror, ProcessMirror
from neurosearch.search.sequences import GridMirror, RandomMirror, SobolMirror
from neurosearch.search.trees import TreeMirror


def new_mirror(  # noqa: PLR0911  # one for each name
    config: StudyConfig, finite: FiniteSpace | None
) -> Mirror:
    """Returns the study's sampler, which knows no trial yet.

    Args:
        config: The study; it was checked that its sampler fits its space.
        finite: All points of its space, if they are finitely many.
    """
    search, template = config.study.search, config.template
    seed = derive_seed(config.study.seed, "sampler")
    directions = [objective.direction for objective in search.objectives]
    match search.sampler:
        case "random":
            return RandomMirror()
        case "qmc":
            return SobolMirror(template, seed)
        case "grid":
            assert finite is not None
            return GridMirror(finite, seed)
        case "tpe":
            return TreeMirror(directions, template)
        case "nsga2":
            return Branches(template, lambda _space: GeneticMirror(directions))
        case "gp":
            return Branches(template, lambda _space: ProcessMirror(directions))
        case "cmaes":
            return Branches(template, _evolution(1 if directions[0] == "minimize" else -1, seed))


def _evolution(sign: int, seed: int) -> MakeMirror:
    from neurosearch.search.evolution import EvolutionMirror  # imports scipy's statistics, which takes half a second

    def make(space: Mapping[str, BaseDistribution]) -> Mirror:
        return EvolutionMirror(space, sign, seed)

    return make
