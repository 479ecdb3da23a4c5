"""Two real processes that talk by Gloo; each test starts a pair, which costs seconds, so there are few."""

import json
import multiprocessing
from dataclasses import replace

import pytest
import torch

from neurosearch.growth import NimblePolicy, PeriodicPolicy, StaticPolicy
from neurosearch.models import Mlp, MlpShape
from neurosearch.training.checkpoint import FolderCheckpointStore
from neurosearch.training.distributed import FirstRankStore, Ranks, joined
from neurosearch.training.losses import CrossEntropy, LogitAdjustment, class_balanced_weights
from neurosearch.training.tasks import Classification
from neurosearch.training.trainer import Trainer

CPU = torch.device("cpu")


def build(settings, batches, policy, loss, folder, ranks=None, norm="none"):
    """A training in double precision, so that what differs is not rounding."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = Mlp(MlpShape((1, 4, 4), (8, 6), 3, "relu", norm, 0.0)).double()
    batches = Doubled(batches)
    task = make_task(loss, batches.class_counts)
    store = FolderCheckpointStore(folder)
    inputs = (torch.zeros(2, 1, 4, 4, dtype=torch.float64),)
    return Trainer(settings, model, batches, task, policy, store, CPU, inputs, ranks=ranks)


def make_task(loss, counts):
    """`deferred` weights classes in the second half of the epochs."""
    weights = class_balanced_weights(counts, 0.9999)
    plain, weighted = CrossEntropy("cross_entropy", None), CrossEntropy("cross_entropy", weights)
    match loss:
        case "cross_entropy":
            return Classification(plain, counts, ["a", "b", "c"])
        case "balanced_softmax":
            return Classification(LogitAdjustment(loss, counts, 1.0, None), counts, ["a", "b", "c"])
        case "deferred":
            return Classification(plain, counts, ["a", "b", "c"], late_loss=weighted, late_share=0.5)


class Doubled:
    """Batches in double precision."""

    def __init__(self, batches):
        self._batches = batches
        self.steps_per_epoch, self.class_counts = batches.steps_per_epoch, batches.class_counts

    def train(self, epoch):
        return ((x.double(), y) for x, y in self._batches.train(epoch))

    def validation(self):
        return ((x.double(), y) for x, y in self._batches.validation())

    def balanced(self, per_class, seed):
        return [(x.double(), y) for x, y in self._batches.balanced(per_class, seed)]


class Contrary(PeriodicPolicy):
    """A policy that depends on which process it is in."""

    def __init__(self, settings, rank):
        super().__init__(replace(settings, grow_share=settings.grow_share * (1 + rank)))


def run(trainer):
    for _ in trainer.epochs():
        pass
    return trainer.finish()


def outcome(trainer):
    final = run(trainer)
    weights = {name: tensor.tolist() for name, tensor in final.model.state_dict().items()}
    return {"records": [record.to_dict() for record in trainer.history], "weights": weights}


def rank_main(rank, folder, settings, batches, policies, loss, norm):
    torch.set_num_threads(1)
    try:
        with joined(rank, 2, folder / "rendezvous", CPU) as ranks:
            told = outcome(build(settings, batches, policies[rank], loss, folder / "pair", ranks, norm))
    except Exception as error:  # noqa: BLE001  # the test looks at it
        told = {"error": f"{type(error).__name__}: {error}"}
    (folder / f"{rank}.json").write_text(json.dumps(told))


def run_pair(folder, settings, batches, policies, loss="cross_entropy", norm="none"):
    # From a process that has run nothing: a fork of the one that runs a whole suite, with its threads, may crash.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    arguments = [(rank, folder, settings, batches, policies, loss, norm) for rank in range(2)]
    processes = [context.Process(target=rank_main, args=each) for each in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


POLICIES = {
    "static": lambda periodic, nimble: StaticPolicy(),
    "periodic": lambda periodic, nimble: PeriodicPolicy(periodic),
    "nimble": lambda periodic, nimble: NimblePolicy(nimble),
}


@pytest.mark.parametrize(
    ("policy", "loss"), [("static", "deferred"), ("periodic", "cross_entropy"), ("nimble", "balanced_softmax")]
)
def test_two_processes_train_the_same_network_as_one(
    tmp_path, training_settings, growth_settings, make_batches, policy, loss
):
    batches, settings = make_batches(CPU), replace(training_settings, epochs=4)
    make_policy = POLICIES[policy]
    alone = outcome(build(settings, batches, make_policy(*growth_settings), loss, tmp_path / "alone"))
    first, second = run_pair(tmp_path, settings, batches, [make_policy(*growth_settings) for _ in range(2)], loss)
    assert first["weights"] == second["weights"]
    assert first["weights"].keys() == alone["weights"].keys()
    for name, tensor in alone["weights"].items():
        assert torch.allclose(torch.tensor(first["weights"][name]), torch.tensor(tensor), rtol=0, atol=1e-6), name
    for found, expected in zip(first["records"], alone["records"], strict=True):
        assert found["events"] == expected["events"]
        for name in ("training_multiply_adds", "task_loss", "size_loss", "balanced_accuracy", "parameters"):
            assert found["metrics"][name] == pytest.approx(expected["metrics"][name], abs=1e-6), name
    assert policy == "static" or any(record["events"] for record in alone["records"])


def test_with_batch_norm_the_processes_hold_the_same_statistics_and_grow_alike(
    tmp_path, training_settings, growth_settings, make_batches
):
    merging = replace(growth_settings[0], merge_threshold=0.1)  # statistics and weights tell which neurons are merged
    policies = [PeriodicPolicy(merging) for _ in range(2)]
    first, second = run_pair(tmp_path, training_settings, make_batches(CPU), policies, norm="batch")
    assert first["weights"] == second["weights"]
    assert any("running_mean" in name for name in first["weights"])
    assert any(record["events"] for record in first["records"])
    assert any(record["metrics"].get("neurons_merged", 0) > 0 for record in first["records"])
    assert first["records"][-1]["metrics"]["balanced_accuracy"] > 0.7


def test_processes_that_decide_differently_end_with_a_reason(
    tmp_path, training_settings, growth_settings, make_batches
):
    policies = [Contrary(growth_settings[0], rank) for rank in range(2)]
    for told in run_pair(tmp_path, training_settings, make_batches(CPU), policies):
        assert told["error"].startswith("TrialFailed: the 2 processes of the trial decided differently")


@pytest.mark.parametrize(("count", "sizes"), [(10, [5, 5]), (11, [5, 6]), (4, [2, 2]), (3, [3, 3]), (1, [1, 1])])
def test_a_batch_is_shared_out_unless_a_part_would_hold_a_lone_example(count, sizes):
    batch = (torch.arange(count), torch.arange(count))
    parts = [Ranks(rank, 2).part(batch)[0] for rank in range(2)]
    assert [len(part) for part in parts] == sizes
    if count >= 4:
        assert torch.equal(torch.cat(parts), batch[0])


def test_only_the_first_process_writes_a_state(tmp_path):
    store = FolderCheckpointStore(tmp_path)
    FirstRankStore(store, Ranks(1, 2)).save(1, {"step": 1})
    assert store.load_newest() is None
    FirstRankStore(store, Ranks(0, 2)).save(1, {"step": 1})
    assert FirstRankStore(store, Ranks(1, 2)).load_newest() == {"step": 1}
