"""The first config of a study: a commented YAML text made of a few answers, and what must be asked for them."""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic.fields import FieldInfo

from neurosearch.config.base import Fields
from neurosearch.config.data import DataFields
from neurosearch.config.kinds import KindGroup, kinds

_WIDTH = 110
_PLAIN = re.compile(r"(\.{0,2}/)*[A-Za-z_][\w./-]*")
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}  # what YAML does not read as text
_LEAST_PERIOD = 5
_LEAST_PERIODIC_EPOCHS = 10  # for such cycles that end after 0.7 of them

#: What a model begins with, where its fields need more than one plain answer.
_MODELS: Mapping[str, Mapping[str, str]] = {
    "mlp": {"widths": "{search: choice, options: [[16], [32], [64], [32, 16]]}"},
    "cnn": {"widths": "{search: choice, options: [[8, 16], [16, 32], [16, 32, 32]]}"},
    "resnet_cifar": {"inner_widths": "{search: choice, options: [[8, 16, 32], [16, 32, 64]]}"},
}


@dataclass(frozen=True)
class Starter:
    """The answers.

    Attributes:
        name: Name of the study.
        data: Fields of the data section, `kind` first.
        model: Fields of the model section, `kind` first.
        limit: What can be deployed: the metric, such as `parameters`, and the number.
        epochs: Passes over the training part.
        trials: Trials to run.
        schema: Path of the schema for editors, relative to the file.
    """

    name: str
    data: Mapping[str, Any]
    model: Mapping[str, Any]
    limit: tuple[str, int]
    epochs: int
    trials: int
    schema: str


def fields_to_ask(group: KindGroup, kind: str) -> Mapping[str, str]:
    """Returns the fields that a kind must be given, with their descriptions.

    Raises:
        KeyError: There is no such kind.
    """
    known = _MODELS.get(kind, {}) if group == "models" else {}
    return {
        name: field.description or name
        for name, field in kinds(group)[kind].fields.model_fields.items()
        if field.is_required() and name != "kind" and name not in known
    }


def starter_text(starter: Starter) -> str:
    """Writes the config."""
    return "\n".join((*_head(starter), *_sections(starter), *_tail(starter), ""))


def _head(starter: Starter) -> Iterator[str]:
    metric, number = starter.limit
    yield f"# yaml-language-server: $schema={starter.schema}"
    yield "# A study of neurosearch. A field that is commented out shows its default; any value below data, model,"
    yield "# training and growth may be searched: a number by {search: log_uniform, low: 1e-4, high: 1e-1}, a word or a"
    yield "# list by {search: choice, options: [a, b]}, a section by {search: one_of, options: [{kind: static}, ...]}."
    yield f"name: {_value(starter.name)}"
    yield "seed: 0  # of the sampler and of every trial"
    yield "# What you can deploy: parameters, neurons or multiply_adds of one example. Beyond it, nothing is the best."
    yield f"size_limit: {{{metric}: {number}}}"


def _sections(starter: Starter) -> Iterator[str]:
    yield ""
    yield "data:"
    yield from _section(kinds("data")[str(starter.data["kind"])].fields, starter.data, {})
    yield ""
    yield "model:"
    kind = str(starter.model["kind"])
    yield from _section(kinds("models")[kind].fields, starter.model, _MODELS.get(kind, {}))


def _section(fields: type[Fields], given: Mapping[str, Any], texts: Mapping[str, str]) -> Iterator[str]:
    yield f"  kind: {_value(given['kind'])}"
    for name, field in fields.model_fields.items():
        if name == "kind":
            continue
        if name in given or name in texts:
            yield from _comment(field.description or "")
            yield f"  {name}: {_value(given[name]) if name in given else texts[name]}"
    for name in given.keys() - fields.model_fields.keys():  # wrong, as the check of the text will tell
        yield f"  {name}: {_value(given[name])}"
    for name, field in fields.model_fields.items():
        if not (name == "kind" or name in given or name in texts):
            yield from _commented_out(name, field)


def _commented_out(name: str, field: FieldInfo) -> Iterator[str]:
    default = field.get_default(call_default_factory=True, validated_data={})
    text = f"{name}: {_value(default.model_dump(mode='json') if isinstance(default, Fields) else default)}"
    yield from _comment(f"{text}  # {field.description}" if field.description else text)


def _comment(text: str) -> Iterator[str]:
    if text:
        yield from textwrap.wrap(
            text, _WIDTH, initial_indent="  # ", subsequent_indent="  #     ", break_on_hyphens=False
        )


def _tail(starter: Starter) -> Iterator[str]:
    regression = _task(starter) == "regression"
    losses = "[mse, huber]" if regression else "[cross_entropy, class_balanced, balanced_softmax]"
    objective = (
        "{metric: rmse, direction: minimize}" if regression else "{metric: balanced_accuracy, direction: maximize}"
    )
    yield from (
        "",
        "training:",
        f"  epochs: {starter.epochs}",
        "  batch_size: 64",
        "  optimizer: adamw  # or sgd, adam",
        "  learning_rate: {search: log_uniform, low: 1e-4, high: 3e-2}",
        "  weight_decay: {search: log_uniform, low: 1e-5, high: 1e-1}",
        f"  loss: {{search: choice, options: {losses}}}",
        "",
        "# Which neurons come and go; what competes is searched, and a fixed network is always its control.",
        "growth:",
        "  search: one_of",
        "  options:",
        "    - kind: static  # none",
        *(_periodic(starter.epochs, regression) if starter.epochs >= _LEAST_PERIODIC_EPOCHS else ()),
        "    - kind: nimble  # each layer's size is trained, and pulled to a share of its width",
        "      size_coefficient: {search: log_uniform, low: 0.1, high: 30.0}",
        "      target_share: {search: uniform, low: 0.4, high: 1.0}",
        "",
        "search:",
        f"  trials: {starter.trials}",
        "  concurrency: 1  # trials at once, each on a core of its own",
        "  # gpus_per_trial: auto  # on a machine with GPUs",
        "  # time_budget_seconds: 3600  # after which no new trial starts",
        "  # stopping: {kind: halving}  # trials that fall behind end early",
        "  # Several objectives give a front, such as accuracy against parameters.",
        f"  objectives: [{objective}]",
    )


def _periodic(epochs: int, regression: bool) -> Iterator[str]:
    period = max(_LEAST_PERIOD, epochs * 7 // 20)  # two cycles within the 0.7 of the epochs after which none is open
    yield "    - kind: periodic  # all layers grow, train and are pruned back, in cycles"
    yield f"      period_epochs: {period}  # of a long training few long cycles; many short ones did harm"
    yield f"      grown_epochs: {{search: int, low: 1, high: {period * 3 // 5}}}"
    yield "      grow_share: {search: uniform, low: 0.25, high: 1.0}"
    if regression:
        yield "      importance: taylor  # the default needs classes"


def _task(starter: Starter) -> str:
    """Returns what the data's targets are; fields that are wrong are told by the check of the whole text."""
    fields = kinds("data")[str(starter.data["kind"])].fields.model_construct(**starter.data)
    return fields.task_kind if isinstance(fields, DataFields) else "classification"


def _value(value: Any) -> str:
    """Writes a plain value as YAML, on one line."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
