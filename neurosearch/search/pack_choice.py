"""Whether trials are faster together: twenty steps of each, both ways, on trainings that are thrown away."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

from neurosearch.config.trial import TrialConfig
from neurosearch.search.data_cache import opened_data
from neurosearch.search.folders import StudyFolder
from neurosearch.search.lease import LeasedTrial
from neurosearch.training.chain import NotPackable

if TYPE_CHECKING:
    from neurosearch.training.trainer import Trainer

_STEPS = 20
_FEWEST = 2  # trials that say something about a pack


def measured_choice(trials: Sequence[LeasedTrial], study: StudyFolder, device: str) -> dict[str, Any]:
    """Returns the seconds of a trial's step in a pack of these trials and alone, and whether the pack is faster.

    On a CPU seconds of its cores, which other trials beside it do not lengthen; on a GPU those of a clock. A trial that
    fails within these steps is left out: that is told where it is trained. Where fewer than two are left, nothing is
    known, and nothing is returned.
    """
    import torch

    from neurosearch.training.pack import Pack

    where = torch.device(device)
    wait: Callable[[], object] = torch.cuda.synchronize if where.type == "cuda" else nullcontext
    clock = perf_counter if where.type == "cuda" else process_time

    def seconds(run: Callable[[], object]) -> float:
        wait()
        started = clock()
        run()
        wait()
        return clock() - started

    with TemporaryDirectory() as scratch:

        def made(count: int) -> "Iterator[Trainer]":
            return (_few_steps(each, study, Path(scratch), where) for each in sound[:count])

        def alone(leased: LeasedTrial) -> float | None:
            try:
                trainer = _few_steps(leased, study, Path(scratch), where)
                return seconds(lambda: trainer.run_steps(trainer.begin_epoch()))
            except Exception:  # noqa: BLE001  # whatever it is, it ends that trial alone
                return None

        alone(trials[0])  # what is slow once, at the first call of a product, belongs to neither
        timed = [alone(leased) for leased in trials]
        sound = [leased for leased, found in zip(trials, timed, strict=True) if found is not None]
        if len(sound) < _FEWEST:
            return {}
        try:
            Pack().take_steps(list(made(_FEWEST)))
            trainers = list(made(len(sound)))
            packed = seconds(lambda: Pack().take_steps(trainers))
        except NotPackable:  # a growth policy of one's own, say, which no config tells of
            return {"together": False, "size": len(sound)}
    num_steps = sum(trainer.num_steps for trainer in trainers)
    packed, apart = packed / num_steps, sum(filter(None, timed)) / num_steps
    return {"together": packed < apart, "packed_seconds": packed, "alone_seconds": apart, "size": len(sound)}


def _few_steps(leased: LeasedTrial, study: StudyFolder, folder: Path, device: Any) -> "Trainer":
    from neurosearch.build.trial import build_batches, build_trainer
    from neurosearch.training.few_batches import FewBatches

    config = TrialConfig.model_validate({**leased.config, "seed": leased.seeds[0]})
    data = opened_data(config, study)
    few = FewBatches(build_batches(config, data, device), _STEPS, device)
    trainer = build_trainer(config, data, folder / str(leased.number), device, batches=few)
    trainer.prepare()
    return trainer
