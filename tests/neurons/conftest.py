"""Small networks of every kind that surgery must handle, in float64, each with inputs."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from neurosearch.neurons import SurgeryError, Units, apply_plan, certify, find_units, gated_parameters, grow, prune
from neurosearch.neurons.labels import Role
from neurosearch.neurons.positions import positions_of


def mlp(widths: tuple[int, ...] = (6, 5), *, norm: bool = True, activation: type[nn.Module] = nn.GELU) -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten()]
    size = 6
    for width in widths:
        layers += [nn.Linear(size, width), *([nn.BatchNorm1d(width)] if norm else []), activation()]
        size = width
    return nn.Sequential(*layers, nn.Linear(size, 3))


def cnn_flatten() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 3, 3, padding=1),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(3 * 4 * 4, 5),
        nn.SiLU(),
        nn.Linear(5, 3),
    )


def cnn_pool() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.GELU(),
        nn.AvgPool2d(2),
        nn.Conv2d(4, 6, 3),
        nn.PReLU(6),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 3),
    )


class Residual(nn.Module):
    """A stem, two blocks on one trunk, a strided block with a projection."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.GELU())
        self.inner = nn.Conv2d(4, 5, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(5)
        self.outer = nn.Conv2d(5, 4, 3, padding=1)
        self.project = nn.Conv2d(4, 6, 1, stride=2)
        self.down = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = F.gelu(x + self.outer(F.gelu(self.norm(self.inner(x)))))
        x = torch.tanh(self.project(x) + self.down(x))
        return self.head(x.mean((2, 3)))


class Concat(nn.Module):
    """Dense connections: later layers see all earlier ones, the input too."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(5)
        self.second = nn.Conv2d(5, 4, 3, padding=1)
        self.third = nn.Conv2d(9, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x, self.first(x)], 1)
        x = torch.cat([x, self.second(F.silu(self.norm(x)))], 1)
        return self.third(x).mean((2, 3))


class Depthwise(nn.Module):
    """An inverted residual with squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.expand = nn.Conv2d(4, 6, 1)
        self.depth = nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.squeeze = nn.Conv2d(6, 2, 1)
        self.excite = nn.Conv2d(2, 6, 1)
        self.project = nn.Conv2d(6, 4, 1)
        self.multiply = nn.Conv2d(4, 8, 3, groups=4)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        inner = F.hardswish(self.norm(self.depth(F.silu(self.expand(x)))))
        scale = torch.sigmoid(self.excite(F.silu(self.squeeze(F.adaptive_avg_pool2d(inner, 1)))))
        x = x + self.project(inner * scale)
        return self.head(F.silu(self.multiply(x)).mean((2, 3)))


class Shuffle(nn.Module):
    """Grouped convolutions with a channel shuffle, and a split into halves."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 8, 1)
        self.first = nn.Conv2d(8, 12, 3, padding=1, groups=2)
        self.second = nn.Conv2d(12, 8, 3, padding=1, groups=2)
        self.branch = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.first(self.stem(x)))
        b, c, h, w = x.shape
        x = x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)
        left, right = F.gelu(self.second(x)).chunk(2, dim=1)
        x = torch.cat([left, self.branch(right)], 1)
        return self.head(x.mean((2, 3)))


class Transformer(nn.Module):
    """One block with attention of its own code, whose heads can go, and an MLP; the trunk is normalised."""

    def __init__(self, width: int = 6, heads: int = 3, hidden: int = 6) -> None:
        super().__init__()
        self.num_heads, self.head_dim = heads, width // heads
        self.embed = nn.Linear(2, width)
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        x = self.embed(x)
        qkv = self.qkv(self.norm1(x)).reshape(b, n, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*qkv.unbind(0))
        x = x + self.out(mixed.transpose(1, 2).reshape(b, n, self.num_heads * self.head_dim))
        x = x + self.down(F.gelu(self.up(self.norm2(x))))
        return self.head(x.mean(1))


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase], *, bidirectional: bool = False, num_layers: int = 2) -> None:
        super().__init__()
        self.first = nn.Linear(2, 4)
        self.rnn = kind(4, 5, num_layers, batch_first=True, bidirectional=bidirectional)
        self.head = nn.Linear(5 * (1 + bidirectional), 3)

    def forward(self, x: Tensor) -> Tensor:
        outputs, _ = self.rnn(torch.tanh(self.first(x)))
        return self.head(outputs[:, -1])


class Tied(nn.Module):
    """An autoencoder whose decoder is the encoder's transpose, with a code that is used by a plain layer, too."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(6, 5)
        self.hidden = nn.Linear(6, 4)
        self.again = nn.Linear(4, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        x = F.linear(torch.tanh(self.encode(x)), self.encode.weight.t())
        x = torch.tanh(self.hidden(x))
        x = torch.tanh(self.again(torch.tanh(self.again(x))))
        return self.head(x)


class Unet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down1 = nn.Conv2d(2, 4, 3, padding=1)
        self.down2 = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.middle = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.up = nn.ConvTranspose2d(6, 5, 2, stride=2)
        self.last = nn.Conv2d(9, 4, 3, padding=1)
        self.head = nn.Conv2d(4, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        skip = F.gelu(self.down1(x))
        x = F.gelu(self.up(F.gelu(self.middle(F.gelu(self.down2(skip))))))
        return self.head(F.gelu(self.last(torch.cat([skip, x], 1)))).mean((2, 3))


class Scaled(nn.Module):
    """Registered buffers and plain parameters that follow the units: a mask, a layer scale, a centring."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 5)
        self.scale = nn.Parameter(torch.rand(5) + 0.5)
        self.register_buffer("mask", torch.tensor([1.0, 0.0, 1.0, 1.0, 1.0]))
        self.register_buffer("numbers", torch.arange(5), persistent=False)
        self.second = nn.Linear(5, 4)
        self.norm = nn.BatchNorm1d(4, affine=False)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.first(x.flatten(1))) * self.scale * self.mask
        return self.head(torch.tanh(self.norm(self.second(x))))


@dataclass(frozen=True)
class Case:
    """A network to build, the shape of one example, and whether all its groups can grow."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]

    def model(self, seed: int = 0) -> nn.Module:
        torch.manual_seed(seed)
        model = self.build().double()
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                nn.init.uniform_(parameter, 0.5, 1.5) if "norm" in name else nn.init.normal_(parameter, std=0.5)
        for name, buffer in model.named_buffers():
            if "running" in name:
                nn.init.uniform_(buffer, 0.5, 1.5)
        return model

    def inputs(self, num_examples: int = 4, seed: int = 1) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(num_examples, *self.shape, dtype=torch.float64, generator=generator)


CASES: dict[str, Case] = {
    "mlp": Case(mlp, (6,)),
    "mlp_relu": Case(lambda: mlp((5, 4, 3), norm=False, activation=nn.ReLU), (2, 3)),
    "cnn_flatten": Case(cnn_flatten, (2, 8, 8)),
    "cnn_pool": Case(cnn_pool, (2, 8, 8)),
    "residual": Case(Residual, (2, 6, 6)),
    "concat": Case(Concat, (2, 5, 5)),
    "depthwise": Case(Depthwise, (2, 6, 6)),
    "shuffle": Case(Shuffle, (2, 5, 5)),
    "transformer": Case(Transformer, (3, 2)),
    "rnn": Case(lambda: Recurrent(nn.RNN), (4, 2)),
    "gru": Case(lambda: Recurrent(nn.GRU), (4, 2)),
    "lstm_bidirectional": Case(lambda: Recurrent(nn.LSTM, bidirectional=True), (4, 2)),
    "tied": Case(Tied, (2, 3)),
    "unet": Case(Unet, (2, 6, 6)),
    "scaled": Case(Scaled, (6,)),
}


def everything(model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> dict[str, object]:
    """Return a copy of all that surgery could change, to compare bit for bit."""
    found: dict[str, object] = {name: tensor.detach().clone() for name, tensor in model.named_parameters()}
    found |= {f"buffer {name}": tensor.clone() for name, tensor in model.named_buffers()}
    for name, module in model.named_modules():
        plain = {key: value for key, value in vars(module).items() if isinstance(value, (int, str, bool, tuple))}
        found |= {f"{name}:{key}": value for key, value in plain.items()}
    for name, parameter in model.named_parameters():
        found |= {f"gradient {name}": None if parameter.grad is None else parameter.grad.clone()}
        for key, value in (optimizer.state.get(parameter, {}) if optimizer else {}).items():
            found[f"state {name} {key}"] = value.clone() if isinstance(value, Tensor) else value
    found["random numbers"] = torch.get_rng_state()
    return found


def assert_same(first: dict[str, object], second: dict[str, object]) -> None:
    assert first.keys() == second.keys()
    for key, value in first.items():
        other = second[key]
        is_same = (
            torch.equal(value, other) if isinstance(value, Tensor) and isinstance(other, Tensor) else value == other
        )
        assert is_same, key


@pytest.fixture(scope="session")
def snapshot() -> Callable[..., dict[str, object]]:
    return everything


@pytest.fixture(scope="session")
def same() -> Callable[[dict[str, object], dict[str, object]], None]:
    return assert_same


def assert_exact(model: nn.Module, inputs: Tensor, name: str, chosen: list[int]) -> nn.Module:
    """Check that a pruning equals masking, that growth keeps the function, and both that a fresh search agrees.

    Returns:
        The pruned network.
    """
    units = find_units(model, (inputs,))
    size = units.sizes[units.layout.index[name]]
    grown, pruned = copy.deepcopy(model), copy.deepcopy(model)
    gate = torch.ones(size, dtype=torch.float64)
    gate[chosen] = 0
    with torch.no_grad():
        bigger = apply_plan(grow(units, {name: 2}), grown)
        gated = gated_parameters(model, units, {name: gate})
        smaller: Units = apply_plan(prune(units, {name: chosen}), pruned)
        for training in (False, True):
            for one in (model, grown, pruned):
                one.train(training)
            assert (grown(inputs) - model(inputs)).abs().max() < 1e-12
            assert (pruned(inputs) - functional_call(model, gated, (inputs,))).abs().max() < 1e-12
    certify(grown, bigger, (inputs,))
    certify(pruned, smaller, (inputs,))
    return pruned


@pytest.fixture(scope="session")
def exact() -> Callable[..., nn.Module]:
    return assert_exact


@torch.no_grad()
def make_twin(model: nn.Module, units: Units, name: str, source: int, target: int, factor: float = 1.0) -> None:
    """Let a unit be so many times another one, by everything but the weights that use it."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    group = units.layout.index[name]
    for part in units.layout.slices[group]:
        if part.role != Role.OUTGOING:
            old, new = (positions_of(units, part, group)(torch.tensor([number]))[0] for number in (target, source))
            values = factor * tensors[part.tensor].data.index_select(part.dimension, old)
            tensors[part.tensor].data.index_copy_(part.dimension, new, values)


@pytest.fixture(scope="session")
def twin() -> Callable[..., None]:
    return make_twin


@pytest.fixture(scope="session")
def cases() -> dict[str, Case]:
    return CASES


@pytest.fixture(scope="session", params=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture(scope="session")
def trained() -> Callable[..., torch.optim.Optimizer]:
    def train(model: nn.Module, inputs: Tensor, kind: str = "adamw", steps: int = 2) -> torch.optim.Optimizer:
        """Return an optimizer that has moved a model a little."""
        make = {
            "adamw": lambda p: torch.optim.AdamW(p, lr=1e-3),
            "fused": lambda p: torch.optim.Adam(p, lr=1e-3, fused=True, amsgrad=True),
            "sgd": lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9),
        }[kind]
        optimizer = make(model.parameters())
        for step in range(steps):
            generator = torch.Generator().manual_seed(step)
            optimizer.zero_grad()
            outputs = model(inputs)
            outputs.backward(torch.randn(outputs.shape, generator=generator, dtype=outputs.dtype) / math.sqrt(10))
            optimizer.step()
        optimizer.zero_grad()
        return optimizer

    return train


@pytest.fixture(scope="session")
def growable() -> Callable[..., list[str]]:
    def find(units: Units, start: str = "zero_outgoing") -> list[str]:
        """Return the groups that can grow in some way."""
        names = []
        for group in units.groups:
            try:
                grow(units, {group.name: 2}, start=start)
            except SurgeryError:
                continue
            names.append(group.name)
        return names

    return find
