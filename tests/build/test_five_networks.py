"""Every growth kind on the networks that long-tailed images are learned by, two epochs each.

A sixteenth of their neurons will do here; they are pruned to it by our own surgery.
"""

from copy import deepcopy
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from neurosearch import names
from neurosearch.build.trial import training_settings
from neurosearch.config.growth import (
    EventsFields,
    NimbleFields,
    PeriodicFields,
    RecycleFields,
    StaticFields,
    WideThenPruneFields,
)
from neurosearch.config.kinds import kinds
from neurosearch.config.model import ResnetCifarFields, TorchvisionFields, VitFields
from neurosearch.config.training import TrainingFields
from neurosearch.data.batches import ArrayBatches
from neurosearch.data.prepared import Arrays
from neurosearch.neurons import apply_plan, find_units, prune
from neurosearch.training.checkpoint import MemoryCheckpointStore
from neurosearch.training.losses import CrossEntropy
from neurosearch.training.tasks import Classification
from neurosearch.training.trainer import Trainer

CPU = torch.device("cpu")
NETWORKS = {
    "resnet_cifar": ResnetCifarFields(num_blocks=2),
    "resnet18": TorchvisionFields(name="resnet18"),
    "vgg11_bn": TorchvisionFields(name="vgg11_bn"),
    "mobilenet_v2": TorchvisionFields(name="mobilenet_v2"),
    "vit": VitFields(),
}
SHARE = 0.25
KINDS = {
    "static": StaticFields(),
    "periodic": PeriodicFields(
        period_epochs=2, grown_epochs=1, grow_share=SHARE, stop_share=0.5, groups="tail_demand", protected_share=0.25
    ),
    "events": EventsFields.model_validate(
        {"events": [{"epoch": 0, "add_share": SHARE}, {"epoch": 1, "remove_share": SHARE}]}
    ),
    "recycle": RecycleFields(period_epochs=1, threshold=0.9, largest_share=SHARE),
    "wide_then_prune": WideThenPruneFields(grow_share=SHARE, prune_share=0.5),
    "nimble": NimbleFields(start_share=1 - SHARE, target_share=1 - 2 * SHARE, check_steps=1),
}
TRAINING = TrainingFields(epochs=2, optimizer="sgd", momentum=0.0, learning_rate=1e-3, importance_examples=1)


class NoStore(MemoryCheckpointStore):
    """Keeps nothing, because nothing is gone on with here."""

    def save(self, epoch: int, payload: dict[str, Any]) -> None:
        pass


@cache
def network(name: str) -> nn.Module:
    fields = NETWORKS[name]
    torch.manual_seed(0)
    model: nn.Module = kinds("models")[fields.kind].build(fields, (3, 32, 32), 3)
    units = find_units(model, (torch.zeros(2, 3, 32, 32),))
    keeps = {group.name: max(2, group.size // 16) for group in units.groups}
    apply_plan(prune(units, {group.name: range(keeps[group.name], group.size) for group in units.groups}), model)
    return model


def trainer(name: str, growth: str) -> Trainer:
    generator = np.random.default_rng(0)
    arrays = Arrays(generator.normal(size=(4, 3, 32, 32)).astype(np.float32), np.array([0, 0, 1, 2]))
    batches = ArrayBatches(arrays, arrays, 4, 0, CPU, 3)
    fields: Any = KINDS[growth]
    return Trainer(
        settings=training_settings(TRAINING, seed=0),
        model=deepcopy(network(name)),
        batches=batches,
        task=Classification(CrossEntropy("cross_entropy", None), batches.class_counts, ["a", "b", "c"]),
        policy=kinds("growth")[fields.kind].build(fields),
        checkpoints=NoStore(),
        device=CPU,
        example_inputs=(torch.zeros(2, 3, 32, 32),),
    )


@pytest.mark.parametrize("growth", KINDS)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_trained_with_every_growth_kind(name: str, growth: str) -> None:
    training = trainer(name, growth)
    base = {group.name: group.size for group in training.units.groups}
    for record in training.epochs():
        assert record.metrics[names.NEURONS] > 0
    final = training.finish()
    assert all(torch.isfinite(parameter).all() for parameter in final.model.parameters())
    sizes = {group.name: group.size for group in final.units.groups}
    assert final.record.metrics[names.BASE_STRUCTURE] == float(sizes == base)
    if growth == "static":
        assert training.events == []
        return
    assert {event.group for event in training.events} <= set(base)
    assert sum(event.added + event.removed for event in training.events) > 0
    if growth != "nimble":
        assert sizes == base
        assert sum(event.added for event in training.events) == sum(event.removed for event in training.events)
