"""What a config may say of our kinds, and what is built from it.

`neurosearch check` imports this module to read the fields, so torch and numpy are imported inside the functions, and
what is made of all kinds (`TrialConfig`) for its type alone.
"""

from math import ceil
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from neurosearch.config.base import Count, Fields, Number, Share
from neurosearch.config.data import DataFields
from neurosearch.config.kinds import Conflict, Kind
from neurosearch.config.model import ModelFields

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from neurosearch.config.trial import TrialConfig
    from neurosearch.data.arrays import ArraySource
    from neurosearch.training.seams import GrowthPolicy


class TwoPathsFields(ModelFields):
    """A network for images with two paths, one of small and one of large patches, whose features are joined."""

    kind: Literal["two_paths"] = "two_paths"
    fine: Count = Field(8, description="Channels of the path with small patches")
    coarse: Count = Field(8, description="Channels of the path with large patches")


def build_two_paths(fields: TwoPathsFields, input_shape: tuple[int, ...], num_outputs: int) -> "nn.Module":
    """Build the network.

    Raises:
        ValueError: If the examples are not images.
    """
    from own_kinds.network import TwoPaths

    if len(input_shape) != 3:
        raise ValueError(f"model.kind: two_paths needs images, but one example has shape {input_shape}.")
    return TwoPaths(input_shape[0], fields.fine, fields.coarse, num_outputs)


def scale_two_paths(fields: TwoPathsFields, factor: float) -> TwoPathsFields:
    """Return fields of the same family, so many times as wide: the control is found with it."""
    wider = {"fine": ceil(fields.fine * factor), "coarse": ceil(fields.coarse * factor)}
    return TwoPathsFields.model_validate({**fields.model_dump(), **wider})


class StripesFields(DataFields):
    """Computed images of stripes; the class is their direction."""

    kind: Literal["stripes"] = "stripes"
    num_train: Annotated[Count, Field(ge=40)] = Field(200, description="Images of the training part")
    num_test: Annotated[Count, Field(ge=40)] = Field(80, description="Images of the test part")
    noise: Annotated[Number, Field(ge=0.0, le=1.0)] = Field(0.2, description="Deviation of the noise, white being 1")


def build_stripes(fields: StripesFields) -> "ArraySource":
    """Build the source."""
    from own_kinds.stripes import StripesSource

    return StripesSource(fields.num_train, fields.num_test, fields.noise, fields.split_seed)


class OnceFields(Fields):
    """Grow every group once, and prune it once to the configured width by importance."""

    kind: Literal["once"] = "once"
    grow_epoch: Count = Field(2, description="Epoch after which neurons come")
    prune_epoch: Count = Field(4, description="Epoch after which as many go")
    grow_share: Annotated[Share, Field(gt=0.0)] = Field(0.5, description="Neurons that come, as a share of the width")


def build_once(fields: OnceFields) -> "GrowthPolicy":
    """Build the policy."""
    from own_kinds.once import OncePolicy

    return OncePolicy(fields.grow_epoch, fields.prune_epoch, fields.grow_share)


def once_fits(config: "TrialConfig") -> "Iterator[Conflict]":
    """Yield what is wrong with the epochs; the loader finds the lines of the fields that are named."""
    growth = config.growth
    assert isinstance(growth, OnceFields)
    if growth.prune_epoch <= growth.grow_epoch:
        text = "neurons would go before they have come. Raise prune_epoch."
        yield Conflict(("growth.grow_epoch", "growth.prune_epoch"), text)
    if growth.prune_epoch >= config.training.epochs:
        text = "the network would never be pruned. Lower prune_epoch, or raise epochs."
        yield Conflict(("growth.prune_epoch", "training.epochs"), text)


def once_peak(fields: OnceFields, base_size: int) -> int:
    """Return the most neurons that a group comes to hold: the memory of a trial is told by it."""
    return base_size + max(1, round(fields.grow_share * base_size))


TWO_PATHS = Kind(TwoPathsFields, build_two_paths, scale=scale_two_paths)
STRIPES = Kind(StripesFields, build_stripes)
ONCE = Kind(OnceFields, build_once, rules=(once_fits,), peak=once_peak)
