"""One training on several processes, each with a part of every batch: what they tell each other.

Every process holds the whole network and takes the same steps. The network is not wrapped: its gradients are averaged
by one exchange after the backward pass, so nothing has to be taken apart and put together around a change of its shape.
The average is weighted as the loss weighs its examples, so it is the gradient of the whole batch, whatever the parts.

What does not go through gradients:
- Batch normalisation normalises each process's part by itself; its running statistics are averaged before they are
  used, that is before neurons are scored and before an evaluation.
- Neurons are scored by every process on the same examples; the first one's scores count for all, because a device may
  add in another order each time. Decisions are then compared by their digest.
- The validation part is scored by every process as a whole.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from neurosearch.growth.policy import Decision, Snapshot
from neurosearch.training.records import TrialFailed
from neurosearch.training.seams import Batch, CheckpointStore

_TIMEOUT = timedelta(minutes=30)  # of an exchange; a process that died is noticed at once and not by this


class Ranks:
    """This process among those that train one network together; inside `joined`.

    Attributes:
        rank: Which one it is; the first, 0, keeps the states.
        size: How many there are.
    """

    def __init__(self, rank: int, size: int) -> None:
        self.rank = rank
        self.size = size

    def part(self, batch: Batch) -> Batch:
        """Return this process's part of a batch.

        A batch with fewer than two examples for each process goes to all of them as a whole, since batch normalisation
        cannot train on one; the average of equal gradients is the same gradient.
        """
        inputs, targets = batch
        count = len(targets)
        if count < 2 * self.size:
            return batch
        first, end = (count * rank // self.size for rank in (self.rank, self.rank + 1))
        return inputs[first:end], targets[first:end]

    def average(self, parameters: Sequence[nn.Parameter], loss: Tensor, weight: Tensor) -> Tensor:
        """Replace the gradients of the parts by that of the whole batch, and return its loss.

        Args:
            parameters: Those of the optimizer, in the same order in every process.
            loss: Mean loss of the part.
            weight: What the part counts for in the mean over the batch (see `Task.weight`).
        """
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        weight = weight.to(loss.dtype)
        flat = torch.cat([*(gradient.flatten() for gradient in gradients), loss.reshape(1)]) * weight
        flat = torch.cat([flat, weight.reshape(1)])
        dist.all_reduce(flat)
        flat = flat[:-1] / flat[-1]
        parts = torch.split_with_sizes(flat[:-1], [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
        return flat[-1]

    def average_buffers(self, model: nn.Module) -> None:
        """Make the running statistics of all processes their mean; counters are the same everywhere."""
        for buffer in model.buffers():
            if buffer.is_floating_point():
                dist.all_reduce(buffer)
                buffer.div_(self.size)

    def with_first_scores(self, snapshot: Snapshot) -> Snapshot:
        """Return the snapshot with all that the first process has found to decide from."""
        scores, head_scores = _on_cpu(snapshot.scores), _on_cpu(snapshot.head_scores)
        found = (scores, head_scores, snapshot.directions, snapshot.demand, snapshot.explained, snapshot.twins)
        if any(each is not None for each in found):
            shared: list[Any] = [found]
            dist.broadcast_object_list(shared, src=0)
            found = shared[0]
        scores, head_scores, directions, demand, explained, twins = found
        return replace(
            snapshot,
            scores=scores,
            head_scores=head_scores,
            directions=directions,
            demand=demand,
            explained=explained,
            twins=twins,
        )

    def check_same(self, decisions: Sequence[Decision]) -> None:
        """Check that all processes have decided the same.

        Raises:
            TrialFailed: They have not; their networks would have other shapes from here on.
        """
        own = hashlib.sha256("\n".join(decision.plan.to_json() for decision in decisions).encode()).hexdigest()
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, own)
        if len(set(found)) > 1:
            raise TrialFailed(
                f"the {self.size} processes of the trial decided differently how the network shall grow, from the same "
                "scores. The growth policy depends on something beside its snapshot and its state: mend it, or give "
                "the trial one GPU by search.gpus_per_trial: 1."
            )


class FirstRankStore:
    """A store that only the first process writes to; all of them read."""

    def __init__(self, store: CheckpointStore, ranks: Ranks) -> None:
        """Take the store that all processes see."""
        self._store = store
        self._ranks = ranks

    def save(self, epoch: int, payload: dict[str, Any]) -> None:
        """Keep the state, in the first process."""
        if self._ranks.rank == 0:
            self._store.save(epoch, payload)

    def load_newest(self) -> dict[str, Any] | None:
        """Return the newest state, the same in every process: none writes before all have read."""
        return self._store.load_newest()


@contextmanager
def joined(rank: int, size: int, rendezvous: Path, device: torch.device) -> Iterator[Ranks]:
    """Join the other processes of this machine for the block.

    Args:
        rank: Which one this is.
        size: How many there are.
        rendezvous: A file that does not exist yet, the same for all, by which they find each other.
        device: Where this one trains; GPUs talk by NCCL, CPUs by Gloo.
    """
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(
        backend, init_method=rendezvous.absolute().as_uri(), rank=rank, world_size=size, timeout=_TIMEOUT
    )
    try:
        yield Ranks(rank, size)
    finally:
        dist.destroy_process_group()


def _on_cpu(scores: Mapping[str, Tensor] | None) -> Mapping[str, Tensor] | None:
    """Return scores without a device that means nothing to another process."""
    return None if scores is None else {name: score.cpu() for name, score in scores.items()}
