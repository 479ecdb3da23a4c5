"""Rules over several fields: each says which fields clash and how to mend it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from neurosearch.config.growth import NimbleFields, PeriodicFields
from neurosearch.config.kinds import Conflict, Rule
from neurosearch.config.model import ResnetCifarFields

if TYPE_CHECKING:
    from neurosearch.config.trial import TrialConfig


def _warmup_fits(config: "TrialConfig") -> Iterator[Conflict]:
    training = config.training
    if training.warmup_epochs >= training.epochs:
        yield Conflict(
            ("training.warmup_epochs", "training.epochs"),
            f"warmup_epochs is {training.warmup_epochs} but epochs is {training.epochs}, so the full learning rate is "
            "never reached. Lower warmup_epochs or raise epochs.",
        )


def _drops_ascend(config: "TrialConfig") -> Iterator[Conflict]:
    drops = config.training.drops
    if list(drops) != sorted(set(drops)):
        yield Conflict(("training.drops",), f"drops are {list(drops)}; write them ascending and each once.")


def periodic_cycle_fits(config: "TrialConfig") -> Iterator[Conflict]:
    """A cycle's pruning must fall inside its period, and the first one inside the training."""
    growth, epochs = config.growth, config.training.epochs
    assert isinstance(growth, PeriodicFields)
    last = int(growth.stop_share * epochs)
    if growth.grown_epochs >= growth.period_epochs:
        yield Conflict(
            ("growth.grown_epochs", "growth.period_epochs"),
            f"grown_epochs is {growth.grown_epochs} but period_epochs is {growth.period_epochs}, so a cycle would grow "
            "again before it has pruned. Lower grown_epochs or raise period_epochs.",
        )
    if growth.grown_epochs > last:
        yield Conflict(
            ("growth.grown_epochs", "training.epochs"),
            f"grown_epochs is {growth.grown_epochs}, but cycles must be closed by epoch {last} "
            f"(stop_share {growth.stop_share} of epochs {epochs}), so no neuron would ever be added. "
            "Lower grown_epochs, or raise stop_share or epochs.",
        )


def nimble_shares_fit(config: "TrialConfig") -> Iterator[Conflict]:
    """Start and target lie within the largest size allowed."""
    growth = config.growth
    assert isinstance(growth, NimbleFields)
    for name, value in (("target_share", growth.target_share), ("start_share", growth.start_share)):
        if value > growth.maximum_share:
            yield Conflict(
                (f"growth.{name}", "growth.maximum_share"),
                f"{name} is {value} but maximum_share is {growth.maximum_share}. Lower {name} or raise maximum_share.",
            )


def resnet_stages_fit(config: "TrialConfig") -> Iterator[Conflict]:
    """Each stage has an inner width, and no stage is narrower than the one before it."""
    model = config.model
    assert isinstance(model, ResnetCifarFields)
    if len(model.widths) != len(model.inner_widths):
        yield Conflict(
            ("model.inner_widths", "model.widths"),
            f"inner_widths has {len(model.inner_widths)} stages and widths has {len(model.widths)}. Give both as many.",
        )
    if list(model.widths) != sorted(model.widths):
        yield Conflict(
            ("model.widths",),
            f"widths are {list(model.widths)}, but a shortcut can only add channels. Let no stage be narrower than the "
            "one before it.",
        )


#: Rules that hold for every kind; a kind's own rules stand in its `Kind`.
TRAINING_RULES: tuple[Rule, ...] = (_warmup_fits, _drops_ascend)
