import json
from dataclasses import replace

import pytest

from neurosearch.export.card import make_card, read_card


@pytest.fixture
def card(cases):
    data, _, model = cases["cnn-HWC-resized"]
    return make_card(data.manifest, model, {"groups": [1, 2]})


def test_a_card_survives_json(card):
    assert read_card(card.to_json()) == card


def test_the_card_describes_the_same_preprocessing_as_the_manifest(card, cases):
    assert card.spec == cases["cnn-HWC-resized"][0].manifest.spec


def test_another_format_version_is_refused(card):
    with pytest.raises(ValueError, match="format version 7, but this neurosearch reads version 1"):
        read_card(replace(card, format_version=7).to_json())


@pytest.mark.parametrize("text", ["{", "[]", "{}", json.dumps({"format_version": 1, "colour": "red"})])
def test_what_is_no_card_is_refused(text):
    with pytest.raises(ValueError, match="not the card of an exported network"):
        read_card(text)
