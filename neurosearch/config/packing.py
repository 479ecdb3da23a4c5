"""What trials must have in common to take their steps together, and whether those of a space have.

Whether a pack saves anything is another question, which `search.packing: auto` answers by measuring.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from neurosearch.config.base import Problem, dotted
from neurosearch.config.corners import corners
from neurosearch.config.growth import NimbleFields
from neurosearch.config.losses import LdamFields
from neurosearch.config.model import CnnFields, MlpFields, ResnetCifarFields
from neurosearch.config.search import SearchFields
from neurosearch.config.search_nodes import Template
from neurosearch.config.trial import TrialConfig

_PACKED = MlpFields | CnnFields | ResnetCifarFields


def refusal(config: TrialConfig) -> tuple[str, str] | None:
    """Returns which field keeps a trial out of every pack, and why; None if nothing does."""
    model, training, growth = config.model, config.training, config.growth
    is_mlp = isinstance(model, MlpFields)
    found = {
        "model.kind": not isinstance(model, _PACKED) and "only mlp, cnn and resnet_cifar take their steps together",
        "model.dropout": isinstance(model, CnnFields)
        and model.dropout > 0
        and "of networks with dropout only mlp does",
        "growth.kind": isinstance(growth, NimbleFields) and not is_mlp and "with trained sizes only mlp does",
        "training.channels_last": training.channels_last and not is_mlp and "a pack has a memory order of its own",
        "training.loss": isinstance(training.loss, LdamFields) and "ldam has a last layer of its own",
        "training.decorrelation": training.decorrelation > 0 and "it watches the layers of every step",
        "training.zap_period_epochs": training.zap_period_epochs > 0 and "the class head is drawn anew in between",
        "training.bf16": training.bf16 and "a pack computes in float32",
        "growth.control": isinstance(growth, NimbleFields)
        and growth.control == "as_published"
        and "as_published is one gain for a whole layer",
    }
    return next(((field, why) for field, why in found.items() if why), None)


def shared(config: TrialConfig) -> dict[str, Any]:
    """Returns what all trials of a pack have in common, by field."""
    training, model = config.training, config.model
    of_model: dict[str, Any] = {"model": model.model_dump(mode="json")}
    if isinstance(model, MlpFields):
        of_model = {"model.kind": model.kind, "model.widths": f"{len(model.widths)} hidden layers"}
    return {
        **of_model,
        "training.batch_size": training.batch_size,
        "training.optimizer": training.optimizer,
        "training.loss": training.loss.model_dump(mode="json"),
        "training.mixing": training.mixing.model_dump(mode="json"),
        "training.compile": training.compile,
        "data": config.data.model_dump(mode="json"),
    }


def pack_key(config: TrialConfig) -> str | None:
    """Returns what is the same for all trials that can take their steps together; None for one that cannot."""
    if refusal(config) is not None:
        return None
    return hashlib.sha256(json.dumps(shared(config), sort_keys=True).encode()).hexdigest()[:16]


def packing_problems(search: SearchFields, template: Template) -> Iterator[Problem]:
    """Yields that trials of this space cannot be packed as they are forced to be; the trials at its ends are valid."""
    if not isinstance(search.packing, int):
        return
    why = _why_not(search, [TrialConfig.model_validate({**corner.sections, "seed": 0}) for corner in corners(template)])
    if why is not None:
        path = ("search", "packing")
        text = (
            f"is {search.packing}, but not all trials of this space can take their steps together: {why}. Write "
            "packing: auto, which packs those that can where it is faster, or make the field the same in all trials."
        )
        yield Problem(template.source.place(path), dotted(path), text)


def _why_not(search: SearchFields, configs: Sequence[TrialConfig]) -> str | None:
    if search.gpus_per_trial != "auto" and search.gpus_per_trial > 1:
        return f"search.gpus_per_trial is {search.gpus_per_trial:g}, and a trial on several GPUs has no place in a pack"
    for config in configs:
        refused = refusal(config)
        if refused is not None:
            return f"{refused[0]} keeps trials from it: {refused[1]}"
    first = shared(configs[0])
    for config in configs[1:]:
        for field, value in shared(config).items():
            if value != first.get(field):
                if field not in first:
                    return "model.kind differs"
                return f"{field} differs, {_shown(first[field])} in one trial and {_shown(value)} in another"
    return None


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
