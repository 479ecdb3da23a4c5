"""The published growing network, iterated in closed form, beside the trainer that grows real tensors."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from neurosearch.growth import NimblePolicy, NimbleSettings
from neurosearch.models import Cnn, CnnShape, Mlp, MlpShape, draw_uniform
from neurosearch.training.checkpoint import MemoryCheckpointStore
from neurosearch.training.tasks import Regression
from neurosearch.training.trainer import Trainer

WIDTH, STEPS = 9, 240
PUBLISHED = NimbleSettings(
    size_coefficient=0.5,
    target_share=5 / WIDTH,
    start_share=0.0,
    maximum_share=1.0,
    gate_width=1.0,
    size_unit="neurons",
    size_input=True,
    column_scale=1.0,
    sharing="each",
    learning_rate=0.02,
    check_steps=1,
)


class FullBatch:
    """All examples in every step, in one order; an epoch is `num_steps` steps."""

    class_counts = ()

    def __init__(self, x, y, num_steps=10):
        self._batch, self.steps_per_epoch = (x, y), num_steps

    def train(self, epoch):
        return iter([self._batch] * self.steps_per_epoch)

    def validation(self):
        return iter([self._batch])


def examples():
    x = torch.rand(32, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(4)) * 2 - 1
    return x, torch.sin(3 * x) * x


def make(training_settings, growth):
    torch.manual_seed(11)
    model = Mlp(MlpShape((1,), (WIDTH,), 1, "tanh", "none", 0.0))
    draw_uniform(model)
    return trainer_of(training_settings, model, examples(), NimblePolicy(growth))


def trainer_of(training_settings, model, batch, policy):
    settings = replace(
        training_settings,
        epochs=STEPS // 10,
        optimizer="sgd",
        learning_rate=0.02,
        momentum=0.0,
        weight_decay=0.0,
        schedule="constant",
        warmup_epochs=0,
    )
    return Trainer(
        settings=settings,
        model=model.double(),
        batches=FullBatch(*batch),
        task=Regression("mse", ("y",), (1.0,)),
        policy=policy,
        checkpoints=MemoryCheckpointStore(),
        device=torch.device("cpu"),
        example_inputs=(batch[0][:2],),
    )


class ClosedForm:
    """y = b3 + sum over m of w3[m] theta(N - m + 1) tanh(b2[m] + N w21[m] + x w22[m]), and its gradient by hand."""

    def __init__(self, trainer, growth):
        first, last = trainer.model.layers[1], trainer.model.layers[3]
        (column,) = trainer.policy.columns()
        tensors = (first.bias, column, first.weight[:, 0], last.weight[0], last.bias)
        self.b2, self.w21, self.w22, self.w3, self.b3 = (t.detach().numpy().copy() for t in tensors)
        self.n, self.target, self.coefficient = growth.start_share * WIDTH, 5.0, growth.size_coefficient
        self.width, (x, y) = growth.gate_width, examples()
        self.x, self.y = x.numpy(), y.numpy()

    def gates(self):
        """Values and slopes of theta(N - m + 1)."""
        values, slopes = np.zeros(WIDTH), np.zeros(WIDTH)
        for m in range(WIDTH):
            n = self.n - m
            if n >= self.width:
                values[m] = 1.0
            elif n > 0:
                values[m] = math.sin(math.pi * n / (2 * self.width)) ** 2
                slopes[m] = math.pi / (2 * self.width) * math.sin(math.pi * n / self.width)
        return values, slopes

    def step(self, rate):
        values, slopes = self.gates()
        hidden = np.tanh(self.b2 + self.n * self.w21 + self.x * self.w22)  # (examples, m)
        error = 2 * (hidden @ (values * self.w3) + self.b3 - self.y[:, 0]) / len(self.x)
        inner = error[:, None] * (values * self.w3) * (1 - hidden**2)
        d_n = (error @ (hidden * slopes * self.w3).sum(1)) + (inner @ self.w21).sum()
        d_n += 2 * self.coefficient * (self.n - self.target)
        d_w3, d_b3, d_b2 = values * (error @ hidden), error.sum(), inner.sum(0)
        d_w21, d_w22 = self.n * d_b2, (inner * self.x).sum(0)
        self.w3, self.b3, self.b2 = self.w3 - rate * d_w3, self.b3 - rate * d_b3, self.b2 - rate * d_b2
        self.w21, self.w22, self.n = self.w21 - rate * d_w21, self.w22 - rate * d_w22, self.n - rate * d_n

    def outputs(self):
        hidden = np.tanh(self.b2 + self.n * self.w21 + self.x * self.w22)
        return hidden @ (self.gates()[0] * self.w3) + self.b3


@pytest.mark.parametrize(
    ("changes", "targets"),
    [
        pytest.param({}, (5.0,), id="growing"),
        pytest.param({"start_share": 1.0}, (2.0,), id="shrinking"),
        pytest.param({"gate_width": 2.5}, (5.0,), id="wide gates"),
        pytest.param({"size_coefficient": 2.0}, (7.5, 1.5, 8.0), id="neurons that leave and come back"),
    ],
)
def test_growing_real_tensors_are_the_published_iteration(training_settings, changes, targets):
    growth = replace(PUBLISHED, **changes)
    trainer = make(training_settings, growth)
    published = ClosedForm(trainer, growth)
    x, _ = examples()
    sizes, period = [], STEPS // 10 // len(targets)
    trainer.policy._target.fill_(targets[0])
    published.target = targets[0]
    for record in trainer.epochs():
        for _ in range(10):
            published.step(0.02)
        (weights,), (column,) = trainer.policy.trained(), trainer.policy.columns()
        with torch.no_grad():
            outputs = trainer._network.for_evaluation()(x)[:, 0].numpy()
        held = trainer.model.layers[1].out_features
        sizes.append(held)
        assert weights.item() == pytest.approx(published.n, abs=1e-12)
        assert np.abs(outputs - published.outputs()).max() < 1e-12
        assert np.abs(column.detach().numpy() - published.w21).max() < 1e-12
        assert np.abs(trainer.model.layers[1].bias.detach().numpy() - published.b2[:held]).max() < 1e-12
        published.target = targets[min(record.epoch // period, len(targets) - 1)]
        trainer.policy._target.fill_(published.target)
    assert max(sizes) - min(sizes) >= 3
    if len(targets) > 1:
        assert sizes[period - 1] > sizes[2 * period - 1] < sizes[-1]


def test_the_plain_network_at_the_end_is_the_published_one_cut_at_the_rounded_size(training_settings):
    trainer = make(training_settings, PUBLISHED)
    published = ClosedForm(trainer, PUBLISHED)
    for _ in trainer.epochs():
        for _ in range(10):
            published.step(0.02)
    final = trainer.finish()
    x, _ = examples()
    size = math.floor(published.n + 0.5)
    published.w3[size:] = 0.0
    assert final.model.layers[1].out_features == size
    assert np.abs(final.model(x)[:, 0].detach().numpy() - published.outputs()).max() < 1e-12


class Masked(NimblePolicy):
    """The same training with all neurons in the tensors at all times, those with shut gates too."""

    def decide(self, snapshot):
        super().decide(snapshot)
        return ()


def mlp():
    return Mlp(MlpShape((1,), (8, 6), 1, "tanh", "batch", 0.0)), examples()


def cnn():
    x = torch.randn(12, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    return Cnn(CnnShape((1, 4, 4), (6, 5), 1, 0.0)), (x, x.mean((2, 3)))


@pytest.mark.parametrize("build", [mlp, cnn])
@pytest.mark.parametrize("changes", [{}, {"size_unit": "share", "sharing": "all", "gate_width": 1.5}])
def test_growth_and_shrinkage_through_real_tensors_equal_the_masked_network(training_settings, build, changes):
    growth = replace(PUBLISHED, start_share=1.0, size_coefficient=2.0, column_scale=0.3, **changes)
    trainers = []
    for policy in (NimblePolicy(growth), Masked(growth)):
        torch.manual_seed(6)
        trainers.append(trainer_of(training_settings, *build(), policy))
    sizes = []
    for records in zip(*(trainer.epochs() for trainer in trainers), strict=True):
        sizes.append([group.size for group in trainers[0].units.groups])
        share = 0.3 if records[0].epoch < 12 else 1.0
        for trainer in trainers:
            policy = trainer.policy
            policy._target.copy_(torch.tensor(policy._map.from_share(share), dtype=torch.float64))
    grown, masked = trainers
    for found, expected in zip(grown.policy.trained(), masked.policy.trained(), strict=True):
        assert torch.allclose(found, expected, rtol=0, atol=1e-11)
    grown._reserve.store(grown.model, grown.units, grown._reserve.groups)
    weights = dict(masked.model.named_parameters())
    compared = {name: tensor for name, tensor in grown._reserve.state_dict().items() if name in weights}
    assert len(compared) >= 7
    assert all(torch.allclose(tensor, weights[name], rtol=0, atol=1e-11) for name, tensor in compared.items())
    assert min(sizes) < sizes[-1]
