"""What networks must have in common to lie in one stack, and how large they are there.

Every size is padded with zeros to one of a few: then matrix products of a stack round alike however many networks it
has, and a network whose size changes a little stays where it is. What is padded stays 0 by itself: nothing comes into a
padded neuron, so it gives 0 to the next layer, and no gradient reaches its weights.
"""

from dataclasses import dataclass

import torch

from neurosearch.growth.nimble import NimblePolicy
from neurosearch.training.chain import Link, chain_of
from neurosearch.training.settings import OptimizerKind
from neurosearch.training.trainer import Trainer
from neurosearch.training.under_way import EpochUnderWay

_SIZES = (8, 16, 32, 64)  # and the multiples of the last; with multiples of 8, products do not depend on the stack
_PIECE = 16  # numbers that every tensor of a row begins at a multiple of: 64 bytes of float32


@dataclass(frozen=True)
class LinkForm:
    """One linear layer with what follows it, as all networks of a stack have it.

    Attributes:
        num_inputs: Padded.
        num_outputs: Padded.
        has_norm: Whether a batch normalisation follows.
        activation: Which one; empty behind the last layer.
        has_dropout: Whether there is such a layer.
        size_weight: Index of the weight that holds its size; None where its size is not trained.
        num_column: Padded length of the column by which it sees its size; 0 for none.
    """

    num_inputs: int
    num_outputs: int
    has_norm: bool
    activation: str
    has_dropout: bool
    size_weight: int | None
    num_column: int


@dataclass(frozen=True)
class Form:
    """What all networks of a stack have in common.

    Attributes:
        links: The layers, from the input on.
        num_outputs: Of the network, as they are.
        optimizer: Kind of optimizer.
        has_momentum: Whether sgd keeps one.
        num_size_weights: How many sizes are trained.
        is_late: Whether the loss is that of the last epochs.
        dtype: Of all weights.
        device: Where they lie.
    """

    links: tuple[LinkForm, ...]
    num_outputs: int
    optimizer: OptimizerKind
    has_momentum: bool
    num_size_weights: int
    is_late: bool
    dtype: torch.dtype
    device: torch.device


def padded(size: int) -> int:
    """Return the size that takes the place of one."""
    for each in _SIZES:
        if size <= each:
            return each
    return -(-size // _SIZES[-1]) * _SIZES[-1]


def aligned(size: int) -> int:
    """Return how many numbers a tensor of so many takes of a row."""
    return -(-size // _PIECE) * _PIECE


def form_of(trainer: Trainer, under_way: EpochUnderWay) -> Form:
    """Return the form of a training as it is now.

    Raises:
        NotPackable: Its network is no chain of layers.
    """
    links = chain_of(trainer.model)
    policy, settings = trainer.policy, trainer.settings
    gating = policy.gating(trainer.units) if isinstance(policy, NimblePolicy) else None
    weight = {} if gating is None else gating.weight
    columns = {} if gating is None else {name: len(column) for name, column in gating.columns.items()}
    return Form(
        tuple(_link_form(link, weight.get(link.name), columns.get(link.name)) for link in links),
        links[-1].linear.out_features,
        settings.optimizer,
        settings.optimizer == "sgd" and settings.momentum > 0,
        0 if gating is None else len(gating.weights),
        under_way.is_late,
        links[0].linear.weight.dtype,
        trainer.device,
    )


def _link_form(link: Link, size_weight: int | None, num_column: int | None) -> LinkForm:
    return LinkForm(
        padded(link.linear.in_features),
        padded(link.linear.out_features),
        link.norm is not None,
        link.activation,
        link.dropout is not None,
        size_weight,
        padded(num_column) if num_column else 0,
    )
