"""What networks must have in common to lie in one stack, and how large they are there.

Every size is padded with zeros to a multiple of 16: then matrix products round alike however many networks a stack has
and however much wider the others are, and a network whose size changes a little stays where it is. What is padded stays
0 by itself: nothing comes into a padded neuron, so it gives 0 to the next layer, and no gradient reaches its weights.
A compiled step sums numbers in one order whatever the size: there hidden layers alone are padded, to powers of 2, and
few steps are compiled.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from neurosearch.growth.nimble import NimblePolicy
from neurosearch.training.chain import Link, chain_of, is_chain
from neurosearch.training.settings import OptimizerKind
from neurosearch.training.trainer import Trainer
from neurosearch.training.under_way import EpochUnderWay

_FEWEST_COMPILED = 8  # neurons of a hidden layer in a compiled step
_MOST_COMPILED = 1280  # weights of a network, biases not counted, above which a compiled step is hardly faster
_PAD = 16  # numbers that every size, and where every tensor of a row begins, is a multiple of: 64 bytes of float32


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
        links: The layers of a perceptron, from the input on; empty for another network.
        num_outputs: Of the perceptron, as they are.
        optimizer: Kind of optimizer.
        has_momentum: Whether sgd keeps one.
        num_size_weights: How many sizes are trained.
        is_late: Whether the loss is that of the last epochs.
        dtype: Of all weights.
        device: Where they lie.
        is_compiled: Whether their step is compiled.
        module: Of another network, its layers in words; empty for a perceptron.
        shapes: Of another network, those of all parameters, by name.
    """

    links: tuple[LinkForm, ...]
    num_outputs: int
    optimizer: OptimizerKind
    has_momentum: bool
    num_size_weights: int
    is_late: bool
    dtype: torch.dtype
    device: torch.device
    is_compiled: bool = False
    module: str = ""
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()


def padded(size: int) -> int:
    """Return the size that takes the place of one."""
    return -(-size // _PAD) * _PAD


def _padded_to_power(size: int) -> int:
    """Return the size that takes the place of one in a compiled step."""
    return max(_FEWEST_COMPILED, 1 << (size - 1).bit_length())


def covering(one: Form, other: Form) -> Form | None:
    """Return the form that networks of both fit into; None if they differ in more than sizes."""
    if len(one.links) != len(other.links):
        return None
    links = [link for link in map(_covering, one.links, other.links) if link is not None]
    is_alike = len(links) == len(one.links) and replace(one, links=()) == replace(other, links=())
    return replace(one, links=tuple(links)) if is_alike else None


def _covering(one: LinkForm, other: LinkForm) -> LinkForm | None:
    sizes = {
        name: max(getattr(one, name), getattr(other, name)) for name in ("num_inputs", "num_outputs", "num_column")
    }
    found = replace(one, **sizes)
    return found if found == replace(other, **sizes) and bool(one.num_column) == bool(other.num_column) else None


def form_of(trainer: Trainer, under_way: EpochUnderWay) -> Form:
    """Return the form of a training as it is now.

    Raises:
        NotPackable: Its network has a last layer of its own kind.
    """
    if not is_chain(trainer.model):
        return _called_form(trainer, under_way)
    links = chain_of(trainer.model)
    policy, settings = trainer.policy, trainer.settings
    gating = policy.gating(trainer.units) if isinstance(policy, NimblePolicy) else None
    weight = {} if gating is None else gating.weight
    columns = {} if gating is None else {name: len(column) for name, column in gating.columns.items()}
    is_compiled = settings.compiled and trainer.device.type == "cpu" and _is_small(links)
    pad = _padded_to_power if is_compiled else padded
    forms = tuple(_link_form(link, weight.get(link.name), columns.get(link.name), pad) for link in links)
    return Form(
        _with_true_ends(forms, links) if is_compiled else forms,
        links[-1].linear.out_features,
        settings.optimizer,
        settings.optimizer == "sgd" and settings.momentum > 0,
        0 if gating is None else len(gating.weights),
        under_way.is_late,
        links[0].linear.weight.dtype,
        trainer.device,
        is_compiled,
    )


def _is_small(links: Sequence[Link]) -> bool:
    """Say whether a perceptron of such layers gains by a compiled step."""
    if any(link.norm is not None or link.dropout is not None for link in links):
        return False
    return sum(link.linear.in_features * link.linear.out_features for link in links) <= _MOST_COMPILED


def _with_true_ends(forms: tuple[LinkForm, ...], links: Sequence[Link]) -> tuple[LinkForm, ...]:
    """Return the layers with inputs and outputs of the network as they are; both stay the same while it trains."""
    forms = (replace(forms[0], num_inputs=links[0].linear.in_features), *forms[1:])
    return (*forms[:-1], replace(forms[-1], num_outputs=links[-1].linear.out_features))


def _called_form(trainer: Trainer, under_way: EpochUnderWay) -> Form:
    settings, first = trainer.settings, next(trainer.model.parameters())
    has_momentum = settings.optimizer == "sgd" and settings.momentum > 0
    shapes = tuple((name, tuple(each.shape)) for name, each in trainer.model.named_parameters())
    late, module = under_way.is_late, str(trainer.model)
    return Form((), 0, settings.optimizer, has_momentum, 0, late, first.dtype, trainer.device, False, module, shapes)


def _link_form(link: Link, size_weight: int | None, num_column: int | None, pad: Callable[[int], int]) -> LinkForm:
    return LinkForm(
        pad(link.linear.in_features),
        pad(link.linear.out_features),
        link.norm is not None,
        link.activation,
        link.dropout is not None,
        size_weight,
        pad(num_column) if num_column else 0,
    )
