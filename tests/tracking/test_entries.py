import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name, _validate_param_name, _validate_tag_name

from neurosearch.search.outcome import TrialOutcome
from neurosearch.tracking import entries


@pytest.mark.parametrize(
    "name", ["accuracy", "recall/7", "neurons/body.0", "recall/cañón de agua", "training.learning_rate"]
)
def test_names_that_mlflow_takes_stay_as_they_are(name):
    assert entries.key(name) == name


@given(st.text(min_size=1, max_size=400))
def test_mlflow_takes_every_name(name):
    made = entries.key(name)
    _validate_metric_name(made)
    _validate_param_name(made)
    _validate_tag_name(made)


@given(st.lists(st.text(alphabet="a/.#+- ", max_size=6), unique=True, min_size=2, max_size=2))
def test_two_names_never_become_one(names):
    assert entries.key(names[0]) != entries.key(names[1])


def test_searched_values_are_texts_as_they_are_and_json_otherwise():
    values = ["static", 0.001, 5, True, [32, 16], None]
    assert [entries.param(value) for value in values] == ["static", "0.001", "5", "true", "[32, 16]", "null"]


def test_long_texts_are_cut_to_what_mlflow_takes():
    assert len(entries.param("x" * 9000)) == 6000
    assert len(entries.tag("x" * 9000)) == 8000


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://ann:hunter2@host:5000/x", "http://***@host:5000/x"),
        ("postgresql://ann:p@ss@host/db failed", "postgresql://***@host/db failed"),
        ("GET https://s3/x?X-Amz-Signature=abc&part=1", "GET https://s3/x?X-Amz-Signature=***&part=1"),
        ("http://host/x?access_token=abc'", "http://host/x?access_token=***'"),
        ("http://host:5000/a@b", "http://host:5000/a@b"),
        ("mail ann@host", "mail ann@host"),
    ],
)
def test_secrets_in_addresses_are_masked(text, shown):
    assert entries.masked(text) == shown


@given(st.text(alphabet=st.characters(exclude_characters="/?# \n", codec="ascii"), min_size=1).filter(str.isprintable))
def test_no_password_survives(password):
    assert not re.search(r"://.*@host", entries.masked(f"http://user:{password}@host/x").replace("://***@host", ""))


def test_a_record_says_its_step_last_and_what_came_and_went():
    events = [{"added": 4, "removed": 0}, {"added": 0, "removed": 3}]
    record = {"epoch": 2, "step": 20, "metrics": {"recall/C#": 0.5}, "events": events}
    assert [*entries.metrics_of_record(record).items()] == [
        (entries.key("recall/C#"), 0.5),
        ("neurons_added", 4.0),
        ("neurons_removed", 3.0),
        ("steps", 20.0),
    ]


def test_the_final_network_has_names_of_its_own():
    metrics = {"accuracy": 0.5, "recall/7": 0.25, "neurons/a": 8.0, "epoch_seconds": 1.0, "test/accuracy": 0.4}
    outcome = TrialOutcome("finished", None, metrics, 3, 1.0, ())
    assert entries.metrics_of_end(outcome) == {"final/accuracy": 0.5, "test/accuracy": 0.4}
