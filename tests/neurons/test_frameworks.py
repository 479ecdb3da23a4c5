"""Surgery together with what PyTorch builds around a model: compilation, export, distributed training."""

import os
import socket

import pytest
import torch
import torch.multiprocessing
from torch import nn

from neurosearch.neurons import Plan, SurgeryError, apply_plan, find_units, grow, prune, same_on_all_ranks


def full_cycle(model, inputs, optimizer=None):
    """Grow every group that can, and prune as many old units."""
    units = find_units(model, (inputs,))
    counts = {}
    for group in units.groups:
        try:
            grow(units, {group.name: 2})
        except SurgeryError:
            continue
        counts[group.name] = 2
    units = apply_plan(grow(units, counts), model, optimizer)
    return apply_plan(prune(units, {name: [0, 1] for name in counts}), model, optimizer)


@pytest.mark.parametrize("name", ["mlp", "residual", "depthwise", "transformer"])
def test_the_exported_network_equals_the_eager_one(cases, name):
    model, inputs = cases[name].model().eval(), cases[name].inputs()
    full_cycle(model, inputs)
    exported = torch.export.export(model, (inputs,))
    assert torch.allclose(exported.module()(inputs), model(inputs), atol=1e-12)
    assert all(type(parameter) is nn.Parameter for parameter in model.parameters())


def test_onnx_gives_what_the_eager_network_gives(cases, tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    model, inputs = cases["cnn_pool"].model().eval(), cases["cnn_pool"].inputs()
    full_cycle(model, inputs)
    model, inputs = model.float(), inputs.float()
    torch.onnx.export(model, (inputs,), tmp_path / "model.onnx", dynamo=True, verbose=False)
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    (outputs,) = session.run(None, {session.get_inputs()[0].name: inputs.numpy()})
    assert torch.allclose(torch.from_numpy(outputs), model(inputs), atol=1e-5)


def test_a_compiled_model_is_compiled_anew_after_every_event(cases):
    model, inputs = cases["mlp"].model(), cases["mlp"].inputs()
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(model, backend=backend)
    units = find_units(compiled, (inputs,))
    for event in range(10):  # more than torch.compile's limit of recompilations
        assert torch.allclose(compiled(inputs), model(inputs))
        assert len(graphs) == event + 1
        units = apply_plan(grow(units, {"1": 1}), compiled)
    assert model[1].out_features == 16


def test_a_distributed_wrapper_is_refused():
    model = nn.Linear(2, 2)
    wrapper = nn.parallel.DistributedDataParallel.__new__(nn.parallel.DistributedDataParallel)
    nn.Module.__init__(wrapper)
    wrapper.module = model
    with pytest.raises(SurgeryError, match="wrapped in DistributedDataParallel.*Pass `wrapper.module`"):
        find_units(wrapper, (torch.zeros(1, 2),))


def test_two_ranks_stay_equal(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(train_on_rank, (port, str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert first["refused"]
    assert second["refused"]
    for name, value in first["model"].items():
        assert torch.equal(value, second["model"][name]), name
    assert first["model"]["0.weight"].shape == (9, 4)


def train_on_rank(rank, port, folder):
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), GLOO_SOCKET_IFNAME="lo")
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.GELU(), nn.Linear(8, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    inputs = torch.randn(6, 4, generator=torch.Generator().manual_seed(rank))
    units = find_units(model, (inputs,))
    train_steps(model, optimizer, inputs)
    own = grow(units, {"0": 2}, generator=torch.Generator().manual_seed(rank))
    texts = [own.to_json()]
    try:
        same_on_all_ranks(own)
        refused = False
    except SurgeryError:
        refused = True
    torch.distributed.broadcast_object_list(texts, src=0)
    plan = Plan.from_json(texts[0])
    same_on_all_ranks(plan)
    units = apply_plan(plan, model, optimizer)
    train_steps(model, optimizer, inputs)
    units = apply_plan(prune(units, {"0": [1]}), model, optimizer)
    train_steps(model, optimizer, inputs)
    # Running statistics belong to each rank's own batches until the wrapper of the next steps broadcasts them.
    weights = {name: value for name, value in model.state_dict().items() if "running" not in name}
    torch.save({"model": weights, "refused": refused}, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def train_steps(model, optimizer, inputs):
    """Train two steps under a wrapper that lives no longer than they do."""
    wrapper = nn.parallel.DistributedDataParallel(model)
    for _ in range(2):
        optimizer.zero_grad()
        wrapper(inputs).square().sum().backward()
        optimizer.step()
    optimizer.zero_grad()
