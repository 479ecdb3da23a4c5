"""The config of one trial: all that its result depends on."""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from neurosearch.config.base import Fields, Index
from neurosearch.config.kinds import AnyKind, Conflict, ConflictError, kinds
from neurosearch.config.remedy_rules import REMEDY_RULES
from neurosearch.config.rules import TRAINING_RULES
from neurosearch.config.training import TrainingFields


class TrialConfig(Fields):
    """One training: equal configs give equal results, on any worker and in any order."""

    data: Annotated[Fields, AnyKind("data")] = Field(description="What is learned from")
    model: Annotated[Fields, AnyKind("models")] = Field(description="The network family and its base widths")
    training: TrainingFields = Field(description="How it is trained")
    growth: Annotated[Fields, AnyKind("growth")] = Field(description="Which neurons come and go, and when")
    seed: Index = Field(0, description="Seed from which all randomness of the trial is derived")

    @model_validator(mode="after")
    def _keeps_the_rules(self) -> Self:
        conflicts = tuple(self._conflicts())
        if conflicts:
            raise ConflictError(conflicts)
        return self

    def _conflicts(self) -> Iterator[Conflict]:
        rules = (*TRAINING_RULES, *REMEDY_RULES)
        for section, group in ((self.data, "data"), (self.model, "models"), (self.growth, "growth")):
            rules += kinds(group)[kind_of(section)].rules
        for rule in rules:
            yield from rule(self)


def config_key(config: Mapping[str, Any]) -> str:
    """Returns a text that is equal for equal plain `TrialConfig`s."""
    return json.dumps(config, sort_keys=True)


def kind_of(section: Fields) -> str:
    """Returns the name of a section's kind."""
    name = getattr(section, "kind", None)
    assert isinstance(name, str), f"{type(section).__name__} has no field `kind`"
    return name
