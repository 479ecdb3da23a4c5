"""Any classification network of torchvision by its name, from scratch."""

from difflib import get_close_matches

from torch import nn


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
    model: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=num_outputs, **options)
    return model
