import pytest

from neurosearch.config.packing import pack_key

MINIMAL_PLUS = """\
name: tiny
data: {kind: digits}
model: {kind: mlp, widths: {search: choice, options: [[8], [16]]}}
training: {epochs: 10, learning_rate: {search: log_uniform, low: 1e-3, high: 1e-1}}
growth: {search: one_of, options: [{kind: static}, {kind: nimble}]}
search:
  trials: 4
"""


@pytest.mark.parametrize(
    ("written", "packing"), [("auto", "auto"), ("off", "off"), ("'off'", "off"), ("16", 16), ("256", 256)]
)
def test_packing_is_a_choice_or_a_size(load, written, packing):
    assert load(f"{MINIMAL_PLUS}  packing: {written}\n").study.search.packing == packing


@pytest.mark.parametrize("written", ["3", "1", "true", "on", "1.5", "[16]", "512"])
def test_another_size_is_refused_with_those_that_there_are(problems, written):
    (problem,) = problems(f"{MINIMAL_PLUS}  packing: {written}\n")
    assert problem.field == "search.packing"
    assert "must be auto, off or one of 2, 4, 8, 16, 32, 64, 128, 256, but is" in problem.text


@pytest.mark.parametrize(
    ("override", "field", "why"),
    [
        ("training.batch_size={search: choice, options: [32, 64]}", "training.batch_size", "differs, 32 in one trial"),
        ("model.widths={search: choice, options: [[8], [8, 8]]}", "model.widths", "1 hidden layers in one trial and 2"),
        (
            "training.optimizer={search: choice, options: [adam, sgd]}",
            "training.optimizer",
            "differs, adam in one trial",
        ),
        ("data.validation_share={search: choice, options: [0.1, 0.2]}", "data", "differs"),
        ("training.loss={search: choice, options: [cross_entropy, focal]}", "training.loss", "differs"),
        ("training.compile={search: choice, options: [true, false]}", "training.compile", "differs, true in one"),
        (
            "model={kind: cnn, widths: {search: choice, options: [[8], [16]]}}",
            "growth.kind",
            "with trained sizes only mlp",
        ),
        ("model={kind: vit}", "model.kind", "only mlp, cnn and resnet_cifar"),
        ("training.decorrelation=0.1", "training.decorrelation", "watches the layers"),
        ("training.loss=ldam", "training.loss", "a last layer of its own"),
        ("search.gpus_per_trial=2", "search.gpus_per_trial", "several GPUs"),
    ],
)
def test_a_size_that_cannot_be_is_refused_naming_the_field(problems, load, override, field, why):
    (problem,) = problems(f"{MINIMAL_PLUS}  packing: 16\n", override)
    assert problem.field == "search.packing"
    assert f"is 16, but not all trials of this space can take their steps together: {field} " in problem.text
    assert why in problem.text
    assert "Write packing: auto" in problem.text
    load(f"{MINIMAL_PLUS}  packing: auto\n", override)  # which packs those that can


def test_trials_share_a_key_whatever_may_differ_in_a_pack(load):
    config = load(MINIMAL_PLUS)
    keys = {pack_key(config.trial(lambda _name, node, end=end: _at(node, end))) for end in (0, -1)}
    assert len(keys) == 1
    assert None not in keys


def test_a_trial_that_cannot_be_packed_has_no_key(load):
    config = load(MINIMAL_PLUS, "training.zap_period_epochs=2")
    assert pack_key(config.trial(lambda _name, node: _at(node, 0))) is None


def _at(node, end):
    return node.labels[end] if hasattr(node, "labels") else node.ends[end]
