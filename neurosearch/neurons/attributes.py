"""Numbers that modules keep beside their tensors, such as `out_channels`, made to agree with the tensors' shapes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd


def attributes_of(module: nn.Module) -> dict[str, Any]:
    """Return the attributes that a module's tensors imply, and their values."""
    for kind, read in _READERS.items():
        if isinstance(module, kind):
            return read(module)
    return {}


def refresh(module: nn.Module) -> dict[str, Any]:
    """Set the attributes that a module's tensors imply; return the former values of those that changed."""
    former = {}
    own = vars(module)
    with _in_evaluation(own["_modules"].get("parametrizations")):
        values = attributes_of(module)
    for name, value in values.items():
        if name in own and own[name] != value:
            former[name] = own[name]
            own[name] = value
    return former


@contextmanager
def _in_evaluation(computing: nn.Module | None) -> Iterator[None]:
    """Let what computes a module's tensors draw no random numbers and keep no statistics meanwhile."""
    modes = [] if computing is None else [(module, module.training) for module in computing.modules()]
    for module, _ in modes:
        module.training = False
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _linear(module: nn.Linear) -> dict[str, Any]:
    rows, columns = module.weight.shape
    return {"in_features": columns, "out_features": rows}


def _bilinear(module: nn.Bilinear) -> dict[str, Any]:
    rows, first, second = module.weight.shape
    return {"in1_features": first, "in2_features": second, "out_features": rows}


def _convolution(module: _ConvNd) -> dict[str, Any]:
    rows, columns = module.weight.shape[:2]
    is_transposed = isinstance(module, _ConvTransposeNd)
    inputs, outputs, groups = module.in_channels, module.out_channels, module.groups
    if groups > 1 and groups == inputs:  # depthwise: one group per input channel
        groups = rows if is_transposed else rows // (outputs // inputs)
    if is_transposed:
        return {"in_channels": rows, "out_channels": columns * groups, "groups": groups}
    return {"in_channels": columns * groups, "out_channels": rows, "groups": groups}


def _batch_norm(module: _NormBase) -> dict[str, Any]:
    own = vars(module)
    tensor = own["_parameters"]["weight"] if module.affine else own["_buffers"]["running_mean"]
    return {} if tensor is None else {"num_features": tensor.shape[0]}


def _layer_norm(module: nn.LayerNorm | nn.RMSNorm) -> dict[str, Any]:
    return {"normalized_shape": tuple(module.weight.shape)} if module.elementwise_affine else {}


def _group_norm(module: nn.GroupNorm) -> dict[str, Any]:
    if not module.affine:
        return {}
    channels = module.weight.shape[0]
    groups = channels if 1 < module.num_groups == module.num_channels else module.num_groups
    return {"num_channels": channels, "num_groups": groups}


def _embedding(module: nn.Embedding) -> dict[str, Any]:
    return {"num_embeddings": module.weight.shape[0], "embedding_dim": module.weight.shape[1]}


def _prelu(module: nn.PReLU) -> dict[str, Any]:
    return {"num_parameters": module.weight.shape[0]}


def _recurrent(module: nn.RNNBase) -> dict[str, Any]:
    tensors = dict(module.named_parameters(recurse=False))
    rows, columns = tensors["weight_ih_l0"].shape
    found = {"input_size": columns, "hidden_size": rows // _GATES[module.mode]}
    if module.proj_size:
        found["proj_size"] = tensors["weight_hr_l0"].shape[0]
    return found


def _cell(module: nn.RNNCellBase) -> dict[str, Any]:
    return {"input_size": module.weight_ih.shape[1], "hidden_size": module.weight_hh.shape[1]}


def _attention(module: nn.MultiheadAttention) -> dict[str, Any]:
    key, value = (vars(module)["_parameters"][name] for name in ("k_proj_weight", "v_proj_weight"))
    return {} if key is None else {"kdim": key.shape[1], "vdim": value.shape[1]}


_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}
_READERS: dict[type[nn.Module] | tuple[type[nn.Module], ...], Callable[[Any], dict[str, Any]]] = {
    nn.Linear: _linear,
    nn.Bilinear: _bilinear,
    _ConvNd: _convolution,
    _NormBase: _batch_norm,
    (nn.LayerNorm, nn.RMSNorm): _layer_norm,
    nn.GroupNorm: _group_norm,
    nn.Embedding: _embedding,
    nn.PReLU: _prelu,
    nn.RNNBase: _recurrent,
    nn.RNNCellBase: _cell,
    nn.MultiheadAttention: _attention,
}
