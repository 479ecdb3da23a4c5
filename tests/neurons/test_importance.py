from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from neurosearch.neurons import KINDS, SurgeryError, find_units, gated_parameters, importance

UNSEEN = {"rnn", "encode"}  # what uses these units does so inside fused operations, or transposed


def batches_of(case, num_batches=2):
    generator = torch.Generator().manual_seed(7)
    return [(case.inputs(5, seed), torch.randint(3, (5,), generator=generator)) for seed in range(num_batches)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_group_gets_one_finite_score_per_unit_and_nothing_changes(case, snapshot, same, kind):
    model = case.model().train()
    units = find_units(model, (case.inputs(),))
    if kind == "activation" and any(group.name in UNSEEN for group in units.groups):
        return  # see the next test
    before = snapshot(model)
    scores = importance(model, units, batches_of(case), kind=kind, class_counts=[5, 3, 2])
    assert {name: len(score) for name, score in scores.items()} == {group.name: group.size for group in units.groups}
    assert all(torch.isfinite(score).all() and (score >= 0).all() for score in scores.values())
    same(snapshot(model), before)


@pytest.mark.parametrize(("kind", "num_passes"), [("l2", 0), ("random", 0), *((kind, 2) for kind in KINDS[1:-1])])
def test_all_groups_are_scored_by_one_pass_over_each_batch(cases, kind, num_passes):
    model, passes = cases["residual"].model(), []
    units = find_units(model, (cases["residual"].inputs(),))
    model.register_forward_hook(lambda *_: passes.append("forward"))
    model.stem[0].weight.register_hook(lambda _gradient: passes.append("backward"))
    importance(model, units, batches_of(cases["residual"]), kind=kind, class_counts=[5, 3, 2])
    assert passes.count("forward") == num_passes
    assert passes.count("backward") <= num_passes


def test_a_device_is_waited_for_once_for_each_batch_and_each_group(cases, monkeypatch):
    model, asked = cases["residual"].model(), Counter()
    units = find_units(model, (cases["residual"].inputs(),))
    assert len(units.groups) > 1

    def counting(owner, name):
        function = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *args, **words: asked.update([name]) or function(*args, **words))

    counting(torch, "unique")
    counting(torch.Tensor, "cpu")
    importance(model, units, batches_of(cases["residual"]), kind="class_balanced_taylor", class_counts=[5, 3, 2])
    assert asked == {"unique": 2, "cpu": 2 * len(units.groups)}  # the means of all classes, and the scores


@pytest.mark.parametrize(
    ("name", "group", "users"),
    [
        ("rnn", "first", r"rnn\.weight_ih_l0"),
        ("lstm_bidirectional", "first", r"rnn\.weight_ih_l0, rnn\.weight_ih_l0_reverse"),
        ("tied", "encode", r"encode\.weight"),
    ],
)
def test_activations_that_cannot_be_seen_are_refused_by_name(cases, snapshot, same, name, group, users):
    model = cases[name].model()
    units = find_units(model, (cases[name].inputs(),))
    before = snapshot(model)
    with pytest.raises(SurgeryError, match=rf"group {group}: its activations .*\({users}\).*Choose .* such as taylor"):
        importance(model, units, batches_of(cases[name]), kind="activation")
    same(snapshot(model), before)


def test_l2_is_the_norm_of_a_whole_unit(cases):
    model = cases["mlp"].model()
    units = find_units(model, (cases["mlp"].inputs(),))
    squares = [
        model[1].weight.square().sum(1),
        model[1].bias.square(),
        model[2].weight.square(),
        model[2].bias.square(),
        model[4].weight.square().sum(0),
    ]
    assert torch.allclose(importance(model, units, (), kind="l2")["1"], sum(squares).sqrt())


def test_taylor_sums_squares_of_weight_times_gradient(cases):
    case = cases["mlp_relu"]
    model = case.model()
    units = find_units(model, (case.inputs(),))
    (batch,) = batches_of(case, 1)
    scores = importance(model, units, [batch], kind="taylor")
    F.cross_entropy(model(batch[0]), batch[1]).backward()
    products = [(p * p.grad).square() for p in (model[1].weight, model[1].bias, model[3].weight)]
    assert torch.allclose(scores["1"], products[0].sum(1) + products[1] + products[2].sum(0))


def test_class_balanced_taylor_is_the_gradient_of_a_gate_averaged_over_classes(case):
    model = case.model().eval()
    units = find_units(model, (case.inputs(),))
    batches = batches_of(case, 1)
    scores = importance(model, units, batches, kind="class_balanced_taylor", class_counts=[5, 3, 2])
    inputs, targets = batches[0]
    for group in units.groups:
        rows = []
        for label in targets.unique():
            gate = torch.ones(group.size, dtype=torch.float64, requires_grad=True)
            gated = gated_parameters(model, units, {group.name: gate})
            outputs = functional_call(model, gated, (inputs[targets == label],))
            row = torch.autograd.grad(F.cross_entropy(outputs, targets[targets == label]), gate)[0].abs()
            rows.append(row / row.mean())
        assert torch.allclose(scores[group.name], torch.stack(rows).mean(0)), group.name


class Twice(nn.Module):
    """A weight that a layer uses, and that is used once more in another way."""

    def __init__(self, again):
        super().__init__()
        self.first, self.head, self.again = nn.Linear(4, 6), nn.Linear(6, 3), again

    def forward(self, x):
        return self.head(self.first(x)) + self.again(torch.tanh(self.first(x)), self.head.weight)


def grouped_upwards():
    return nn.Sequential(
        *(nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 8, 1), nn.Tanh(), nn.ConvTranspose2d(8, 4, 2, groups=2), nn.Tanh()),
        *(nn.Flatten(), nn.Linear(36, 3)),
    )


@pytest.mark.parametrize(
    "build",
    [
        lambda: Twice(lambda hidden, weight: hidden @ weight.t()),
        lambda: Twice(lambda hidden, weight: F.linear(hidden, weight=weight)),
        grouped_upwards,
    ],
)
def test_every_use_of_a_weight_counts_once(build):
    model, inputs = build().double().eval(), torch.randn(6, 4, dtype=torch.float64)
    targets = torch.tensor([0, 1, 2, 0, 1, 2])
    units = find_units(model, (inputs,))
    scores = importance(model, units, [(inputs, targets)], kind="class_balanced_taylor")
    for group in units.groups:
        gate = torch.ones(group.size, dtype=torch.float64, requires_grad=True)
        rows = []
        for label in range(3):
            chosen = targets == label
            gated = gated_parameters(model, units, {group.name: gate})
            loss = F.cross_entropy(functional_call(model, gated, (inputs[chosen],)), targets[chosen])
            rows.append(torch.autograd.grad(loss, gate)[0].abs())
        means = torch.stack(rows)
        expected = (means / means.mean(1, keepdim=True)).mean(0)
        assert torch.allclose(scores[group.name], expected, rtol=1e-10)


def test_activation_is_relative_to_the_group(cases):
    case = cases["mlp_relu"]
    model = case.model()
    units = find_units(model, (case.inputs(),))
    with torch.no_grad():
        model[1].weight[0] = 0
        model[1].bias[0] = -1
    scores = importance(model, units, batches_of(case), kind="activation")
    hidden = torch.cat([torch.relu(model[1](inputs.flatten(1))) for inputs, _ in batches_of(case)]).mean(0)
    assert scores["1"][0] == 0
    assert torch.allclose(scores["1"], hidden / hidden.mean())


def test_random_scores_follow_the_generator(cases):
    model = cases["mlp"].model()
    units = find_units(model, (cases["mlp"].inputs(),))
    generators = [torch.Generator().manual_seed(seed) for seed in (1, 1, 2)]
    first, second, third = (importance(model, units, (), kind="random", generator=one)["1"] for one in generators)
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


@pytest.mark.parametrize(
    ("batches", "kind", "message"),
    [
        ((), "magnitude", "'magnitude' is unknown. Choose one of l2"),
        ((), "taylor", "'taylor' was given no batch"),
        (
            [(torch.ones(2, 6).double(), torch.tensor([0, 5]))],
            "class_balanced_taylor",
            "go from 0 to 5, with 3 classes",
        ),
        ([(torch.ones(2, 6).double(), torch.ones(2, 3))], "class_balanced_taylor", "are no class numbers"),
    ],
)
def test_what_cannot_be_scored_is_refused(cases, batches, kind, message):
    model = cases["mlp"].model()
    units = find_units(model, (cases["mlp"].inputs(),))
    with pytest.raises(SurgeryError, match=message):
        importance(model, units, batches, kind=kind, class_counts=[5, 3, 2])


@pytest.mark.parametrize("kind", ["l2", "taylor", "gradient"])
def test_small_numbers_of_half_precision_have_scores(kind):
    model = torch.nn.Sequential(torch.nn.Linear(64, 8), torch.nn.Linear(8, 3)).half()
    with torch.no_grad():
        model[0].weight.fill_(2e-5)
        model[0].bias.zero_()
        model[1].weight.mul_(2e-5 if kind == "l2" else 1e-2)
    units = find_units(model, (torch.zeros(2, 64).half(),))
    batches = [(torch.randn(4, 64).half() / 10, torch.tensor([0, 1, 2, 0]))]
    scores = importance(model, units, batches, kind=kind)["0"]
    twin = importance(model.float(), units, [(batches[0][0].float(), batches[0][1])], kind=kind)["0"]
    assert (scores > 0).all()
    assert torch.allclose(scores.float(), twin, rtol=0.05)


def test_scores_of_complex_weights_are_real_and_first_order_in_a_gate_on_the_unit():
    torch.manual_seed(0)
    first, second = (torch.nn.Linear(*sizes, dtype=torch.complex128) for sizes in ((4, 5), (5, 3)))
    model = torch.nn.Sequential(first, torch.nn.Tanh(), second)
    inputs, targets = torch.randn(6, 4, dtype=torch.complex128), torch.zeros(6, dtype=torch.long)
    units = find_units(model, (inputs,))

    def loss(outputs, targets):
        return outputs.abs().square().sum(1).mean()

    expected = (model[0].weight.abs().square().sum(1) + model[0].bias.abs().square()).sqrt()
    l2 = importance(model, units, (), kind="l2")["0"]
    outgoing = model[2].weight.abs().square().sum(0)
    assert torch.allclose(l2.square(), expected.square() + outgoing)
    scores = importance(model, units, [(inputs, targets)], kind="class_balanced_taylor", loss=loss)["0"]
    gate = torch.ones(5, dtype=torch.float64, requires_grad=True)
    weight = gated_parameters(model, units, {"0": gate.to(torch.complex128)})
    (slope,) = torch.autograd.grad(loss(functional_call(model, weight, (inputs,)), targets), gate)
    assert torch.allclose(scores, slope.abs() / slope.abs().mean())


def test_a_look_at_the_shape_of_a_weight_is_no_use_of_it():
    class Looking(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.head = nn.Linear(4, 6), nn.Linear(6, 3)

        def forward(self, x):
            assert self.head.weight.shape[1] == self.head.weight.size(1)
            return self.head(torch.tanh(self.first(x)))

    model, passes, inputs = Looking(), [], torch.randn(6, 4)
    model.register_forward_hook(lambda *_: passes.append("forward"))
    batches = [(inputs, torch.tensor([0, 1, 2, 0, 1, 2]))]
    units = find_units(model, (inputs,))
    passes.clear()
    importance(model, units, batches, kind="class_balanced_taylor")
    assert passes == ["forward"]
