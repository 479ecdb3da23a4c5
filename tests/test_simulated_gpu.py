"""The simulated GPU refuses what CUDA refuses; without that, tests that pass on it would say nothing."""

import io

import numpy as np
import pytest
import torch
from torch import nn

from tests.simulated_gpu import is_on_gpu, simulated_gpu

CUDA = torch.device("cuda")


@pytest.fixture
def near():
    """A tensor on the CPU."""
    return torch.arange(3.0)


@pytest.fixture
def far():
    """The same on the simulated GPU, which is there for the test."""
    with simulated_gpu():
        yield torch.arange(3.0, device=CUDA)


MIXED = {
    "add": lambda near, far: near + far,
    "in place": lambda near, far: near.add_(far),
    "a scalar in place": lambda near, far: near.sum().add_(far.sum()),
    "whole and scalar": lambda near, far: near + far.sum(),
    "out": lambda near, far: torch.mul(far, far, out=near),
    "ternary": lambda near, far: torch.lerp(far, far, near),
    "product": lambda near, far: far @ near,
    "cat": lambda near, far: torch.cat([near, far]),
    "stack of scalars": lambda near, far: torch.stack([near.sum(), far.sum()]),
    "index_select": lambda near, far: far.index_select(0, near.long()),
    "gather": lambda near, far: far.gather(0, near.long()),
    "an index of the GPU": lambda near, far: near[far.long()],
    "values for an index": lambda near, far: far.__setitem__(near.long(), near),
    "a layer": lambda near, far: nn.Linear(3, 2)(far),
    "a loss": lambda near, far: nn.functional.cross_entropy(far[None], near[:1].long()),
    "a weight of a loss": lambda near, far: nn.functional.cross_entropy(far[None], far[:1].long(), weight=near),
    "batch norm": lambda near, far: nn.BatchNorm1d(3)(far.expand(2, 3)),
    "vmap": lambda near, far: torch.func.vmap(lambda each: each + near)(far.expand(2, 3)),
    "a gradient": lambda near, far: setattr(nn.Parameter(near), "grad", far),
    "an optimizer": lambda near, far: torch._fused_sgd_(
        [near],
        [far],
        [],
        weight_decay=0,
        momentum=0,
        lr=1,
        dampening=0,
        nesterov=False,
        maximize=False,
        is_first_step=True,
    ),
}


@pytest.mark.parametrize("mix", MIXED.values(), ids=MIXED)
def test_operands_of_both_places_are_refused(near, far, mix):
    with pytest.raises(RuntimeError, match="same device|different device"):
        mix(near, far)


ALLOWED = {
    "a scalar": lambda near, far: far * near.sum(),
    "a number": lambda _, far: 2 * far + 1,
    "a chosen scalar": lambda near, far: torch.where(far > 1, far, near.sum()),
    "an index": lambda near, far: far[near.long()],
    "a mask": lambda near, far: far[near > 1],
    "a value for an index": lambda near, far: far.index_put((near.long(),), near.sum()),
    "to": lambda near, far: near.to(far),
    "a batch": lambda near, far: torch.func.vmap(lambda each: each + torch.ones(3, device=each.device))(
        far.expand(2, 3)
    ),
    "what is made of it": lambda _, far: far.new_zeros(2),
    "what is made like it": lambda _, far: torch.zeros_like(far),
    "what was pinned": lambda near, _: near.pin_memory().to(CUDA, non_blocking=True),
}


@pytest.mark.parametrize("allowed", ALLOWED.values(), ids=ALLOWED)
def test_what_cuda_allows_gives_a_tensor_of_the_gpu(near, far, allowed):
    found = allowed(near, far)
    assert found.device == torch.device("cuda", 0)
    assert found.is_cuda
    assert is_on_gpu(found)


def test_what_comes_back_lies_on_the_cpu(near, far):
    copied = torch.empty(3).copy_(far)
    for each in (far.cpu(), far.to("cpu"), far.to(near), torch.zeros_like(far, device="cpu"), copied):
        assert each.device == torch.device("cpu")
        assert (each + near).shape == (3,)
    near.fill_(7)
    assert far.tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("read", [lambda far: far.numpy(), np.asarray, lambda far: far.detach().numpy()])
def test_its_memory_cannot_be_read(far, read):
    with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy"):
        read(far)


def test_it_cannot_be_pinned_and_multiplies_no_whole_numbers(far):
    with pytest.raises(RuntimeError, match="cannot pin"):
        far.pin_memory()
    with pytest.raises(RuntimeError, match="not implemented"):
        far.long()[None] @ far.long()[:, None]


@pytest.mark.parametrize(
    "draw",
    [
        lambda _, far: far.uniform_(generator=torch.Generator()),
        lambda near, _: near.uniform_(generator=torch.Generator(CUDA)),
        lambda *_: torch.rand(2, generator=torch.Generator(CUDA)),
        lambda *_: torch.rand(2, device=CUDA, generator=torch.Generator()),
    ],
)
def test_a_generator_draws_where_it_is(near, far, draw):
    with pytest.raises(RuntimeError, match="device type for generator"):
        draw(near, far)
    assert torch.rand(2, device=CUDA, generator=torch.Generator(CUDA).manual_seed(1)).is_cuda


def test_the_gpu_draws_from_a_generator_of_its_own(far):
    torch.cuda.manual_seed(1)
    torch.default_generator.manual_seed(1)
    drawn = [torch.rand_like(far).tolist(), torch.rand(3, device=CUDA).tolist()]
    assert [torch.rand(3).tolist(), torch.rand(3).tolist()] == drawn


def test_a_training_goes_there_and_back(far):
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    parameter, expected = model[0].weight, [each.detach().clone() for each in model.state_dict().values()]
    model.to(CUDA)
    assert model[0].weight is parameter
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    places = []
    model[2].register_full_backward_hook(lambda _module, _inputs, slopes: places.append(slopes[0].device))
    nn.functional.cross_entropy(model(far.expand(2, 3)), far[:2].long()).backward()
    optimizer.step()
    assert places == [torch.device("cuda", 0)]
    assert parameter.grad.is_cuda
    assert all(value.is_cuda for value in optimizer.state[parameter].values())
    buffer = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, buffer)
    buffer.seek(0)
    state = torch.load(buffer, map_location="cpu", weights_only=True)
    assert not state["model"]["0.weight"].is_cuda
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    assert parameter.is_cuda
    assert all(value.is_cuda for value in optimizer.state[parameter].values())
    assert any(not torch.equal(old, new) for old, new in zip(expected, state["model"].values(), strict=True))


def test_a_fused_optimizer_refuses_moments_of_another_memory_order(far):
    weight = nn.Parameter(torch.ones(2, 3, 4, 4, device=CUDA).to(memory_format=torch.channels_last))
    optimizer = torch.optim.Adam([weight], fused=True)
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    state = optimizer.state[weight]
    state["exp_avg"] = state["exp_avg"].contiguous()
    with pytest.raises(RuntimeError, match="must have same dtype, device, and layout"):
        optimizer.step()


@pytest.mark.parametrize("is_one_place", [True, False])
def test_a_number_that_is_put_somewhere_waits(far, is_one_place):
    index = far.long()
    torch.cuda.set_sync_debug_mode("error")
    far[:2] = 1.0
    far[1].fill_(2.0)
    far.index_fill_(0, index, 3.0)
    far[index] = far + 1
    with pytest.raises(RuntimeError, match="called a synchronizing CUDA operation"):
        far[2 if is_one_place else index] = 1.0


def test_nothing_is_left_of_it():
    module, generator = torch.cuda.is_available, torch.Generator
    with simulated_gpu():
        assert torch.cuda.is_available()
    assert (torch.cuda.is_available, torch.Generator) == (module, generator)
    assert torch.ones(1).device.type == "cpu"
