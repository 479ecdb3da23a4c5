from contextlib import contextmanager

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from neurosearch.training.losses import CrossEntropy, class_balanced_weights
from neurosearch.training.mixing import MixedTask, Mixup, Remix
from neurosearch.training.tasks import Classification, Regression
from tests.simulated_gpu import WAITING


class Waited(Exception):
    pass


class NeverWait(TorchDispatchMode):
    """Refuses what would wait; indexing by a mask asks for its `nonzero` inside, so it is looked at here."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function._schema.name.removeprefix("aten::")
        by_mask = name.startswith("index") and any(
            isinstance(each, torch.Tensor) and each.dtype in (torch.bool, torch.uint8)
            for each in (args[1] if len(args) > 1 and isinstance(args[1], list | tuple) else ())
        )
        if name in WAITING or by_mask:
            raise Waited(name)
        return function(*args, **(kwargs or {}))


@contextmanager
def never_waiting(device):
    """On a GPU its driver tells; on the CPU the operations do, but for `Tensor.tolist`, which is none."""
    if device.type == "cuda":
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")
        return

    def refuse(tensor):
        raise Waited("tolist")

    with pytest.MonkeyPatch.context() as patch, NeverWait():
        patch.setattr(torch.Tensor, "tolist", refuse)
        yield


DEVICES = [
    pytest.param(torch.device("cpu"), id="cpu"),
    pytest.param(torch.device("cuda"), id="gpu", marks=pytest.mark.gpu),
]


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x.sum() > 0),
        lambda x: float(x[0]),
        lambda x: x.tolist(),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
    ],
    ids=["item", "bool", "float", "tolist", "mask", "nonzero"],
)
@pytest.mark.parametrize("device", DEVICES)
def test_the_guard_sees_what_waits(device, wait):
    x = torch.ones(3, device=device)
    with pytest.raises((Waited, RuntimeError)), never_waiting(device):
        wait(x)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"policy": "periodic"},
        {"policy": "recycle"},
        {"policy": "nimble", "growth": {"check_steps": 1000}},
        {"model": "cnn", "optimizer": "sgd"},
        {"model": "cnn", "channels_last": True},
        {"loss": "class_balanced"},
        {"loss": "balanced_softmax"},
        {"mixing": Mixup(0.4)},
        {"mixing": Remix(0.4, 2.0, 0.5)},
        {"dropout": 0.5},
        {"model": "cnn", "decorrelation": 1.0},
    ],
    ids=lambda changes: ", ".join(f"{name} {value}" for name, value in changes.items()) or "plain",
)
def test_no_step_of_an_epoch_waits_for_the_device(build_trainer, device, changes):
    trainer = build_trainer(device=device, **{"warmup_epochs": 0, **changes})
    trainer.run_steps(trainer.begin_epoch())  # what is made once, the optimizer's state say, is made
    trainer.policy.due = lambda clock: None  # where a policy looks at the network, it must wait
    under_way = trainer.begin_epoch()
    with never_waiting(device):
        sums = trainer.run_steps(under_way)
    assert sums.isfinite().all()


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"amp": True}, marks=pytest.mark.gpu),
        pytest.param({"amp": True, "channels_last": True}, marks=pytest.mark.gpu),
        pytest.param({"compiled": True}, marks=pytest.mark.gpu(simulated=False)),
    ],
)
def test_what_only_a_gpu_has_waits_no_more(build_trainer, changes):
    device = torch.device("cuda")
    trainer = build_trainer(device=device, model="cnn", warmup_epochs=0, **changes)
    trainer.run_steps(trainer.begin_epoch())
    under_way = trainer.begin_epoch()
    with never_waiting(device):
        trainer.run_steps(under_way)


def weighted(mix):
    task = Classification(CrossEntropy("weighted", class_balanced_weights((5, 2), 0.9)), (5, 2), ["a", "b"])
    return MixedTask(task) if mix else task


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("task", "targets"),
    [
        (Classification(CrossEntropy("plain", None), (5, 2), ["a", "b"]), torch.tensor([0, 1, 0])),
        (weighted(mix=False), torch.tensor([0, 1, 0])),
        (weighted(mix=True), torch.tensor([[0.0, 1.0, 0.3]] * 3)),
        (Regression("mse", ["y"], [1.0]), torch.ones(3, 1)),
    ],
    ids=["classes", "weighted", "mixed", "quantities"],
)
def test_what_a_part_of_a_batch_counts_for_is_found_without_waiting(task, targets):
    """Processes that train a network together ask for it at every step."""
    device = torch.device("cuda")
    expected = task.weight(targets).item()
    task.to(device, torch.float32)
    targets = targets.to(device)
    with never_waiting(device):
        weight = task.weight(targets)
    assert weight.item() == pytest.approx(expected)
