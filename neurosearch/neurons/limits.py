"""What PyTorch's own modules demand of their widths beyond what a trace sees."""

from collections.abc import Mapping

from torch import nn

from neurosearch.neurons.labels import LabelGraph, Labels
from neurosearch.neurons.tracer import describe

TIED_HEADS = (
    "computes the width of its heads from that of its input, so neither changes; heads can go where code reshapes its "
    "projections to (..., -1, head_dim)"
)
PROJECTED = "is taken for one without projection where proj_size equals hidden_size, so its proj_size stays"


def limit(graph: LabelGraph, name: str, module: nn.Module, dims: Mapping[str, tuple[Labels, ...]]) -> None:
    """Freeze what a module cannot change, and say how small the rest may become.

    Args:
        graph: Where this is noted.
        name: Name of the module.
        module: The module.
        dims: Labels of every tensor of the model, by name.
    """
    prefix = f"{name}." if name else ""
    if isinstance(module, nn.MultiheadAttention):
        for key, _ in module.named_parameters():
            is_context = key in {"k_proj_weight", "v_proj_weight"}  # keys and values have widths of their own
            labels = dims.get(prefix + key, ())
            for one in labels[:1] if is_context else labels:
                graph.freeze(one, f"{describe(name, module)} {TIED_HEADS}")
    if isinstance(module, nn.LSTM) and module.proj_size:
        for key, _ in module.named_parameters():
            if key.startswith("weight_hr") and prefix + key in dims:
                projected, hidden = dims[prefix + key]
                graph.freeze(projected, f"{describe(name, module)} {PROJECTED}")
                graph.keep_above(hidden, len(projected))
