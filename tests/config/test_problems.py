"""What is said of every kind of wrong config: one table, and long because there are many."""

from collections.abc import Callable

import pytest

from neurosearch.config.base import Problem
from neurosearch.config.corners import corners
from neurosearch.config.load import StudyConfig
from neurosearch.config.problems import problem_of

Problems = Callable[..., tuple[Problem, ...]]

BASE = {
    "name": "tiny",
    "data": "{kind: digits}",
    "model": "{kind: mlp, widths: [8]}",
    "training": "{epochs: 10}",
    "growth": "{kind: static}",
}


SCHEDULE = "{kind: events, events: {search: schedule, cycles: {low: 1, high: 3}, last_epoch: 8, add_share: 0.5%s}}"
WIDTHS = "{kind: mlp, widths: {search: widths, depth: {low: 1, high: 3}, low: 4, high: 8%s}}"


def config(**sections: str) -> str:
    return "".join(f"{name}: {text}\n" for name, text in {**BASE, **sections}.items())


# Lines: name 1, data 2, model 3, training 4, growth 5, anything further 6.
ONE_PROBLEM = [
    # An unknown key, at every depth.
    (config(sed="1"), 6, "sed", "unknown key. Did you mean 'seed'? Known here: name, seed, size_limit"),
    (config(training="{epochs: 10, learnin_rate: 1}"), 4, "training.learnin_rate", "Did you mean 'learning_rate'?"),
    (config(data="{kind: digits, imbalance: {ratio: 2, x: 1}}"), 2, "data.imbalance.x", "Known here: profile, ratio"),
    (config(growth="{kind: static, x: 1}"), 5, "growth.x", "unknown key. Known here: kind."),
    (
        config(search="{objectives: [{metrik: accuracy, metric: accuracy, direction: maximize}]}"),
        6,
        "search.objectives[0].metrik",
        "mean 'metric'?",
    ),
    (config(training="{epochs: {search: int, low: 3, high: 4, hi: 2}}"), 4, "training.epochs.hi", "mean 'high'?"),
    # A value of the wrong type.
    (config(seed="abc"), 6, "seed", "must be a whole number, but is 'abc'. (Seed of the sampler"),
    (config(seed='"1"'), 6, "seed", "must be a whole number, but is '1'."),
    (config(seed="true"), 6, "seed", "must be a whole number, but is true."),
    (config(training="{epochs: 2.5}"), 4, "training.epochs", "must be a whole number, but is 2.5."),
    (config(training="{epochs: off}"), 4, "training.epochs", "must be a whole number, but is 'off'."),
    (config(training="{epochs: 9, learning_rate: true}"), 4, "training.learning_rate", "must be a number, but is true"),
    (config(training="{epochs: 9, learning_rate: '1'}"), 4, "training.learning_rate", "must be a number, but is '1'"),
    (config(training="{epochs: 9, learning_rate: .nan}"), 4, "training.learning_rate", "must be a finite number"),
    (config(training="{epochs: 9, learning_rate: ~}"), 4, "training.learning_rate", "must be a number, but is empty"),
    (config(training="{epochs: 9, bf16: maybe}"), 4, "training.bf16", "must be true or false, but is 'maybe'."),
    (config(training="{epochs: 9, drops: 3}"), 4, "training.drops", "must be a list, written [a, b], but is 3."),
    (config(data="{kind: npz, path: 3}"), 2, "data.path", "must be text; put it in quotes, but is 3."),
    (config(data="3"), 2, "data", "must be a section with keys of its own, but is 3."),
    (config(training="[1]"), 4, "training", "must be a section with keys of its own, but is [1]."),
    (config(search="{stopping: halving}"), 6, "search.stopping", "such as {kind: halving, reduction: 3}"),
    (
        config(search="{stopping: {kind: asha}}"),
        6,
        "search.stopping.kind",
        "must be 'none' or 'halving', but is 'asha'",
    ),
    (config(search="{stopping: {kind: halving, reduction: 1}}"), 6, "search.stopping.reduction", "must be at least 2"),
    (config(search="{stopping: {kind: halving, first_share: 0}}"), 6, "search.stopping.first_share", "must be above 0"),
    (config(search="{candidates: at_rest}"), 6, "search", "so it needs several objectives and seeds: 1; write"),
    (config(search="many"), 6, "search", "must be a section with keys of its own, but is 'many'."),
    (config(size_limit="3"), 6, "size_limit", "must be a section with keys of its own, but is 3."),
    (config(data="{kind: digits, imbalance: 20}"), 2, "data.imbalance", "must be a section with keys of its own"),
    (config(name="Quick Start"), 1, "name", "does not allow 'Quick Start'. (Name of the study: lower case letters"),
    (config(growth="periodic"), 5, "growth", "must be a section; write {kind: periodic}. (Which neurons come and go"),
    (config(growth="period"), 5, "growth", "must be a section with keys of its own, but is 'period'."),
    (
        config(size_limit="6000"),
        6,
        "size_limit",
        "(What can be deployed, such as {parameters: 20000}; absent: any size.)",
    ),
    (config(model="{kind: mlp, widths: {search: int, low: 1, high: 3}}"), 3, "model.widths", "must be a list"),
    # A bound.
    (config(seed="4294967296"), 6, "seed", "must be below 4294967296, but is 4294967296."),
    (config(seed="-1"), 6, "seed", "must be at least 0, but is -1."),
    (config(model="{kind: mlp, widths: [8, 0]}"), 3, "model.widths[1]", "must be at least 1, but is 0."),
    (config(model="{kind: mlp, widths: []}"), 3, "model.widths", "must have at least 1 item(s), but is []."),
    (config(model="{kind: mlp, widths: [8], dropout: 1}"), 3, "model.dropout", "must be below 1, but is 1."),
    (config(data="{kind: digits, validation_share: 0}"), 2, "data.validation_share", "must be above 0, but is 0."),
    (config(growth="{kind: periodic, grow_share: 5}"), 5, "growth.grow_share", "must be at most 4, but is 5."),
    (config(search="{objectives: []}"), 6, "search.objectives", "must have at least 1 item(s), but is []."),
    (config(data="{kind: npz, path: ''}"), 2, "data.path", "must not be empty"),
    # A word that is none of the known ones.
    (
        config(training="{epochs: 9, loss: focl}"),
        4,
        "training.loss",
        "kind 'focl'. Did you mean 'focal'? Kinds: cross_",
    ),
    (config(training="{epochs: 9, loss: {kind: focl}}"), 4, "training.loss.kind", "unknown kind 'focl'. Did you mean"),
    (config(training="{epochs: 9, loss: {gamma: 1}}"), 4, "training.loss", "has no kind. Add `kind:` with one of cros"),
    (config(training="{epochs: 9, loss: 3}"), 4, "training.loss", "must be a section with keys of its own, but is 3."),
    (
        config(training="{epochs: 9, loss: {kind: focal, gama: 1}}"),
        4,
        "training.loss.gama",
        "unknown key. Did you mean 'gamma'? Known here: kind, gamma.",
    ),
    (
        config(training="{epochs: 9, loss: {kind: focal, gamma: -1}}"),
        4,
        "training.loss.gamma",
        "must be at least 0, but is -1. (Exponent of (1 - p)",
    ),
    (
        config(training="{epochs: 9, loss: {kind: class_balanced, beta: 1}}"),
        4,
        "training.loss.beta",
        "must be below 1, but is 1. (Of the effective number of examples",
    ),
    (
        config(training="{epochs: 9, loss: {kind: ldam, max_margin: 0}}"),
        4,
        "training.loss.max_margin",
        "must be above 0, but is 0.",
    ),
    (
        config(training="{epochs: 9, loss: {search: choice, options: [focal, focl]}}"),
        4,
        "training.loss.options[1]",
        "unknown kind 'focl'.",
    ),
    (
        config(training="{epochs: 9, loss: {search: one_of, options: [focal]}}"),
        4,
        "training.loss.options[0]",
        "is no section such as",
    ),
    (
        config(
            training="{epochs: 9, loss: {search: one_of, options: [{kind: cross_entropy}, {kind: focal, gamma: "
            "{search: uniform, low: 0, high: 20}}]}}"
        ),
        4,
        "training.loss.options[1].gamma.high",
        "must be at most 10, but is 20.",
    ),
    (
        config(training="{epochs: 9, posthoc_tau: 1.0, loss: {search: one_of, options: [{kind: vs}, {kind: focal}]}}"),
        4,
        "training.posthoc_tau and training.loss.options[0]",
        "loss vs adjusts logits by the class shares",
    ),
    (config(training="{epochs: 9, posthoc_tau: -1}"), 4, "training.posthoc_tau", "must be at least 0, but is -1."),
    (
        config(training="{epochs: 9, deferred_reweighting_share: 2}"),
        4,
        "training.deferred_reweighting_share",
        "must be at most 1, but is 2.",
    ),
    (config(training="{epochs: 9, optimizer: adma}"), 4, "training.optimizer", "is 'adma'. Did you mean 'adam'? (Opt"),
    (
        config(search="{objectives: [{metric: acuracy, direction: maximize}]}"),
        6,
        "search.objectives[0].metric",
        "unknown metric 'acuracy'. Did you mean 'accuracy'? Choose one of balanced_accuracy, accuracy",
    ),
    (config(search="{objectives: [{metric: accuracy, direction: minimize}]}"), 6, "search.objectives[0]", "to be max"),
    (config(data="{kind: digit}"), 2, "data.kind", "unknown kind 'digit'. Did you mean 'digits'? Kinds: "),
    (config(growth="{x: 1}"), 5, "growth", "has no kind. Add `kind:` with one of "),
    # Something missing.
    (
        config(search="{objectives: [{metric: parameters}]}"),
        6,
        "search.objectives[0].direction",
        "is missing. Write direction: minimize.",
    ),
    # What nothing can meet.
    (
        config(search="{constraints: [{metric: accuracy, at_least: 1.4}]}"),
        6,
        "search.constraints[0]",
        "at_least is 1.4, but the best accuracy that there can be is 1; lower at_least.",
    ),
    (
        config(search="{constraints: [{metric: neurons, at_most: -1}]}"),
        6,
        "search.constraints[0]",
        "at_most is -1, but the best neurons that there can be is 0; raise at_most.",
    ),
    (
        config(search="{constraints: [{metric: neurons, at_least: 9}, {metric: neurons, at_most: 3}]}"),
        6,
        "search",
        "constraints ask for neurons of at least 9 and at most 3, which nothing meets",
    ),
    (
        config(size_limit="{neurons: 5}\nsearch: {constraints: [{metric: neurons, at_least: 9}]}"),
        7,
        "search.constraints[0]",
        "asks for at least 9 neurons, and size_limit allows at most 5, so no network meets both. Lower at_least",
    ),
    (config(search="{constraints: [{metric: accuracy}]}"), 6, "search.constraints[0]", "exactly one of at_most and"),
    (
        config(search="{target: 3}"),
        6,
        "search",
        "target is 3, but the best balanced_accuracy that there can be is 1, so it would never be reached; give",
    ),
    (config(training="{batch_size: 3}"), 4, "training.epochs", "is missing. (Passes over the training part.)"),
    (config(data="{kind: npz}"), 2, "data.path", "is missing. (Path of the archive"),
    (config(data="{kind: digits, imbalance: {}}"), 2, "data.imbalance.ratio", "is missing."),
    # A search node.
    (config(training="{epochs: {search: int, low: 5, high: 4}}"), 4, "training.epochs", "low is 5 and high is 4; low"),
    (config(training="{epochs: {search: int, low: 5, high: 5}}"), 4, "training.epochs", "low must be smaller"),
    (
        config(training="{epochs: {search: int, low: 1.5, high: 4}}"),
        4,
        "training.epochs.low",
        "whole number, but is 1.5",
    ),
    (config(training="{epochs: {search: int, low: 1}}"), 4, "training.epochs.high", "is missing."),
    (
        config(training="{epochs: {search: ints, low: 1}}"),
        4,
        "training.epochs.search",
        "Did you mean 'int'? Write search: int, uniform, log",
    ),
    (config(training="{epochs: {search: choice, options: []}}"), 4, "training.epochs.options", "at least 1 item"),
    (
        config(training="{epochs: 9, learning_rate: {search: log_uniform, low: 0, high: 1}}"),
        4,
        "training.learning_rate.low",
        "must be above 0, but is 0.",
    ),
    (config(seed="{search: int, low: 1, high: 3}"), 6, "seed", "cannot be searched. Write one value; search nodes may"),
    (config(size_limit="{}"), 6, "size_limit", "name exactly one of parameters, neurons, multiply_adds, such as param"),
    (config(size_limit="{neurons: 3, parameters: 3}"), 6, "size_limit", "name exactly one of parameters"),
    *(
        (config(tracking=f"{{uri: '{uri}'}}"), 6, "tracking.uri", f"{uri} is no address of a server; write it as http")
        for uri in ("http://host:99999", "http://host:port", "http://", "http://[::1")
    ),
    (config(tracking="{uri: 'http://me:secret@host'}"), 6, "tracking.uri", "a password does not belong in a config"),
    *(
        (config(tracking=f"{{uri: '{uri}'}}"), 6, "tracking.uri", "a password does not belong in a config")
        for uri in (
            "postgresql://db/mlflow?user=ann&password=tiger",
            "postgresql://db/mlflow?sslmode=require&sslPassword=tiger",
            "http://127.0.0.1:5000?token=abc",
            "http://127.0.0.1:5000/?a=b;api%5Fkey=abc",
            "https://mlflow.example/#access_token=abc",
        )
    ),
    # A node of several hyperparameters.
    (config(model=WIDTHS % ", lo: 3"), 3, "model.widths.lo", "unknown key. Did you mean 'low'? Known here: search, de"),
    (
        config(model=WIDTHS.replace("4, high: 8", "9, high: 8") % ""),
        3,
        "model.widths.low and model.widths.high",
        "low is",
    ),
    (
        config(model=WIDTHS.replace("high: 3", "high: 0") % ""),
        3,
        "model.widths.depth.high",
        "must be at least 1, but is 0",
    ),
    (
        config(model=WIDTHS.replace("high: 3", "high: 1") % ""),
        3,
        "model.widths.depth",
        "low is 1 and high is 1; low must",
    ),
    (config(model=WIDTHS.replace("high: 3", "high: 40") % ""), 3, "model.widths.depth.high", "must be at most 32"),
    (
        config(model=WIDTHS.replace("{low: 1, high: 3}", "many") % ""),
        3,
        "model.widths.depth",
        "whole number, but is 'many'",
    ),
    (config(model=WIDTHS % ", shape: taper"), 3, "model.widths.shape", "Did you mean 'tapering'?"),
    (
        config(model=WIDTHS % ", step: 2, spacing: log"),
        3,
        "model.widths.step and model.widths.spacing",
        "With log, write",
    ),
    (
        config(model="{kind: mlp, widths: {search: widths, low: 1, high: 2}}"),
        3,
        "model.widths.depth",
        "is missing. (Number of layers, su",
    ),
    (
        config(growth=SCHEDULE % ", last_epoc: 3"),
        5,
        "growth.events.last_epoc",
        "unknown key. Did you mean 'last_epoch'?",
    ),
    (config(growth=SCHEDULE.replace("0.5", "5") % ""), 5, "growth.events.add_share", "must be at most 4, but is 5."),
    (config(growth=SCHEDULE.replace("0.5", "{low: 1, high: 0.5}") % ""), 5, "growth.events.add_share", "Exchange them"),
    (
        config(growth=SCHEDULE.replace("high: 3", "high: 5") % ""),
        5,
        "growth.events.cycles.high and growth.events.last_epoch",
        "5 cycles need 10 different epochs to grow and prune at, but from first_epoch 0 to last_epoch 8 there are 9.",
    ),
    (
        config(growth=SCHEDULE % ", first_epoch: 8"),
        5,
        "growth.events.first_epoch and growth.events.last_epoch",
        "first_epoch is 8 and last_epoch is 8; first_epoch must be smaller.",
    ),
    (
        config(training="{epochs: 8}", growth=SCHEDULE % ""),
        5,
        "growth.events.last_epoch and training.epochs",
        "an event comes after 8 epochs, but epochs is 8 and at least the last one must train the final network.",
    ),
    (
        config(training="{epochs: 10, schedule: step, drops: [0.5, 0.7]}", growth=SCHEDULE % ""),
        5,
        "growth.events.last_epoch and training.drops",
        "an event comes after 8 epochs, but the learning rate drops for the last time after 7: what comes or goes",
    ),
    (
        config(model="{kind: resnet_cifar, widths: {search: widths, depth: 3, low: 8, high: 16}}"),
        3,
        "model.widths",
        "but a shortcut can only add channels. Let no stage be narrower than the one before it.",
    ),
    (
        config(training="{epochs: {search: schedule, cycles: 1, last_epoch: 5, add_share: 1}}"),
        4,
        "training.epochs.search",
        "search: schedule gives a list of events and belongs at growth.events of the kind events; it cannot stand here",
    ),
    (
        config(model="{kind: mlp, widths: {search: schedule, cycles: {low: 1, high: 2}, last_epoch: 5, add_share: 1}}"),
        3,
        "model.widths.search",
        "search: schedule gives a list of events",
    ),
    (
        config(growth="{search: schedule, cycles: 2, last_epoch: 5, add_share: 1}"),
        5,
        "growth.search",
        "search: schedule gives a list of events and belongs at growth.events of the kind events",
    ),
    (
        config(growth="{kind: events, events: {search: widths, depth: {low: 1, high: 3}, low: 4, high: 8}}"),
        5,
        "growth.events.search",
        "search: widths gives a list of layer widths and belongs where one stands, such as at model.widths",
    ),
    (
        config(growth="{kind: periodic, events: {search: schedule, cycles: 1, last_epoch: 5, add_share: 1}}"),
        5,
        "growth.events",
        "unknown key.",
    ),
    (config(growth="{kind: events, events: {search: int, low: 1, high: 3}}"), 5, "growth.events", "must be a list"),
    # Two fields that clash.
    (
        config(training="{epochs: 3, warmup_epochs: 3}"),
        4,
        "training.warmup_epochs and training.epochs",
        "warmup_epochs is 3 but epochs is 3, so the full learning rate is never reached. Lower warmup_epochs or raise",
    ),
    (
        config(growth="{kind: periodic, grown_epochs: 5}"),
        5,
        "growth.grown_epochs and growth.period_epochs",
        "grown_epochs is 5 but period_epochs is 5",
    ),
    (
        config(training="{epochs: 2}", growth="{kind: periodic}"),
        5,
        "growth.grown_epochs and training.epochs",
        "cycles must be closed by epoch 1",
    ),
    (
        config(training="{epochs: 10, schedule: step, drops: [0.1, 0.2]}", growth="{kind: periodic}"),
        5,
        "growth.stop_share and training.drops",
        "the last cycle is pruned after 3 epochs, but the learning rate drops for the last time after 2",
    ),
    (
        config(growth="{kind: recycle, period_epochs: 8}"),
        5,
        "growth.period_epochs and training.epochs",
        "neurons are recycled up to epoch 7 alone",
    ),
    (
        config(training="{epochs: 10, schedule: step, drops: [0.2, 0.4]}", growth="{kind: recycle}"),
        5,
        "growth.stop_share and training.drops",
        "neurons are recycled after 6 epochs, but the learning rate drops for the last time after 4",
    ),
    (
        config(training="{epochs: 10, schedule: step, drops: [0.2, 0.4]}", growth="{kind: wide_then_prune}"),
        5,
        "growth.prune_share and training.drops",
        "the network is pruned after 7 epochs, but the learning rate drops for the last time after 4",
    ),
    (
        config(training="{epochs: 1}", growth="{kind: wide_then_prune}"),
        5,
        "growth.prune_share and training.epochs",
        "is after 0 epochs, but at least one must train the wide network",
    ),
    (
        config(growth="{kind: wide_then_prune, prune_share: 1}"),
        5,
        "growth.prune_share and training.epochs",
        "and one what is left of it. Lower prune_share, or raise epochs.",
    ),
    (
        config(training="{epochs: 10, zap_period_epochs: 6}"),
        4,
        "training.zap_period_epochs and training.epochs",
        "the class head is drawn anew up to epoch 5 alone",
    ),
    (
        config(training="{epochs: 10, zap_period_epochs: 4, schedule: step, drops: [0.2, 0.3]}"),
        4,
        "training.zap_stop_share and training.drops",
        "the class head is drawn anew after 4 epochs, but the learning rate drops for the last time after 3",
    ),
    (
        config(training="{epochs: 10, decorrelation: 0.5, compile: true}"),
        4,
        "training.decorrelation and training.compile",
        "decorrelation is 0.5, which watches the layers of every training step, and a compiled step cannot be watched.",
    ),
    (
        config(training="{epochs: 10, decorrelation: 0.5, batch_size: 2}"),
        4,
        "training.decorrelation and training.batch_size",
        "any two neurons that vary over two examples are wholly correlated. Set batch_size to 3 or more",
    ),
    (
        config(model="{kind: vit, hidden_dim: 30}"),
        3,
        "model.hidden_dim and model.num_heads",
        "hidden_dim is 30, no multiple of num_heads 4, so the heads cannot share it.",
    ),
    (
        config(growth="{kind: nimble, target_share: 2}"),
        5,
        "growth.target_share and growth.maximum_share",
        "target_share is 2.0 but maximum_share is 1.0. Lower target_share or raise maximum_share.",
    ),
    (
        config(growth="{kind: events, events: [{epoch: 2, add_share: 1}, {epoch: 10, remove_share: 1}]}"),
        5,
        "growth.events[1].epoch and training.epochs",
        "an event comes after 10 epochs, but epochs is 10 and at least the last one must train the final network.",
    ),
    (
        config(growth="{kind: events, events: [{epoch: 2, add_share: 1}, {epoch: 4, remove_share: 0.75}]}"),
        5,
        "growth.events",
        "and all remove_share to 0.75, so the final network would not have the model's widths. Lower add_share or",
    ),
    (config(growth="{kind: events, events: [{epoch: 2}]}"), 5, "growth.events[0]", "write one of add_share and remove"),
    (
        config(growth="{kind: events, events: [{epoch: 2, ad_share: 1}]}"),
        5,
        "growth.events[0].ad_share",
        "mean 'add_share'?",
    ),
    (config(growth="{kind: events, events: []}"), 5, "growth.events", "must have at least 1 item(s), but is []."),
    (config(growth="{kind: events}"), 5, "growth.events", "is missing. (What happens when, by ascending epochs"),
    (config(training="{epochs: 9, drops: [0.9, 0.8]}"), 4, "training.drops", "write them ascending and each once."),
    # The text itself.
    (config() + "seed: 1\nseed: 2\n", 7, "", "the key 'seed' stands here twice: keep one."),
    (config(seed="!!python/object:os.system x"), 6, "", "the tag !!python/object:os.system is refused"),
]


@pytest.mark.parametrize("metric", ["[accuracy]", "{a: 1}"])
def test_a_metric_that_is_no_text_is_told_beside_the_missing_direction(problems: Problems, metric: str) -> None:
    found = problems(config(search=f"{{objectives: [{{metric: {metric}}}]}}"))
    assert [each.field.rpartition(".")[2] for each in found] == ["direction", "metric"]


@pytest.mark.parametrize(
    ("text", "line", "field", "told"), ONE_PROBLEM, ids=[each[2] or "text" for each in ONE_PROBLEM]
)
def test_one_mistake_is_one_problem_with_line_field_and_remedy(
    problems: Problems, text: str, line: int, field: str, told: str
) -> None:
    (problem,) = problems(text)
    assert (problem.where, problem.field) == (f"study.yaml:{line}", field)
    assert told in problem.text
    assert problem.text.endswith((".", ")"))


def test_no_message_speaks_of_python_or_pydantic(problems: Problems) -> None:
    for text, *_ in ONE_PROBLEM:
        (problem,) = problems(text)
        for word in ("tuple", "Input should", "dictionary", "None", "True", "string", "Extra inputs"):
            assert word not in problem.text


def test_all_problems_are_told_at_once_in_the_order_of_the_file(problems: Problems) -> None:
    text = (
        "name: No\n"
        "name: twice\n"
        "data: {kind: digits, imbalance: {ratio: 0.5}}\n"
        "model: {kind: mlp, widths: [0, off]}\n"
        "training: {epochs: 2, warmup_epochs: 3, los: x}\n"
        "growth: {search: one_of, options: [{kind: periodic, grown_epochs: 9}, {kind: nimbl}, 3]}\n"
        "search: {trials: 0}\n"
        "seed: !x 3\n"
    )
    assert [(each.where, each.field) for each in problems(text)] == [
        ("study.yaml:1", "name"),
        ("study.yaml:2", ""),
        ("study.yaml:3", "data.imbalance.ratio"),
        ("study.yaml:4", "model.widths[0]"),
        ("study.yaml:4", "model.widths[1]"),
        ("study.yaml:5", "training.los"),
        ("study.yaml:6", "growth.options[1].kind"),
        ("study.yaml:6", "growth.options[2]"),
        ("study.yaml:7", "search.trials"),
        ("study.yaml:8", ""),
    ]


def test_fields_that_clash_are_told_beside_fields_that_are_wrong(problems: Problems) -> None:
    found = problems(config(training="{epochs: 2, warmup_epochs: 3, los: x, momentum: 2}"))
    assert {each.field for each in found} == {
        "training.los",
        "training.momentum",
        "training.warmup_epochs and training.epochs",
    }


def test_a_clash_with_a_wrong_field_is_not_told(problems: Problems) -> None:
    found = problems(config(training="{epochs: 3, warmup_epochs: -1}"))
    assert [each.field for each in found] == ["training.warmup_epochs"]


def test_a_rule_that_fails_at_one_corner_of_two_nodes_is_refused_naming_both(problems: Problems) -> None:
    (problem,) = problems(
        config(
            training="{epochs: 30}",
            growth="\n"
            "  kind: periodic\n"
            "  period_epochs: {search: int, low: 4, high: 8}\n"
            "  grown_epochs: {search: int, low: 1, high: 5}",
        )
    )
    assert (problem.where, problem.field) == ("study.yaml:8", "growth.grown_epochs and growth.period_epochs")
    assert problem.text.startswith("grown_epochs is 5 but period_epochs is 4")


def test_a_clash_inside_an_option_is_named_as_it_is_written(problems: Problems) -> None:
    (problem,) = problems(
        config(growth="{search: one_of, options: [{kind: static}, {kind: periodic, grown_epochs: 5}]}")
    )
    assert problem.field == "growth.options[1].grown_epochs and growth.options[1].period_epochs"


@pytest.mark.parametrize(
    ("model", "field", "told"),
    [
        ("{kind: mlp, widths: [8], dropout: {search: uniform, low: 0, high: 2}}", "model.dropout.high", "is 2.0"),
        ("{kind: mlp, widths: {search: choice, options: [[8], [4, 0]]}}", "model.widths.options[1][1]", "is 0"),
        ("{kind: mlp, widths: [{search: int, low: 0, high: 4}]}", "model.widths[0].low", "is 0"),
        ("{kind: {search: choice, options: [mlp, mpl]}, widths: [8]}", "model.kind.options[1]", "Did you mean 'mlp'?"),
    ],
)
def test_a_wrong_end_or_option_is_named_itself(problems: Problems, model: str, field: str, told: str) -> None:
    (problem,) = problems(config(model=model))
    assert problem.field == field
    assert told in problem.text


def test_overrides_are_named_as_the_place_of_a_problem(problems: Problems) -> None:
    found = problems(config(), "training.epochs=x", "data.kind=digit", "a.b.c=3")
    assert [(each.where, each.field) for each in found] == [
        ("--set a.b.c=3", "a"),
        ("--set data.kind=digit", "data.kind"),
        ("--set training.epochs=x", "training.epochs"),
    ]


def test_a_problem_found_by_a_room_below_gets_its_line(load: Callable[..., StudyConfig]) -> None:
    study = load(config(data="\n  kind: digits\n  imbalance:\n    ratio: {search: uniform, low: 10, high: 5000}"))
    lowest, highest = (corner for corner in corners(study.template))
    template = study.template
    assert str(problem_of("data.imbalance.ratio", "is too much.", highest, template)).endswith(
        "study.yaml:5: data.imbalance.ratio.high: is too much."
    )
    assert problem_of("data.imbalance", "is too much.", lowest, template).where.endswith("study.yaml:4")
    assert problem_of("data.path", "is not there.", lowest, template).where.endswith("study.yaml:2")


def test_a_metric_that_no_trial_measures_is_refused(problems: Problems) -> None:
    (problem,) = problems(config(search="{objectives: [{metric: latency_seconds, direction: minimize}]}"))
    assert problem.field == "training.measure_latency"
    assert "latency_seconds" in problem.text
