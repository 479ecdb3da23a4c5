import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosearch import names
from neurosearch.randomness import derive_seed
from neurosearch.training.checkpoint import FolderCheckpointStore, MemoryCheckpointStore
from neurosearch.training.records import TrialFailed
from neurosearch.training.schedule import learning_rate_factor

POLICIES = ("static", "periodic", "recycle", "wide_then_prune", "nimble")
#: Room enough for a nimble network to learn the tiny problem.
# What a policy must leave alone for a network as small as this to learn.
ROOM = {policy: {} for policy in POLICIES} | {
    "nimble": {"start_share": 1.0, "target_share": 1.0, "size_input": False},
    "recycle": {"threshold": 0.1},
}
CLOCKED = (names.IMAGES_PER_SECOND, names.EPOCH_SECONDS)  # differ from run to run


def without_times(record):
    values = record.to_dict()
    values["metrics"] = {k: v for k, v in values["metrics"].items() if k not in CLOCKED}
    return values


def assert_same_training(found, expected):
    assert [without_times(r) for r in found.history] == [without_times(r) for r in expected.history]
    assert found.events == expected.events
    assert found.units == expected.units
    assert_same_weights(found.model, expected.model)


def assert_same_weights(found, expected):
    found, expected = found.state_dict(), expected.state_dict()
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


def run(trainer):
    for _ in trainer.epochs():
        pass
    return trainer.finish()


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_a_static_training_is_the_bare_loop_bit_for_bit(build_trainer, training_settings, model):
    trainer = build_trainer(model=model)
    twin, batches = build_trainer(model=model).model, trainer._batches
    optimizer = torch.optim.AdamW(twin.parameters(), lr=0.01, betas=(0.9, 0.999), weight_decay=0.01, fused=True)
    for epoch in range(training_settings.epochs):
        torch.manual_seed(derive_seed(training_settings.seed, "epoch", epoch))
        optimizer.param_groups[0]["lr"] = 0.01 * learning_rate_factor(training_settings, epoch)
        twin.train()
        for x, y in batches.train(epoch):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(twin(x), y).backward()
            optimizer.step()
    run(trainer)
    assert_same_weights(trainer.model, twin)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_every_policy_learns(build_trainer, policy, model):
    final = run(build_trainer(policy=policy, model=model, epochs=12, learning_rate=0.03, growth=ROOM[policy]))
    assert final.record.metrics[names.BALANCED_ACCURACY] > 0.8


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("loss", ["cross_entropy", "class_balanced", "balanced_softmax"])
def test_every_optimizer_and_loss_lowers_the_loss(build_trainer, optimizer, loss):
    trainer = build_trainer(optimizer=optimizer, loss=loss, epochs=4)
    run(trainer)
    losses = [record.metrics[names.TASK_LOSS] for record in trainer.history]
    assert losses[-1] < losses[0]


def test_a_record_holds_every_metric(build_trainer):
    record = next(build_trainer().epochs())
    assert record.epoch == 1
    assert record.step == 4
    assert record.metrics.keys() == {
        names.ACCURACY,
        names.BALANCED_ACCURACY,
        names.WORST_CLASS_RECALL,
        names.MEDIUM_RECALL,
        names.FEW_RECALL,
        names.HEAD_RECALL,
        names.MIDDLE_RECALL,
        names.TAIL_RECALL,
        "recall/a",
        "recall/b",
        "recall/c",
        names.TASK_LOSS,
        names.SIZE_LOSS,
        names.CALIBRATION_ERROR,
        names.VALIDATION_LOSS,
        names.NEURONS,
        "neurons/layers.1",
        "neurons/layers.4",
        names.PARAMETERS,
        names.MULTIPLY_ADDS,
        names.TRAINING_MULTIPLY_ADDS,
        names.IMAGES_PER_SECOND,
        names.EPOCH_SECONDS,
    }
    assert all(math.isfinite(value) for value in record.metrics.values())


@given(
    policy=st.sampled_from([*POLICIES, "mask"]),
    model=st.sampled_from(["mlp", "cnn"]),
    stop=st.integers(1, 6),
    every=st.integers(1, 3),
    optimizer=st.sampled_from(["sgd", "adam", "adamw"]),
    channels_last=st.booleans(),
)
@settings(deadline=None, max_examples=25)
def test_stopped_at_any_epoch_and_resumed_equals_uninterrupted(
    build_trainer, policy, model, stop, every, optimizer, channels_last
):
    choices = {
        "policy": policy,
        "model": model,
        "optimizer": optimizer,
        "dropout": 0.2,
        "checkpoint_every_epochs": every,
        "channels_last": channels_last,
    }
    whole, store = build_trainer(**choices), MemoryCheckpointStore()
    whole_result = run(whole)
    list(itertools.islice(build_trainer(**choices, store=store).epochs(), stop))
    resumed = build_trainer(**choices, store=store)
    assert len(resumed.history) == (stop if stop == 6 else stop // every * every)
    resumed_result = run(resumed)
    assert_same_training(resumed, whole)
    assert without_times(resumed_result.record) == without_times(whole_result.record)


@pytest.mark.parametrize("policy", ["periodic", "wide_then_prune"])
@pytest.mark.parametrize("stop", [2, 3])
def test_a_merging_training_stopped_and_resumed_equals_uninterrupted(build_trainer, tmp_path, policy, stop):
    choices = {"policy": policy, "growth": {"merge_threshold": 0.1}}
    whole = build_trainer(**choices)
    run(whole)
    list(itertools.islice(build_trainer(**choices, store=FolderCheckpointStore(tmp_path)).epochs(), stop))
    resumed = build_trainer(**choices, store=FolderCheckpointStore(tmp_path))
    run(resumed)
    assert_same_training(resumed, whole)
    merged = [
        record.metrics[names.NEURONS_MERGED] for record in whole.history if names.NEURONS_MERGED in record.metrics
    ]
    assert merged
    assert max(merged) > 0
    assert any("merged into near-duplicates" in event.reason for event in whole.events)
    plain = build_trainer(policy=policy)
    run(plain)
    assert not any(names.NEURONS_MERGED in record.metrics for record in plain.history)


@pytest.mark.parametrize("model", ["mlp", "cnn"])
@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_gradmax_training_stopped_and_resumed_equals_uninterrupted(build_trainer, tmp_path, model, stop):
    choices = {"policy": "periodic", "model": model, "growth": {"start": "gradmax"}}
    whole = build_trainer(**choices)
    run(whole)
    list(itertools.islice(build_trainer(**choices, store=FolderCheckpointStore(tmp_path)).epochs(), stop))
    resumed = build_trainer(**choices, store=FolderCheckpointStore(tmp_path))
    run(resumed)
    assert_same_training(resumed, whole)
    plain = build_trainer(policy="periodic", model=model)
    run(plain)
    assert plain.events == whole.events
    assert not torch.equal(next(plain.model.parameters()), next(whole.model.parameters()))


@pytest.mark.parametrize("policy", POLICIES)
def test_a_folder_carries_a_training_over(build_trainer, tmp_path, policy):
    whole = build_trainer(policy=policy)
    run(whole)
    for _ in range(6):
        next(build_trainer(policy=policy, store=FolderCheckpointStore(tmp_path)).epochs())
    resumed = build_trainer(policy=policy, store=FolderCheckpointStore(tmp_path))
    assert list(resumed.epochs()) == []
    resumed.finish()
    assert_same_training(resumed, whole)


def test_a_damaged_checkpoint_costs_one_epoch_and_changes_nothing(build_trainer, tmp_path):
    whole = build_trainer(policy="periodic")
    run(whole)
    list(itertools.islice(build_trainer(policy="periodic", store=FolderCheckpointStore(tmp_path)).epochs(), 3))
    (tmp_path / "checkpoint-000003.pt").write_bytes(b"torn")
    with pytest.warns(UserWarning, match=r"checkpoint-000003\.pt"):
        resumed = build_trainer(policy="periodic", store=FolderCheckpointStore(tmp_path))
    assert len(resumed.history) == 2
    run(resumed)
    assert_same_training(resumed, whole)


def test_a_checkpoint_of_other_settings_is_refused(build_trainer):
    store = MemoryCheckpointStore()
    next(build_trainer(store=store).epochs())
    with pytest.raises(ValueError, match=r"other settings \(learning_rate\)"):
        build_trainer(store=store, learning_rate=0.5)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_loss_that_is_no_number_ends_the_trial_with_its_reason(build_trainer, policy):
    trainer = build_trainer(policy=policy, optimizer="sgd", learning_rate=1e30, warmup_epochs=0)
    with pytest.raises(TrialFailed, match=r"epoch 1.*Lower training\.learning_rate"):
        run(trainer)


def test_periodic_growth_is_recorded_and_ends_at_the_base_sizes(build_trainer):
    trainer = build_trainer(policy="periodic")
    run(trainer)
    assert [r.metrics[names.NEURONS] for r in trainer.history] == [14, 21, 14, 14, 14, 14]
    assert [r.at_rest for r in trainer.history] == [True, False, True, True, True, True]
    assert [(e.epoch, e.group, e.added, e.removed) for e in trainer.events] == [
        (0, "layers.1", 4, 0),
        (0, "layers.4", 3, 0),
        (1, "layers.1", 0, 4),
        (1, "layers.4", 0, 3),
        (2, "layers.1", 4, 0),
        (2, "layers.4", 3, 0),
        (3, "layers.1", 0, 4),
        (3, "layers.4", 0, 3),
    ]
    assert [len(record.events) for record in trainer.history] == [4, 2, 2, 0, 0, 0]


def test_a_static_training_is_charged_three_forward_passes_per_example(build_trainer):
    trainer = build_trainer()
    run(trainer)
    last = trainer.history[-1].metrics
    assert last[names.TRAINING_MULTIPLY_ADDS] == 3 * 6 * 41 * last[names.MULTIPLY_ADDS]


def test_growth_is_charged_while_it_is_there_and_so_is_scoring(build_trainer):
    static, periodic = build_trainer(), build_trainer(policy="periodic", growth={"protected_share": 0.0})
    run(static)
    run(periodic)
    small = static.history[-1].metrics[names.MULTIPLY_ADDS]
    large = 16 * 12 + 12 * 9 + 9 * 3
    scored = 2 * 3 * 4
    expected = 3 * (41 * (4 * small + 2 * large) + scored * large)
    assert periodic.history[-1].metrics[names.TRAINING_MULTIPLY_ADDS] == expected


def test_directions_are_charged_as_two_steps_on_the_scored_examples(build_trainer):
    plain, gradmax = (
        build_trainer(policy="periodic", growth={"start": start}) for start in ("zero_outgoing", "gradmax")
    )
    run(plain)
    run(gradmax)
    charged = [each.history[-1].metrics[names.TRAINING_MULTIPLY_ADDS] for each in (plain, gradmax)]
    assert charged[1] - charged[0] == 2 * 3 * 2 * (3 * 4) * plain.history[-1].metrics[names.MULTIPLY_ADDS]


def test_a_nimble_training_ends_in_a_plain_network_of_the_trained_size(build_trainer):
    trainer = build_trainer(policy="nimble", epochs=12)
    result = run(trainer)
    sizes = {group.name: group.size for group in result.units.groups}
    assert sizes["layers.1"] < 8
    assert result.record.metrics[names.NEURONS] == sum(sizes.values())
    assert tuple(result.model.layers[1].weight.shape) == (sizes["layers.1"], 16)
    assert any(event.removed for event in trainer.events)


def test_a_nimble_size_without_a_size_loss_stays_a_plain_network(build_trainer):
    whole = {"start_share": 1.0, "maximum_share": 1.0, "size_coefficient": 0.0, "size_input": False}
    nimble, static = build_trainer(policy="nimble", growth=whole), build_trainer()
    run(nimble)
    run(static)
    assert_same_weights(nimble.model, static.model)
    assert nimble.events == []


def test_the_published_control_follows_the_size_loss_alone_and_ends_in_a_plain_network(build_trainer):
    trainer = build_trainer(policy="mask", schedule="constant", warmup_epochs=0, optimizer="sgd", momentum=0.0)
    control, (controls,) = 0.0, trainer.policy.trained()
    for _ in trainer.epochs():
        for _ in range(4):
            control -= 0.05 * 2 * 1.0 * (control - 1)
        assert controls.item() == pytest.approx(control, abs=1e-5)
    x, _ = next(trainer._batches.validation())
    with torch.no_grad():
        masked = trainer._network.for_evaluation()(x)
        final = trainer.finish()
        assert torch.allclose(final.model(x), masked, atol=1e-5)
    assert {group.name: group.size for group in final.units.groups} == {"layers.1": 8, "layers.4": 6}


def test_finishing_twice_gives_the_same_result(build_trainer):
    trainer = build_trainer(policy="nimble")
    assert run(trainer) is trainer.finish()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("choice", [{"amp": True}, {"channels_last": True}, {"amp": True, "channels_last": True}])
def test_autocast_and_channels_last_train_as_well(build_trainer, policy, choice):
    final = run(build_trainer(policy=policy, model="cnn", epochs=12, learning_rate=0.03, growth=ROOM[policy], **choice))
    assert final.record.metrics[names.BALANCED_ACCURACY] > 0.8
    assert all(parameter.dtype == torch.float32 for parameter in final.model.parameters())


@pytest.mark.gpu
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("choice", [{}, {"amp": True, "channels_last": True}])
def test_every_policy_learns_on_a_gpu_and_resumes_there(build_trainer, policy, choice):
    device, store = torch.device("cuda"), MemoryCheckpointStore()
    options = {
        "policy": policy,
        "model": "cnn",
        "epochs": 12,
        "learning_rate": 0.03,
        "device": device,
        "store": store,
        "growth": ROOM[policy],
        **choice,
    }
    list(itertools.islice(build_trainer(**options).epochs(), 5))
    resumed = build_trainer(**options)
    assert len(resumed.history) == 5
    final = run(resumed)
    assert next(final.model.parameters()).device.type == "cuda"
    assert final.record.metrics[names.BALANCED_ACCURACY] > 0.8
