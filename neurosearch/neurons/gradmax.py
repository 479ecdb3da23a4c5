"""Where new units should point so that the loss makes them move most: GradMax (arXiv:2201.05125).

One side of a new unit is 0, so the network computes what it did; the other side is chosen to make the gradient of the
0 side as large as its length allows. With h what the units are made from and s the loss's slope behind what uses them,
both from one forward and backward pass, that gradient is linear in the chosen side through one matrix of correlations
M = E[s h^T] (for convolutions: between all places of both kernels; with an averaging pool between the layers: of what
it makes of h), and the best directions are M's singular vectors.

- Incoming weights 0 (the paper's way) where the activation maps 0 to 0 with a slope: left singular vectors, exactly
  the best ones (eq. 11).
- Outgoing weights 0 where it has no slope at 0 (relu in PyTorch), moves 0, or is preceded by a normalisation, whose
  slope at a constant is no guide, and where a maximum is taken over places: the gradient is then that of what the real
  network makes of the new units, which is not linear in their incoming weights. Right singular vectors are best for a
  linear activation and, instead of a maximum, a mean. Behind a relu or a maximum both signs of each vector compete, and
  those win whose real gradient is largest.

The matrix is seldom made: a partial decomposition needs its products with few vectors alone, each of which costs what a
convolution with as many channels does.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neurosearch.neurons.asked import Batch, by_group, pairs, whole_count
from neurosearch.neurons.between import Onlooker, Path
from neurosearch.neurons.certificate import check_tensors
from neurosearch.neurons.correlation import Layer, Pair, Seen, layer_of
from neurosearch.neurons.directions import Directions
from neurosearch.neurons.errors import SurgeryError
from neurosearch.neurons.find import plain_model
from neurosearch.neurons.importance import Loss, evaluating
from neurosearch.neurons.labels import Obstacle, Role
from neurosearch.neurons.plan import group_by_name
from neurosearch.neurons.singular import leading_vectors
from neurosearch.neurons.units import Slice, Units

See = Callable[[Onlooker, Tensor, Tensor], Tensor]

_SIMPLE_ROLES = {Role.INCOMING, Role.OUTGOING, Role.SHIFT, Role.SCALE, Role.MEAN, Role.VARIANCE}


def gradmax_directions(
    model: nn.Module,
    units: Units,
    batches: Iterable[Batch],
    counts: Mapping[str, int],
    *,
    loss: Loss = F.cross_entropy,
) -> dict[str, Directions]:
    """Find where new units should point, from one forward and backward pass over a few batches.

    Args:
        model: The network. Runs in eval mode; nothing of it changes. What the two layers of each group see is kept for
            all batches at once.
        units: Its units.
        batches: (inputs, targets) pairs; class-balanced ones point new units at rare classes, too.
        counts: For each group to grow, by name, how many units come.
        loss: Mean loss from outputs and targets.

    Returns:
        What `grow(..., start="gradmax", directions=...)` takes.

    Raises:
        SurgeryError: For a group that is not made by one and used by one plain linear or convolution layer, with only
            activations, normalisations, pooling, means over places and flattening between them; a loss without slope;
            or no batch.
    """
    sites = _looked_at(model, units, batches, counts, loss)
    with _full_precision(sites):
        return {site.group: _directions(site) for site in sites}


def explained_shares(
    model: nn.Module,
    units: Units,
    batches: Iterable[Batch],
    counts: Mapping[str, int],
    *,
    loss: Loss = F.cross_entropy,
) -> dict[str, float]:
    """Say how much of what is still wrong the best new units of each group could follow, in [0, 1].

    Our reading of arXiv:2301.05744, which grows a network only where its residual is explainable and finds out by
    fitting a small network to it. Here nothing is fitted: the residual is the loss's slope behind the group, the best
    new units are those of `gradmax_directions`, and what they explain is the squared correlation of what they make with
    that slope, on average. Slopes that are noise give about 1 / examples. Arguments and costs are those of
    `gradmax_directions`.

    Raises:
        SurgeryError: As `gradmax_directions`, but a slope that is 0 leaves nothing to explain: 0.
    """
    sites = _looked_at(model, units, batches, counts, loss)
    with _full_precision(sites):
        return {site.group: _explained(site) for site in sites}


def _looked_at(
    model: nn.Module, units: Units, batches: Iterable[Batch], counts: Mapping[str, int], loss: Loss
) -> list["_Site"]:
    """Return the groups that are to grow, with what flowed through their layers."""
    model = plain_model(model)
    wanted = {name: whole_count(name, count) for name, count in by_group(counts, '{"name": 2}').items()}
    sites = [_site(model, units, name, count) for name, count in wanted.items() if count]
    if not sites:
        return []
    layers = _layers(sites)
    with evaluating(model):
        for inputs, targets in pairs(batches):
            with Onlooker(layers):
                outputs = model(inputs)
            _check_calls(sites)
            _note(sites, loss(outputs, targets) * len(targets))
    if not sites[0].pair.seen:
        raise SurgeryError("gradmax was given no batch. Pass at least one (inputs, targets) pair.")
    return sites


def _full_precision(sites: Sequence["_Site"]) -> AbstractContextManager[None]:
    if not sites:
        return nullcontext()
    return torch.autocast(sites[0].pair.maker.weight.device.type, enabled=False)


@dataclass
class _Site:
    """A group that is to grow.

    Attributes:
        group: Its name.
        count: Number of new units.
        pair: What is known of the layers that make and use the units.
        keeps_slope: Whether what is between them maps 0 to 0 with a slope.
        made: Inputs and outputs of the maker in the pass under way.
        used: Inputs and outputs of the user in the pass under way.
    """

    group: str
    count: int
    pair: Pair
    keeps_slope: bool
    made: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    used: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    @property
    def is_exact(self) -> bool:
        """Whether incoming weights of 0 are the best start, and not only a start."""
        return self.keeps_slope and not (self.pair.path.is_normed or self.pair.path.selects)

    def see_made(self, onlooker: Onlooker, inputs: Tensor, outputs: Tensor) -> Tensor:
        """Note a call of the maker; return the outputs to go on with."""
        self.made.append((inputs.detach(), outputs))
        onlooker.follow(self.group, outputs)
        return outputs

    def see_used(self, onlooker: Onlooker, inputs: Tensor, outputs: Tensor) -> Tensor:
        """Note a call of the user; return the outputs to go on with."""
        path = onlooker.path(self.group, inputs)
        if isinstance(path, str):
            raise _unfit(self.group, path)
        self.pair.path = path
        outputs = outputs if outputs.requires_grad else outputs.detach().requires_grad_()
        self.used.append((inputs, outputs))
        return outputs.clone()  # what follows may change it in place


def _site(model: nn.Module, units: Units, name: str, count: int) -> _Site:
    """Return a group with the layers around it."""
    group_by_name(units, name)
    index = units.layout.index[name]
    slices, obstacles = units.layout.slices[index], units.layout.groups[index].obstacles
    makers = [part for part in slices if part.role == Role.INCOMING]
    users = [part for part in slices if part.role == Role.OUTGOING]
    others = {part.role for part in slices} - _SIMPLE_ROLES
    if len(makers) != 1 or len(users) != 1 or others:
        raise _unfit(
            name,
            f"{len(makers)} layers make and {len(users)} use its units"
            + "".join(f", one is {role}" for role in sorted(others)),
        )
    maker, _ = _layer(model, units, index, makers[0])
    user, num_places = _layer(model, units, index, users[0])
    keeps_slope = not {Obstacle.DEAD_AT_ZERO, Obstacle.MOVES_ZERO} & set(obstacles)
    return _Site(name, count, Pair(maker, user, num_places, Path(())), keeps_slope)


def _layer(model: nn.Module, units: Units, group: int, part: Slice) -> tuple[Layer, int]:
    """Return the layer that holds a weight, and how many positions a unit has in it."""
    name = units.layout.groups[group].name
    owner, _, attribute = part.tensor.rpartition(".")
    layer = layer_of(model.get_submodule(owner))
    if attribute != "weight" or isinstance(layer, str):
        why = layer if isinstance(layer, str) else "holds it beside another weight"
        raise _unfit(name, f"{part.tensor} is needed, and {owner} {why}")
    check_tensors({part.tensor: layer.weight}, units, "the model", is_whole=False)
    blocks = units.layout.tensors[part.tensor]
    own = blocks[part.dimension]
    is_alone = len(own) == 1 and all(len(dimension) == 1 for dimension in blocks)
    if not is_alone or (own[0].repeat != 1 and part.role == Role.INCOMING):
        raise _unfit(name, f"{part.tensor} holds other units beside its units, or several positions of each")
    return layer, own[0].repeat


def _unfit(name: str, why: str) -> SurgeryError:
    return SurgeryError(
        f"group {name} cannot grow with gradmax, which needs one linear or convolution layer that makes and one that "
        f"uses the units: {why}. Choose another start, such as zero_outgoing."
    )


def _layers(sites: list[_Site]) -> dict[int, See]:
    """Return who looks at the calls with each weight; one that uses units of a group may make those of another."""
    users = {id(site.pair.user.weight): site.see_used for site in sites}
    makers = {id(site.pair.maker.weight): site.see_made for site in sites}
    both = {key: _first_used_then_made(users[key], see) for key, see in makers.items() if key in users}
    return {**users, **makers, **both}


def _first_used_then_made(see_used: See, see_made: See) -> See:
    return lambda onlooker, inputs, outputs: see_made(onlooker, inputs, see_used(onlooker, inputs, outputs))


def _check_calls(sites: list[_Site]) -> None:
    for site in sites:
        if len(site.made) != 1 or len(site.used) != 1:
            raise _unfit(site.group, "one of its layers is not called exactly once")


def _note(sites: list[_Site], value: Tensor) -> None:
    """Add what a batch has shown, with the slopes of its summed loss."""
    results = [site.used[0][1] for site in sites]
    slopes = torch.autograd.grad(value, results, allow_unused=True, materialize_grads=True)
    for site, slope in zip(sites, slopes, strict=True):
        (made_from, made), (used, _) = site.made.pop(), site.used.pop()
        weight = site.pair.user.weight  # under autocast, what flows is shorter
        site.pair.seen.append(Seen(made_from.to(weight), made.shape, used.shape, slope.to(weight)))


def _directions(site: _Site) -> Directions:
    pair, is_exact = site.pair, site.is_exact
    vectors = _leading(site)
    if vectors is None:
        raise SurgeryError(
            f"group {site.group}: the loss's slope behind its units is 0 or no number, so gradmax has no direction to "
            "choose. Pass other batches, or choose another start, such as zero_outgoing."
        )
    if not is_exact and pair.path.is_bent:
        vectors = _best_in_truth(pair, vectors)
    return Directions("incoming" if is_exact else "outgoing", tuple(map(tuple, vectors.tolist())))


def _leading(site: _Site) -> Tensor | None:
    """Return the vectors that make the zero side's gradient largest, None where the slope is 0 or no number."""
    pair = site.pair
    by_outgoing, by_incoming = pair.products()
    num_outgoing, num_incoming = pair.shape
    if site.is_exact:
        return leading_vectors(by_incoming, by_outgoing, (num_outgoing, num_incoming), site.count, pair.rank)
    return leading_vectors(by_outgoing, by_incoming, (num_incoming, num_outgoing), site.count, pair.rank)


def _explained(site: _Site) -> float:
    """Return what the best new units of a group explain, by the incoming weights that they would have."""
    pair, vectors = site.pair, _leading(site)
    if vectors is None:
        return 0.0
    if site.is_exact:  # these are outgoing weights; the gradient of the incoming ones points where those will go
        return pair.explained(F.normalize(pair.incoming_slopes(vectors), dim=1), is_real=False)
    vectors = _best_in_truth(pair, vectors) if pair.path.is_bent else vectors
    return pair.explained(vectors, is_real=pair.path.is_bent)


def _best_in_truth(pair: Pair, vectors: Tensor) -> Tensor:
    """Return those of the vectors, with either sign, whose outgoing weights get the largest gradient in the network."""
    both = torch.cat([vectors, -vectors])
    strengths = pair.outgoing_slopes(both, is_real=True).square().sum(1)
    return both[strengths.argsort(descending=True, stable=True)[: len(vectors)]]
