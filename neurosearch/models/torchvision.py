"""Any classification network of torchvision by its name, from scratch."""

from contextlib import nullcontext
from difflib import get_close_matches
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode


def build_classifier(name: str, num_outputs: int) -> nn.Module:
    """Build torchvision's network of this name for `num_outputs` classes; its weights come from torch's generator.

    Networks with auxiliary heads (googlenet, inception_v3) are built without them: those only serve a training recipe
    that weighs several losses.

    Raises:
        ValueError: torchvision has no classification network of this name.
    """
    import torchvision  # the one function here that needs it: this room is imported where only torch is

    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        close = get_close_matches(name, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"torchvision has no classification network {name!r}.{hint} It has: {', '.join(known)}.")
    options = {"aux_logits": False} if name in ("googlenet", "inception_v3") else {}
    # init_weights: without the word, the two warn that their slow initialisation will change.
    options |= {"init_weights": True} if options else {}
    with _NumbersOnCpu() if name.startswith("regnet_") else nullcontext():
        model: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=num_outputs, **options)
    return model


def require_readable(network: nn.Module, name: str, input_shape: tuple[int, int, int]) -> None:
    """Check that a network can read images of this size: some want one size alone, and small ones vanish in others.

    The network is run on shapes alone, which costs less than drawing its weights; nothing of it changes.

    Args:
        network: A network of torchvision, freshly built.
        name: Its name.
        input_shape: Of one example, (3, height, width).

    Raises:
        ValueError: It cannot.
    """
    named = (*network.named_parameters(), *network.named_buffers())
    shapes = {each: tensor.to("meta") for each, tensor in named}
    network.eval()  # batch normalisation cannot train on one example
    try:
        with torch.no_grad():
            functional_call(network, shapes, (torch.empty(1, *input_shape, device="meta"),))
    except NotImplementedError:
        return  # an operation that knows no shapes alone: what it reads cannot be told here
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".!")
        raise ValueError(
            f"model.name: {name} cannot read images of {input_shape[1]} x {input_shape[2]} pixels ({reason}). "
            "Set data.resize: [224, 224], which suits all of torchvision's networks, or choose another model."
        ) from error
    finally:
        network.train()


class _NumbersOnCpu(TorchFunctionMode):
    """Makes small tensors with numbers in them on the CPU, whatever device a network is built on.

    RegNets find their widths by such tensors, which have no numbers on the meta device.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = dict(kwargs or {})
        if func in (torch.arange, torch.tensor):
            given.setdefault("device", "cpu")
        return func(*args, **given)
