from dataclasses import replace
from typing import Any

from neurosearch.cli.model_card import Described, card_text
from neurosearch.data.targets import TargetScaling
from neurosearch.export.card import Card
from neurosearch.search.seams import TrialSummary

CARD = Card(
    format_version=1,
    model={"kind": "mlp", "widths": [8]},
    structure=None,
    class_names=("cat", "dog"),
    layout="HW",
    dtype="uint8",
    raw_shape=(8, 8),
    input_shape=(1, 8, 8),
    scale=16.0,
    resize=None,
    value_range=(0.0, 16.0),
    data_hash="ab" * 32,
)
TRIAL = TrialSummary(
    number=7,
    role="finalist",
    kind="periodic",
    state="finished",
    values=(0.8,),
    per_seed=({},),
    seeds=(3,),
    params={"training.learning_rate": 0.01},
    config={"training": {"epochs": 20}},
    metrics={},
    epochs=20,
    seconds=1.0,
    reason=None,
    run_id="0" * 32,
    started=0.0,
    ended=1.0,
)
NETWORK = Described(
    study="digits",
    trial=TRIAL,
    seed=3,
    epoch=None,
    card=CARD,
    metrics={"accuracy": 0.81, "test/accuracy": 0.79, "parameters": 610.0, "neurons": 8.0, "neurons/body.0": 8.0},
    provenance={"neurosearch.versions": "python 3.12, torch 2.15"},
    largest_difference=2e-7,
)


def card(**changes: Any) -> str:
    return card_text(replace(NETWORK, **changes))


def test_a_card_tells_what_goes_in_what_comes_out_and_how_good_it_is() -> None:
    text = card()
    assert text.startswith("# digits: the network of trial 7\n")
    for words in (
        "A fixed-size `mlp` network, a finalist with growth `periodic`.",
        "Output: `logits` of 2 classes, in this order: cat, dog.",
        "Input: a batch of raw examples of shape 8 x 8, uint8, layout HW",
        "Size: 610 parameters, 8 neurons.",
        "Final widths: body.0 8.",
        "| accuracy | 0.8100 | 0.7900 |",
        "Study digits, trial 7, seed 3, 20 epochs.",
        "training.learning_rate: 0.01",
        f"sha256 {'ab' * 32}",
        "versions: python 3.12, torch 2.15",
        'mlflow.pyfunc.load_model("models:/digits@best")',
    ):
        assert words in text


def test_a_card_says_what_was_not_measured() -> None:
    unread = {name: value for name, value in NETWORK.metrics.items() if not name.startswith("test/")}
    assert "The test part was not read for this network." in card(metrics=unread)
    assert "The test part was not read" not in card()
    assert "ended after epoch 5." in card(epoch=5)


def test_a_card_of_quantities_names_them_in_their_units() -> None:
    scaling = TargetScaling(("weight", "height"), (0.0, 0.0), (1.0, 1.0))
    text = card(card=replace(CARD, class_names=(), targets=scaling))
    assert "Output: `values`, quantities in the units of the data: weight, height." in text
    assert '["values"]' in text


def test_the_facts_of_a_network_hold_its_widths_and_origin() -> None:
    facts = NETWORK.facts()
    assert facts["widths"] == {"body.0": 8}
    assert (facts["study"], facts["trial"], facts["seed"]) == ("digits", 7, 3)
    assert facts["provenance"] == NETWORK.provenance
