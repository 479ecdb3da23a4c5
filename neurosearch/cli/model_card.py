"""The card of a network that is registered: what it is, how good, how it was made, how to use it. Pure functions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from neurosearch import names
from neurosearch.export.card import Card
from neurosearch.numbers import number
from neurosearch.search.seams import TrialSummary
from neurosearch.search.words import role_words

_SCORES = (*names.OBJECTIVES, names.CALIBRATION_ERROR)


@dataclass(frozen=True)
class Described:
    """A network to be described.

    Attributes:
        study: Name of the study.
        trial: The trial that it is of.
        seed: What it was trained on.
        epoch: The epoch after which its training ended early; None for the whole training.
        card: What the exported files say of themselves.
        metrics: Its own metrics on the validation part; under `test/` those on the test part, where that was read.
        provenance: Versions and commit, by the tag's name.
        largest_difference: By how much the outputs of the exported files differ from the network's.
    """

    study: str
    trial: TrialSummary
    seed: int
    epoch: int | None
    card: Card
    metrics: Mapping[str, float]
    provenance: Mapping[str, str]
    largest_difference: float

    @property
    def widths(self) -> dict[str, int]:
        """Final widths of the hidden groups, by their names."""
        return {
            name.removeprefix(names.NEURONS_PREFIX): round(value)
            for name, value in self.metrics.items()
            if name.startswith(names.NEURONS_PREFIX)
        }

    def facts(self) -> dict[str, Any]:
        """Returns plain values that the model's own file keeps."""
        return {
            "study": self.study,
            "trial": self.trial.number,
            "role": self.trial.role,
            "growth": self.trial.kind,
            "seed": self.seed,
            "epoch": self.epoch,
            "widths": self.widths,
            "hyperparameters": dict(self.trial.params),
            "data_hash": self.card.data_hash,
            "provenance": dict(self.provenance),
        }


def card_text(network: Described) -> str:
    """Returns the card in Markdown."""
    return "\n".join(_lines(network))


def _lines(network: Described) -> Iterator[str]:
    card, trial = network.card, network.trial
    yield f"# {network.study}: the network of trial {trial.number}\n"
    yield f"A fixed-size `{card.model['kind']}` network, {role_words(trial.role)} with growth `{trial.kind}`.\n"
    yield from _outputs(card)
    yield (
        f"- Input: a batch of raw examples of shape {_shape(card.raw_shape)}, {card.dtype}, layout {card.layout}; "
        "scaling, resizing and normalisation are inside."
    )
    yield f"- Size: {', '.join(_sizes(network.metrics))}."
    widths = ", ".join(f"{name} {width}" for name, width in network.widths.items())
    yield f"- Final widths: {widths or 'no hidden layer'}."
    yield (
        "- The pt2, ONNX and safetensors files were loaded back and gave the network's own predictions; the largest "
        f"difference of an output was {network.largest_difference:.1g}.\n"
    )
    yield "## Scores\n"
    yield from _scores(network.metrics)
    yield "\n## Where it comes from\n"
    yield from _origin(network)
    yield "\n## How to use it\n"
    yield from _use(network)


def _outputs(card: Card) -> Iterator[str]:
    if card.targets is None:
        shown = ", ".join(card.class_names[:20]) + (", ..." if len(card.class_names) > 20 else "")
        yield f"- Output: `logits` of {len(card.class_names)} classes, in this order: {shown}."
    else:
        yield f"- Output: `values`, quantities in the units of the data: {', '.join(card.targets.names)}."


def _sizes(metrics: Mapping[str, float]) -> Iterator[str]:
    for name in names.SIZES:
        if name in metrics:
            yield f"{metrics[name]:,.0f} {name.replace('_', ' ')}"


def _scores(metrics: Mapping[str, float]) -> Iterator[str]:
    told = [name for name in dict.fromkeys(_SCORES) if name in metrics and name not in names.SIZES]
    yield "| metric | validation | test |"
    yield "|---|---|---|"
    for name in told:
        values = (number(name, metrics.get(f"{prefix}{name}")) for prefix in ("", names.TEST_PREFIX))
        yield f"| {name} | {' | '.join(values)} |"
    if not any(name.startswith(names.TEST_PREFIX) for name in metrics):
        yield "\nThe test part was not read for this network."
    yield (
        "\nThe validation part chose this network, so its scores are a little too good. Both parts come from the same "
        "source as the training data: how well it does elsewhere was not measured."
    )


def _origin(network: Described) -> Iterator[str]:
    trial = network.trial
    epochs = trial.config["training"]["epochs"]
    early = "" if network.epoch is None else f", ended after epoch {network.epoch}"
    yield f"- Study {network.study}, trial {trial.number}, seed {network.seed}, {epochs} epochs{early}."
    for name, value in trial.params.items():
        yield f"- {name}: {value}"
    yield f"- Data: sha256 {network.card.data_hash}"
    for name, text in network.provenance.items():
        yield f"- {name.rpartition('.')[2].replace('_', ' ')}: {text}"


def _use(network: Described) -> Iterator[str]:
    yield "```python"
    yield "import mlflow"
    yield ""
    yield f'network = mlflow.pyfunc.load_model("models:/{network.study}@best")'
    yield f'network.predict(raw_examples)["{network.card.output_name}"]'
    yield "```"


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
