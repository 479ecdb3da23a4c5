"""Whether trials are faster together: twenty steps of each, both ways, on trainings that are thrown away."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

from neurosearch.config.trial import TrialConfig
from neurosearch.search.data_cache import opened_data
from neurosearch.search.folders import StudyFolder
from neurosearch.search.lease import LeasedTrial

if TYPE_CHECKING:
    from neurosearch.training.trainer import Trainer

_STEPS = 20


def measured_choice(trials: Sequence[LeasedTrial], study: StudyFolder, device: str) -> dict[str, Any]:
    """Returns the seconds of a trial's step in a pack of these trials and alone, and whether the pack is faster.

    On a CPU seconds of its cores, which other trials beside it do not lengthen; on a GPU those of a clock.
    """
    import torch

    from neurosearch.training.pack import Pack

    where = torch.device(device)
    wait: Callable[[], object] = torch.cuda.synchronize if where.type == "cuda" else nullcontext
    clock = perf_counter if where.type == "cuda" else process_time

    def seconds(trainers: "list[Trainer]", run: "Callable[[list[Trainer]], object]") -> float:
        wait()
        started = clock()
        run(trainers)
        wait()
        return (clock() - started) / sum(trainer.num_steps for trainer in trainers)

    def alone(trainers: "list[Trainer]") -> None:
        for trainer in trainers:
            trainer.run_steps(trainer.begin_epoch())

    def together(trainers: "list[Trainer]") -> None:
        Pack().take_steps(trainers)

    with TemporaryDirectory() as scratch:

        def made(count: int) -> "list[Trainer]":
            return [_few_steps(each, study, Path(scratch), where) for each in trials[:count]]

        together(made(2))  # what is slow once, at the first call of a product, belongs to neither
        alone(made(1))
        packed, apart = seconds(made(len(trials)), together), seconds(made(len(trials)), alone)
    return {"together": packed < apart, "packed_seconds": packed, "alone_seconds": apart, "size": len(trials)}


def _few_steps(leased: LeasedTrial, study: StudyFolder, folder: Path, device: Any) -> "Trainer":
    from neurosearch.build.trial import build_batches, build_trainer
    from neurosearch.training.few_batches import FewBatches

    config = TrialConfig.model_validate({**leased.config, "seed": leased.seeds[0]})
    data = opened_data(config, study)
    few = FewBatches(build_batches(config, data, device), _STEPS, device)
    trainer = build_trainer(config, data, folder / str(leased.number), device, batches=few)
    trainer.prepare()
    return trainer
