"""Whether trials are faster together: twenty steps of each, both ways, on trainings that are thrown away."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any, NamedTuple

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

    On a CPU seconds of its cores, which other trials beside it do not lengthen; on a GPU those of a clock. Where steps
    are compiled, each has its share of the time that takes, as if every training went on to its end. A trial that
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

        def made(count: int) -> "list[Trainer]":
            return [_few_steps(each, study, Path(scratch), where)[0] for each in sound[:count]]

        def alone(leased: LeasedTrial) -> _Alone | None:
            try:
                trainer, num_steps = _few_steps(leased, study, Path(scratch), where)
                started = perf_counter()
                first = seconds(lambda: trainer.run_steps(trainer.begin_epoch()))
                if not trainer.settings.compiled:
                    return _Alone(first, 0.0, num_steps)
                first = perf_counter() - started
                second = seconds(lambda: trainer.run_steps(trainer.begin_epoch()))
                return _Alone(second, max(first - second, 0.0), num_steps)
            except Exception:  # noqa: BLE001  # whatever it is, it ends that trial alone
                return None

        alone(trials[0])  # what is slow once, at the first call of a product, belongs to neither
        timed = [alone(leased) for leased in trials]
        sound = [leased for leased, found in zip(trials, timed, strict=True) if found is not None]
        apart = [found for found in timed if found is not None]
        if len(sound) < _FEWEST:
            return {}
        pack = Pack()
        try:
            pack.take_steps(made(len(sound)))  # warms it up, and compiles what it will need
            trainers = made(len(sound))
            packed = seconds(lambda: pack.take_steps(trainers))
        except NotPackable:  # a growth policy of one's own, say, which no config tells of
            return {"together": False, "size": len(sound)}
    return _judged(packed, pack.compile_seconds, apart, sum(trainer.num_steps for trainer in trainers))


class _Alone(NamedTuple):
    """A trial by itself.

    Attributes:
        seconds: Of its few steps.
        compile_seconds: Of compiling them.
        num_steps: Of its whole training.
    """

    seconds: float
    compile_seconds: float
    num_steps: int


def _judged(packed: float, compile_seconds: float, apart: Sequence[_Alone], num_steps: int) -> dict[str, Any]:
    """Returns the choice; compiling is done once, so its seconds are spread over all steps that there are to take.

    Args:
        packed: Seconds of the few steps of all together.
        compile_seconds: Of compiling these.
        apart: The trials one by one.
        num_steps: How many these few steps are.
    """
    whole = sum(each.num_steps for each in apart)
    packed_seconds = packed / num_steps + compile_seconds / whole
    alone_seconds = (
        sum(each.seconds for each in apart) / num_steps + sum(each.compile_seconds for each in apart) / whole
    )
    return {
        "together": packed_seconds < alone_seconds,
        "packed_seconds": packed_seconds,
        "alone_seconds": alone_seconds,
        "compile_seconds": compile_seconds,
        "size": len(apart),
    }


def _few_steps(leased: LeasedTrial, study: StudyFolder, folder: Path, device: Any) -> "tuple[Trainer, int]":
    """Returns a training of a trial's first steps alone, and how many steps the whole of it has."""
    from neurosearch.build.trial import build_batches, build_trainer
    from neurosearch.training.few_batches import FewBatches

    config = TrialConfig.model_validate({**leased.config, "seed": leased.seeds[0]})
    data = opened_data(config, study)
    few = FewBatches(build_batches(config, data, device), _STEPS, device)
    trainer = build_trainer(config, data, folder / str(leased.number), device, batches=few)
    trainer.prepare()
    return trainer, few.whole_steps * config.training.epochs
