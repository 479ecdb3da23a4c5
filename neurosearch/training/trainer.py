"""The one trainer: static, growing and nimble networks go through the same steps.

The caller draws epochs from it and decides when to report and when to stop; stopping needs no word, because after every
epoch the state is in the checkpoint store and a new trainer goes on from there, bit for bit on the CPU.

This file is longer than most: the loop, what happens between its epochs, and its state are read together.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from neurosearch import names
from neurosearch.growth.policy import Clock, Decision, Need, Snapshot
from neurosearch.neurons import Reserve, Units, find_units, restore_structure, structure
from neurosearch.randomness import derive_seed
from neurosearch.training.counts import PASSES_PER_STEP, SizeCounter
from neurosearch.training.decorrelation import Decorrelation
from neurosearch.training.distributed import FirstRankStore, Ranks
from neurosearch.training.evaluation import evaluate
from neurosearch.training.generators import seed_global_generator
from neurosearch.training.health import check_losses, check_scores
from neurosearch.training.latency import measure_latency
from neurosearch.training.memory import telling_shortage
from neurosearch.training.network import Forward, Network, load_weights
from neurosearch.training.optimizers import make_optimizer, set_learning_rate
from neurosearch.training.records import EpochRecord, GrowthEvent
from neurosearch.training.seams import Batches, CheckpointStore, GrowthPolicy, Task
from neurosearch.training.second_stage import SecondStage, find_head
from neurosearch.training.settings import TrainingSettings
from neurosearch.training.spending import Spending
from neurosearch.training.state import check_header, header
from neurosearch.training.surgeon import Surgeon
from neurosearch.training.under_way import EpochUnderWay, loss_sums
from neurosearch.training.zapping import Zapping, zap


@dataclass(frozen=True)
class FinalResult:
    """What is left when a training is over.

    Attributes:
        model: A plain network: gates folded, sizes final.
        units: Its neurons.
        record: Scores and sizes of this network; its events are those of the finish alone.
    """

    model: nn.Module
    units: Units
    record: EpochRecord


class Trainer:
    """Trains one network, growing and pruning it as its policy decides.

    Example:
        >>> trainer = Trainer(settings, model, batches, task, policy, checkpoints, device, example_inputs)
        >>> for record in trainer.epochs():
        ...     report(record)
        >>> final = trainer.finish()

    Attributes:
        history: Records of all epochs done, those before a resume included.
        device: Where the network is.
        policy: Who grows and prunes it.
        optimizer: Holds its parameters, and what is kept for each.
    """

    def __init__(  # noqa: PLR0913  # one argument for each seam
        self,
        settings: TrainingSettings,
        model: nn.Module,
        batches: Batches,
        task: Task,
        policy: GrowthPolicy,
        checkpoints: CheckpointStore,
        device: torch.device,
        example_inputs: Sequence[Tensor],
        *,
        ranks: Ranks | None = None,
        second_stage: SecondStage | None = None,
        zapping: Zapping | None = None,
    ) -> None:
        """Go on from the newest checkpoint, or start.

        Args:
            settings: How to train.
            model: The network as configured, freshly made from the trial's seed; it is moved and changed in place.
            batches: The data, on `device`.
            task: What is to be learned.
            policy: Who grows and prunes.
            checkpoints: Where states are kept.
            device: Where to train.
            example_inputs: Inputs of two or more examples, to trace the network with.
            ranks: The processes that train this network together; None for this one alone. All are given the same
                batches, of which each takes its part.
            second_stage: What happens to the classifier after the last epoch; None: nothing. No epoch depends on it, so
                several may be tried from one last checkpoint.
            zapping: When the class head is drawn anew while the network trains; None: never.

        Raises:
            TrialFailed: There is a second stage or zapping, but no classifier that it could change; or decorrelation,
                but no neurons that it could see.
        """
        model.to(device)
        if settings.channels_last:
            model.to(memory_format=torch.channels_last)
        example_inputs = tuple(inputs.to(device) for inputs in example_inputs)
        units = find_units(model, example_inputs)
        first = next(model.parameters())
        self.history: list[EpochRecord] = []
        self.device = device
        self.policy = policy
        self._settings = settings
        self._batches = batches
        self._steps_per_epoch = batches.steps_per_epoch
        self._task = task
        self._checkpoints = checkpoints if ranks is None else FirstRankStore(checkpoints, ranks)
        self._ranks = ranks
        self._base_sizes = {group.name: group.size for group in units.groups}
        self._base_structure = structure(model, units)
        self._example_inputs = example_inputs
        self._step = 0
        self._is_prepared = False
        self._num_reported = 0  # events that stand in a record
        self._result: FinalResult | None = None
        task.to(device, first.dtype)
        policy.attach(units, device, first.dtype, _generator(settings, "policy"))
        self._reserve = Reserve(model, units, policy.largest_sizes(), _generator(settings, "reserve"))
        state = self._load_state()
        if state is not None:
            units = restore_structure(model, state["structure"])
            load_weights(model, state["model"])
            policy.load_state_dict(state["policy"])
            self._reserve.load_state_dict(state["reserve"])
        self._network = Network(
            model,
            units,
            policy,
            amp=settings.amp,
            channels_last=settings.channels_last,
            compiled=settings.compiled,
        )
        self._decorrelation = Decorrelation(settings.decorrelation, model, units) if settings.decorrelation else None
        self._counter = SizeCounter(model, example_inputs)
        self._spent = Spending(self._counter)
        self._one_example = example_inputs[0][:1]
        self._second_stage = second_stage
        self._zapping = zapping
        if second_stage is None and zapping is None:
            self._head = None
        else:
            field = "training.classifier" if second_stage is not None else "training.zap_period_epochs"
            self._head = find_head(model, self._one_example, field)
        parameters = [*model.parameters(), *policy.columns()]
        self.optimizer = make_optimizer(settings, parameters, policy.trained(), policy.optimizer_settings())
        self._surgeon = Surgeon(
            self._network,
            self.optimizer,
            batches,
            task,
            self._base_sizes,
            settings.importance_examples,
            settings.seed,
            self._reserve,
        )
        if state is not None:
            self._restore(state)

    @property
    def model(self) -> nn.Module:
        """The network as it is now."""
        return self._network.model

    @property
    def settings(self) -> TrainingSettings:
        """How it trains."""
        return self._settings

    @property
    def units(self) -> Units:
        """The network's neurons as they are now."""
        return self._network.units

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer updates of one epoch."""
        return self._steps_per_epoch

    @property
    def num_steps(self) -> int:
        """Optimizer updates done."""
        return self._step

    @property
    def special(self) -> str | None:
        """Which field makes a step more than forward, loss and backward of the network; None for none."""
        found = {
            "search.gpus_per_trial": self._ranks is not None,
            "training.decorrelation": self._decorrelation is not None,
            "training.zap_period_epochs": self._zapping is not None,
            "training.bf16": self._settings.amp,
        }
        return next((field for field, is_on in found.items() if is_on), None)

    @property
    def events(self) -> list[GrowthEvent]:
        """Every change of the network so far, those before a resume included."""
        return self._surgeon.events

    def epochs(self) -> Iterator[EpochRecord]:
        """Train epoch by epoch; each one is checkpointed before its record is yielded.

        Raises:
            TrialFailed: A loss is not finite.
            OutOfMemory: An allocation failed; a new trainer goes on from the last checkpoint.
        """
        self.prepare()
        while not self.is_over:
            with telling_shortage(self._described):
                under_way = self.begin_epoch()
                record = self.end_epoch(under_way, self.run_steps(under_way))
            yield record

    # A pack of trainings goes through the same epochs as `epochs` does, and takes the steps of all at once.

    @property
    def is_over(self) -> bool:
        """Whether no epoch is left."""
        return len(self.history) >= self._settings.epochs

    def prepare(self) -> None:
        """Make the change that is due before the first step, if there is one and it was not made yet."""
        need = self.policy.due(self._clock()) if self._step == 0 and not self._is_prepared else None
        self._is_prepared = True
        if need is not None:
            with telling_shortage(self._described):
                self.carry_out(self.policy.decide(self._snapshot(self._clock(), need)))

    def begin_epoch(self) -> EpochUnderWay:
        """Begin the next epoch; its steps are to be taken before `end_epoch`."""
        epoch, started = len(self.history), perf_counter()
        # Dropout draws from the global generator; seeded anew at each epoch, it needs no place in the checkpoint.
        seed = derive_seed(self._settings.seed, "epoch", epoch, *self._rank_label())
        seed_global_generator(seed, self.device)
        set_learning_rate(self.optimizer, self._settings, epoch)
        self._zap(epoch)
        task, batches = self._task.during(epoch, self._settings.epochs), self._batches.train(epoch)
        is_late = task is not self._task
        return EpochUnderWay(epoch, started, self._step, self._spent.num_examples, task, batches, seed, is_late)

    def count_steps(self, num_steps: int, num_examples: int) -> Need | None:
        """Count steps, taken on so many examples together; return what the policy must be shown now, if it is due.

        Of all steps but the last one the policy is not asked.
        """
        self._spent.num_examples += num_examples
        self._step += num_steps
        return self.policy.due(self._clock())

    def decide(self, under_way: EpochUnderWay, need: Need, losses: Sequence[float]) -> tuple[Decision, ...]:
        """Return what the policy decides now; nothing is carried out yet.

        Args:
            under_way: The epoch.
            need: What it must be shown.
            losses: Of the last step, task and size.

        Raises:
            TrialFailed: A loss is not finite.
        """
        self._check_losses(losses, under_way.first_step)
        self._charge()
        return self.policy.decide(self._snapshot(self._clock(), need))

    def carry_out(self, decisions: Sequence[Decision]) -> None:
        """Change network and optimizer as the policy has decided."""
        self._apply(decisions, self._clock())

    def end_epoch(self, under_way: EpochUnderWay, losses: Tensor) -> EpochRecord:
        """Score the network after an epoch, keep its state and return its record.

        Args:
            under_way: The epoch.
            losses: Sums of its task losses and size losses, float64 `(2,)` on the device.

        Raises:
            TrialFailed: A loss is not finite.
        """
        self._charge()
        self._share_buffers()
        scores, sums = evaluate(self._network.for_evaluation(), self._batches, self._task, losses)
        seconds = perf_counter() - under_way.started  # the evaluation has waited for the device
        self._check_losses(sums, under_way.first_step)
        num_steps = self._step - under_way.first_step
        scores |= {
            names.TASK_LOSS: sums[0] / num_steps,
            names.SIZE_LOSS: sums[1] / num_steps,
            names.IMAGES_PER_SECOND: (self._spent.num_examples - under_way.num_before) / seconds,
            names.EPOCH_SECONDS: seconds,
        }
        if self._decorrelation is not None:
            scores |= self._decorrelation.take_metrics()
        record = self._record(scores)
        self.history.append(record)
        if self._settings.is_checkpointed(record.epoch):
            self._checkpoints.save(record.epoch, self._state())
        return record

    def finish(self) -> FinalResult:
        """Make the network plain and final after the last epoch, and score it once more if that changed it."""
        assert len(self.history) == self._settings.epochs, "finish comes after the last epoch"
        if self._result is None:
            with telling_shortage(self._described):
                record = self._finish()
                self._task.finish(self.model, self._one_example)
            self._result = FinalResult(self.model, self.units, record)
        return self._result

    def run_steps(self, under_way: EpochUnderWay) -> Tensor:
        """Take the steps of an epoch alone; return the sums of its task losses and size losses, `(2,)` on the device.

        Nothing here waits for the device unless the policy is due, and nothing is done per step that a bare loop would
        not do, but for keeping the loss and asking the policy.
        """
        optimizer, policy, ranks, spent = self.optimizer, self.policy, self._ranks, self._spent
        task = under_way.task
        task_loss = task.loss
        # Surgery keeps the parameter objects, so this list stays true. Clearing gradients by hand is what `zero_grad`
        # does, without its profiler hooks, which cost several percent of a small network's step.
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        task_losses: list[Tensor] = []
        size_losses: list[Tensor] = []
        forward, decorrelation = self._forward(), self._decorrelation
        for inputs, targets in under_way.batches:
            for parameter in parameters:
                parameter.grad = None
            spent.num_examples += targets.size(0)
            if ranks is not None:
                inputs, targets = ranks.part((inputs, targets))  # noqa: PLW2901  # the rest is others' business
            loss = task_loss(forward(inputs), targets)
            task_losses.append(loss.detach())
            size_loss = policy.size_loss()
            if size_loss is not None:
                size_losses.append(size_loss.detach())
                loss = loss + size_loss
            if decorrelation is not None:
                loss = loss + decorrelation.loss()
            loss.backward()  # type: ignore[no-untyped-call]
            if ranks is not None:
                task_losses[-1] = ranks.average(parameters, task_losses[-1], task.weight(targets))
            optimizer.step()
            self._step += 1
            need = policy.due(self._clock())
            if need is not None:
                del loss, size_loss  # surgery refuses while an autograd graph is alive
                self.carry_out(self.decide(under_way, need, loss_sums(task_losses[-1:], size_losses[-1:]).tolist()))
                forward = self._forward()
        return loss_sums(task_losses, size_losses)

    def _forward(self) -> Forward:
        """Return the forward pass of a step, valid until the network changes."""
        forward = self._network.for_training()
        return forward if self._decorrelation is None else self._decorrelation.watching(forward, self.units)

    def _zap(self, epoch: int) -> None:
        """Draw the class head anew, if that is due before this epoch."""
        if self._zapping is None or self._head is None or not self._zapping.is_due(epoch, self._settings.epochs):
            return
        name, head = self._head
        zap(head, self.optimizer, derive_seed(self._settings.seed, "zap", epoch))
        self.events.append(GrowthEvent(self._step, epoch, name, 0, 0, "the class head was drawn anew"))

    def _snapshot(self, clock: Clock, need: Need) -> Snapshot:
        self._share_buffers()
        snapshot, num_scored = self._surgeon.snapshot(clock, need)
        self._spent.charge_passes(self.units, PASSES_PER_STEP * num_scored)
        return snapshot if self._ranks is None else self._ranks.with_first_scores(snapshot)

    def _apply(self, decisions: Sequence[Decision], clock: Clock) -> None:
        if self._ranks is not None:
            self._ranks.check_same(decisions)
        self._surgeon.apply(decisions, clock)

    def _share_buffers(self) -> None:
        if self._ranks is not None:
            self._ranks.average_buffers(self.model)

    def _rank_label(self) -> tuple[int, ...]:
        """Return what tells this process's dropout from that of others; the first has that of a training alone."""
        return () if self._ranks is None or self._ranks.rank == 0 else (self._ranks.rank,)

    def _finish(self) -> EpochRecord:
        need = self.policy.finish_need()
        if need is None and self._second_stage is None:
            last = self.history[-1]
            return replace(last, metrics=last.metrics | self._checked_structure(), events=(), at_rest=True)
        if need is not None:
            snapshot = self._snapshot(self._clock(), need)
            self._apply(self.policy.finish(snapshot), snapshot.clock)
        metrics = self.history[-1].metrics | self._run_second_stage()
        losses = torch.zeros(0, dtype=torch.float64, device=self.device)
        scores, _ = evaluate(self._network.for_evaluation(), self._batches, self._task, losses)
        return replace(self._record(metrics | scores | self._checked_structure()), at_rest=True)

    def _checked_structure(self) -> dict[str, float]:
        """Return whether the final network, traced anew, has the structure that was configured.

        A policy whose sizes are not trained has no other end.
        """
        is_base = structure(self.model, find_units(self.model, self._example_inputs)) == self._base_structure
        assert is_base or self.policy.trained(), "the network does not end at the structure that was configured"
        return {names.BASE_STRUCTURE: float(is_base)}

    def _run_second_stage(self) -> dict[str, float]:
        """Change the classifier of the final network, if that is asked for; return what is new beside its scores.

        No state is kept of it: after a kill it is done again from the last checkpoint, and comes out the same.
        """
        if self._second_stage is None or self._head is None:
            return {}
        name, head = self._head
        clock = self._clock()
        done = self._second_stage.apply(self._network.for_evaluation(), head, self._batches, self._settings)
        steps = done.epochs * self._steps_per_epoch
        check_losses({"classifier's": sum(done.losses)}, clock.epoch + done.epochs, clock.step + 1, clock.step + steps)
        self._step += steps
        self._spent.charge_passes(self.units, done.num_forward)
        self._spent.multiply_adds += done.multiply_adds
        self.events.append(GrowthEvent(clock.step, clock.epoch, name, 0, 0, done.reason))
        return {names.TASK_LOSS: done.losses[-1] / self._steps_per_epoch} if done.losses else {}

    def _described(self) -> str:
        num_neurons = sum(group.size for group in self.units.groups)
        return f"{num_neurons:,} neurons and {sum(p.numel() for p in self.model.parameters()):,} parameters"

    def _clock(self) -> Clock:
        return Clock(self._step, self._step // self._steps_per_epoch, self._steps_per_epoch, self._settings.epochs)

    def _charge(self) -> None:
        """Charge the examples trained on since the last time to the network as it is now."""
        self._spent.charge(self.units)
        if self._decorrelation is not None:
            num_ranks = 1 if self._ranks is None else self._ranks.size
            self._spent.multiply_adds += self._decorrelation.take_multiply_adds() * num_ranks

    def _record(self, scores: dict[str, float]) -> EpochRecord:
        clock = self._clock()
        check_scores(scores, clock.epoch, clock.step)
        metrics = scores | self._counter.count(self.units) | {names.TRAINING_MULTIPLY_ADDS: self._spent.multiply_adds}
        metrics |= self._surgeon.take_counts()
        if self._settings.measure_latency:
            metrics[names.LATENCY_SECONDS] = measure_latency(self._network.for_evaluation(), self._one_example)
        events, self._num_reported = self.events[self._num_reported :], len(self.events)
        at_rest = self.policy.at_rest(self.units, self._base_sizes)
        return EpochRecord(clock.epoch, clock.step, metrics, tuple(events), at_rest)

    def _check_losses(self, sums: Sequence[float], first_step: int) -> None:
        losses = {self._task.loss_name: sums[0], "size": sums[1]}
        check_losses(losses, len(self.history) + 1, first_step + 1, self._step)

    def _state(self) -> dict[str, Any]:
        return {
            **header(self._settings),
            "step": self._step,
            "structure": structure(self.model, self.units),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "policy": self.policy.state_dict(),
            "reserve": self._reserve.state_dict(),
            "multiply_adds": self._spent.multiply_adds,
            "events": [event.to_dict() for event in self.events],
            "history": [record.to_dict() for record in self.history],
        }

    def _load_state(self) -> dict[str, Any] | None:
        state = self._checkpoints.load_newest()
        if state is not None:
            check_header(state, self._settings)
        return state

    def _restore(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        self._step = state["step"]
        self._spent.multiply_adds = state["multiply_adds"]
        self.history += [EpochRecord.from_dict(record) for record in state["history"]]
        self.events.extend(GrowthEvent.from_dict(event) for event in state["events"])
        self._num_reported = len(self.events)


def _generator(settings: TrainingSettings, label: str) -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed(settings.seed, label))
