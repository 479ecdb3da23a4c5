"""A pack: trainings that take their steps together, and are in all else trainings of their own.

Every member is a `Trainer`. For the steps of an epoch its tensors lie in a stack, padded with zeros; for all else, that
is growth, scores, checkpoints and the end, they are back in its own network, of its true size. So a member can leave
between two epochs and go on alone, one that began alone can join, and a member that a pack was killed with goes on from
its checkpoint as any other training.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import perf_counter

import torch
from torch import Tensor

from neurosearch.growth.policy import NOTHING, Need
from neurosearch.growth.static import StaticPolicy
from neurosearch.training.called_stack import CalledStack
from neurosearch.training.chain import NotPackable, check_packable
from neurosearch.training.companies import companies
from neurosearch.training.compiled_step import CompiledSteps
from neurosearch.training.form import Form, covering, form_of
from neurosearch.training.records import EpochRecord
from neurosearch.training.stack import Losses, Occupant, Stack
from neurosearch.training.trainer import Trainer
from neurosearch.training.under_way import EpochUnderWay, loss_sums

Result = EpochRecord | Exception
AnyStack = Stack | CalledStack


@dataclass
class _Member:
    """A training in its epoch.

    Attributes:
        trainer: The training.
        under_way: Its epoch.
        occupant: Itself as its stack knows it.
        seat: Its stack and row; None where its own network is up to date.
        heard: Id of the stack and row where its steps' losses are since it sat down last.
        counted: Steps of the epoch, and examples in them, that its trainer knows of.
        failure: What it has ended with; None while it goes on.
        task_losses: Of its steps, one after the other, as pieces of one dimension on the device.
        size_losses: The same for the sizes; empty where none are trained.
    """

    trainer: Trainer
    under_way: EpochUnderWay
    occupant: Occupant
    seat: tuple[AnyStack, int] | None = None
    heard: tuple[int, int] | None = None
    counted: tuple[int, int] = 0, 0
    failure: Exception | None = None
    task_losses: list[Tensor] = field(default_factory=list)
    size_losses: list[Tensor] = field(default_factory=list)


class Pack:
    """Trainings that take their steps together."""

    def __init__(self) -> None:
        self._stacks: list[AnyStack] = []  # of the epoch before, whose members are up to date
        self._seated: list[list[_Member]] = []  # who is in each row of each stack
        self._losses: dict[int, list[Losses]] = {}  # of each stack's steps since its members sat down, by its id
        self._done = 0, 0  # steps of the epoch and examples in them
        self._steps = CompiledSteps()

    @property
    def compile_seconds(self) -> float:
        """Seconds that were spent on compiling steps."""
        return self._steps.seconds

    def train_epoch(self, trainers: Sequence[Trainer]) -> list[Result]:
        """Train the next epoch of each member; return for each its record, or the error that it has ended with.

        Members may come and go between two calls. One that fails does not touch the others.

        Args:
            trainers: At least one, all with an epoch left, and prepared.

        Raises:
            NotPackable: They cannot take their steps together.
        """
        started = perf_counter()
        members = self._stepped(trainers)
        share = (perf_counter() - started) / len(members)
        return [_ended(member, share) for member in members]

    def take_steps(self, trainers: Sequence[Trainer]) -> None:
        """Take the steps of the next epoch alone, to see how long they take; the trainings are of no use afterwards."""
        self._stepped(trainers)

    def _stepped(self, trainers: Sequence[Trainer]) -> list[_Member]:
        check_together(trainers)
        members = [_began(trainer) for trainer in trainers]
        self._done = 0, 0
        with _flushing_denormals():
            self._seat(members)
            for step in range(1, trainers[0].steps_per_epoch + 1):
                self._step(members, is_last=step == trainers[0].steps_per_epoch)
        self._hand_out_losses(members)
        for member in members:
            _rise(member)
        return members

    def _seat(self, members: Sequence[_Member]) -> None:
        """Put every member into the stack of its form; a company that has not changed stays as it is."""
        self._hand_out_losses(members)
        going = [member for member in members if member.failure is None]
        stacks, self._seated = [], []
        for form, places in companies(tuple(form_of(member.trainer, member.under_way) for member in going)):
            company = [going[place] for place in places]
            known = next((stack for stack in self._stacks if stack.holds(form, [m.trainer for m in company])), None)
            if known is None:
                for member in company:
                    _rise(member)
                known = _stack(form, [member.occupant for member in company], self._steps)
            for row, member in enumerate(company):
                if member.seat is None:
                    known.occupy(row, member.occupant)
                member.seat, member.heard = (known, row), (id(known), row)
            stacks.append(known)
            self._seated.append(company)
        self._stacks = stacks

    def _step(self, members: Sequence[_Member], *, is_last: bool) -> None:
        losses, batch_size = _stepped(self._stacks)
        self._done = self._done[0] + 1, self._done[1] + batch_size
        has_moved = False
        for stack, company in zip(self._stacks, self._seated, strict=True):
            last = losses[id(stack)]
            self._losses.setdefault(id(stack), []).append(last)
            awake = company if is_last else _awake(stack, company, last)  # an epoch's end is for all policies to see
            for member in awake:
                need = None if member.failure is not None else self._count(member)
                has_moved = (need is not None and _change(member, need, last)) or has_moved
        if has_moved:
            self._seat(members)

    def _count(self, member: _Member) -> Need | None:
        """Let a member's trainer know of its steps; return what its policy must be shown now."""
        num_steps, num_examples = (done - known for done, known in zip(self._done, member.counted, strict=True))
        member.counted = self._done
        return member.trainer.count_steps(num_steps, num_examples)

    def _hand_out_losses(self, members: Sequence[_Member]) -> None:
        """Give each member the losses of its steps since the last time."""
        columns = {key: [_columns(each) for each in zip(*steps, strict=True)] for key, steps in self._losses.items()}
        self._losses = {}
        for member in members:
            if member.heard is None or member.heard[0] not in columns:
                continue
            (task_losses, size_losses), row = columns[member.heard[0]], member.heard[1]
            member.task_losses.append(task_losses[row])
            member.size_losses += size_losses[row : row + 1]


def _columns(losses: Sequence[Tensor | None]) -> Sequence[Tensor]:
    """Return what each row has lost, step by step, from what all have lost at each step; nothing if they have not."""
    known = [each for each in losses if each is not None]
    return torch.stack(known, 1).unbind() if known else ()


def _awake(stack: AnyStack, company: Sequence[_Member], losses: Losses) -> Sequence[_Member]:
    """Return whose policy may have something to do; the others would find sizes at rest and losses that are numbers."""
    at_rest = stack.are_at_rest(losses)
    if at_rest is None or at_rest.is_cuda:  # to read it would wait for the GPU at every step, not only where one is due
        return [member for member in company if not isinstance(member.trainer.policy, StaticPolicy)]
    if bool(at_rest.all()):
        return ()
    return [member for member, is_resting in zip(company, at_rest.tolist(), strict=True) if not is_resting]


def _stepped(stacks: Sequence[AnyStack]) -> tuple[dict[int, Losses], int]:
    """Take one step of all stacks.

    Returns:
        The task losses and the size losses of each stack's rows, by the stack's id, and the examples of a batch.
    """
    found: dict[int, Losses] = {}
    batch_size = 0  # where every member has ended
    eager: list[AnyStack] = []
    for stack in stacks:
        if isinstance(stack, Stack) and stack.form.is_compiled:
            with torch.no_grad():
                found[id(stack)], batch_size = stack.step()
        else:
            eager.append(stack)
    if eager:
        of_eager, batch_size = _stepped_eagerly(eager)
        found |= of_eager
    return found, batch_size


def _stepped_eagerly(stacks: Sequence[AnyStack]) -> tuple[dict[int, Losses], int]:
    """Take one step operation by operation, with one call of the loss for those whose networks learn the same."""
    passed = [stack.forward() for stack in stacks]
    by_phase: dict[bool, list[int]] = {}
    for place, stack in enumerate(stacks):
        by_phase.setdefault(stack.form.is_late, []).append(place)
    task_losses: dict[int, Tensor] = {}
    for places in by_phase.values():
        outputs = torch.cat([passed[place].outputs for place in places])
        targets = torch.cat([passed[place].targets for place in places])
        losses = torch.func.vmap(stacks[places[0]].occupants[0].under_way.task.loss)(outputs, targets)
        task_losses |= zip(places, torch.split(losses, [len(stacks[place].occupants) for place in places]), strict=True)
    size_losses = [each.size_losses for each in passed]
    every = [*task_losses.values(), *(each for each in size_losses if each is not None)]
    torch.cat(every).sum().backward()  # type: ignore[no-untyped-call]
    found: dict[int, Losses] = {}
    with torch.no_grad():
        for place, stack in enumerate(stacks):
            stack.update()
            size = size_losses[place]
            found[id(stack)] = task_losses[place].detach(), None if size is None else size.detach()
    return found, passed[0].targets.size(1)


def _stack(form: Form, occupants: Sequence[Occupant], steps: CompiledSteps) -> AnyStack:
    return Stack(form, occupants, steps) if form.links else CalledStack(form, occupants)


def check_together(trainers: Sequence[Trainer]) -> None:
    """Check that trainings can take their steps together.

    Raises:
        NotPackable: They cannot; says by which field.
    """
    first = trainers[0]
    for trainer in trainers:
        check_packable(trainer)
        if trainer.steps_per_epoch != first.steps_per_epoch:
            raise NotPackable(
                "training.batch_size", f"{trainer.steps_per_epoch} and {first.steps_per_epoch} steps of an epoch differ"
            )


def _began(trainer: Trainer) -> _Member:
    under_way = trainer.begin_epoch()
    dropout = torch.Generator(trainer.device).manual_seed(under_way.seed)
    return _Member(trainer, under_way, Occupant(trainer, under_way, dropout))


def _rise(member: _Member) -> None:
    """Bring a member's own network up to date."""
    if member.seat is not None:
        stack, row = member.seat
        stack.unload(row)
        member.seat = None


def _change(member: _Member, need: Need, last: Losses) -> bool:
    """Let a member's policy decide and its network change; return whether it needs another seat."""
    assert member.seat is not None
    stack, row = member.seat
    losses = [0.0 if each is None else float(each[row]) for each in last]
    try:
        if need == NOTHING:  # its sizes are all that the policy looks at
            stack.unload_sizes(row)
            decisions = member.trainer.decide(member.under_way, need, losses)
            stack.load_sizes(row)
            if not decisions:
                return False
            stack.unload(row)
        else:
            stack.unload(row)
            decisions = member.trainer.decide(member.under_way, need, losses)
        member.trainer.carry_out(decisions)
        if covering(stack.form, form_of(member.trainer, member.under_way)) == stack.form:
            stack.load(row)
            return False
        member.seat = None
        return True
    except Exception as error:  # noqa: BLE001  # whatever ends one member must not end the others
        member.failure, member.seat = error, None
        return False


def _ended(member: _Member, seconds: float) -> Result:
    """End a member's epoch, whose steps have taken so many seconds of its own."""
    if member.failure is not None:
        return member.failure
    try:
        losses = loss_sums(*([torch.cat(each)] if each else [] for each in (member.task_losses, member.size_losses)))
        return member.trainer.end_epoch(replace(member.under_way, started=perf_counter() - seconds), losses)
    except Exception as error:  # noqa: BLE001  # see above
        return error


@contextmanager
def _flushing_denormals() -> Iterator[None]:
    """Take numbers next to 0 for 0: the moments of a neuron that is not used any more cost a hundred times the time."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
