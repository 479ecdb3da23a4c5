"""What `plan` finds out: a few configurations of the space are timed, and the rest is arithmetic."""

import os
import resource
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from neurosearch import names
from neurosearch.build.control import control_config, network_sizes
from neurosearch.build.memory import memory_need
from neurosearch.build.speed import Speed, measure_speed
from neurosearch.cli.report import FAILED, CommandError
from neurosearch.config.load import StudyConfig
from neurosearch.config.trial import TrialConfig, kind_of
from neurosearch.longwork import long_work
from neurosearch.search.data_cache import opened_data
from neurosearch.search.finite import finite_space
from neurosearch.search.folders import StudyFolder
from neurosearch.search.forecast import Forecast, Surroundings, Work, forecast, slowness, stopping_share
from neurosearch.search.representatives import end_configs, extremes_by_size, spread_configs
from neurosearch.search.words import duration
from neurosearch.training.records import TrialFailed

_POINTS = 9  # configurations spread over the space
_LIMIT_SECONDS = 0.7  # for each; those whose epochs take longer are timed for two epochs


@dataclass(frozen=True)
class _Timed:
    config: TrialConfig
    speed: Speed
    slowness: float  # of the machine at that time: other work on it comes and goes


def plan_facts(study: StudyConfig) -> dict[str, Any]:
    """Times a few configurations of the study's space and tells, as plain values, what the search will take.

    Raises:
        DataError: The data cannot be used.
        CommandError: No training gets through its first epoch.
    """
    search = study.study.search
    device = torch.device("cuda" if search.gpus_per_trial and torch.cuda.is_available() else "cpu")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, int(search.cpus_per_trial)))  # as a worker has
    try:
        with tempfile.TemporaryDirectory(prefix="neurosearch-plan-") as root:
            return _facts(study, StudyFolder(Path(root), study.study.name), device, cores)
    finally:
        torch.set_num_threads(threads)


def _facts(study: StudyConfig, folder: StudyFolder, device: torch.device, cores: int) -> dict[str, Any]:
    search = study.study.search
    spread, ends = spread_configs(study, _POINTS), _ends(study, folder)
    if all(kind_of(each.growth) == "static" for each in (*spread, *ends)):
        search = search.model_copy(update={"arms": ()})  # they stand beside networks that grew, and none will
    control = _control(study, spread[0], folder)
    _timed(spread[:1], folder, device)  # the first training of a process is slower
    timed, reasons = _timed(spread, folder, device)
    at_ends, _ = _timed(ends, folder, device)
    if not timed:
        raise CommandError(
            f"none of {len(spread)} configurations can be trained; the first one: {reasons[0]}", code=FAILED
        )
    training_seconds = fmean(each.speed.seconds for each in timed)
    controls, _ = _timed([control], folder, device)
    work = Work(
        training_seconds=training_seconds,
        control_seconds=controls[0].speed.seconds if controls else training_seconds,
        epochs=fmean(each.speed.epochs for each in timed),
        num_points=_num_points(study),
    )
    around = Surroundings.scaled(fmean(each.slowness for each in (*timed, *at_ends, *controls)))
    whole = forecast(search, work, cores, around)
    share = stopping_share(search.stopping)
    stopped = forecast(search, work, cores, around, share) if share < 1.0 else None
    return {
        "study": study.study.name,
        "budget": search.model_dump(
            mode="json", include={"trials", "time_budget_seconds", "compute_budget_hours", "target", "patience_trials"}
        ),
        "forecast": _forecast_facts(whole),
        "with_stopping": None if stopped is None else {"share": share, **_forecast_facts(stopped)},
        "training": _training_facts(timed, at_ends, work),
        "failures": reasons,
        "memory": _memory_facts(study, [*spread, *ends, control], folder, device),
        "machine": {"cores": cores, "device": device.type, "concurrency": search.concurrency, **asdict(around)},
    }


def _ends(study: StudyConfig, folder: StudyFolder) -> list[TrialConfig]:
    """Returns the configurations at the ends of the space with the smallest and the largest network."""

    def size(config: TrialConfig) -> float:
        manifest = opened_data(config, folder).manifest
        return network_sizes(config, manifest.input_shape, manifest.num_outputs)[names.PARAMETERS]

    return extremes_by_size(end_configs(study), size)


def _control(study: StudyConfig, config: TrialConfig, folder: StudyFolder) -> TrialConfig:
    manifest = opened_data(config, folder).manifest
    return control_config(config, study.study.size_limit, manifest.input_shape, manifest.num_outputs)


def _timed(configs: Sequence[TrialConfig], folder: StudyFolder, device: torch.device) -> tuple[list[_Timed], list[str]]:
    """Times trainings one after the other; returns those that work, and why others fail in their first epoch."""
    found, reasons = list[_Timed](), list[str]()
    with long_work("timing configurations", len(configs)) as more:
        for each in configs:
            try:
                speed = measure_speed(each, opened_data(each, folder), device, _LIMIT_SECONDS)
            except TrialFailed as failure:
                reasons.append(failure.reason)
            else:
                found.append(_Timed(each, speed, slowness()))
            more(1)
    return found, reasons


def _num_points(study: StudyConfig) -> int | None:
    space = finite_space(study.template)
    return None if space is None else space.size


def _forecast_facts(found: Forecast) -> dict[str, Any]:
    return {**asdict(found), "seconds": found.seconds}


def _training_facts(timed: list[_Timed], at_ends: list[_Timed], work: Work) -> dict[str, Any]:
    every = [each.speed for each in (*timed, *at_ends)]
    kinds = sorted({kind_of(each.config.growth) for each in timed})
    of_kind = {
        kind: fmean(each.speed.seconds for each in timed if kind_of(each.config.growth) == kind) for kind in kinds
    }
    return {
        "seconds": work.training_seconds,
        "shortest_seconds": min(each.seconds for each in every),
        "longest_seconds": max(each.seconds for each in every),
        "control_seconds": work.control_seconds,
        "seconds_by_growth": of_kind,
        "step_seconds": fmean(each.speed.step_seconds for each in timed),
        "epoch_seconds": fmean(each.speed.epoch_seconds for each in timed),
        "steps": fmean(each.speed.steps for each in timed),
        "configurations": len(every),
        "sampled_whole_schedule": all(each.epochs_timed == each.epochs for each in every),
    }


def _memory_facts(
    study: StudyConfig, configs: list[TrialConfig], folder: StudyFolder, device: torch.device
) -> dict[str, Any]:
    """Tells the memory of the trial that needs the most at its peak, and of all that run at once."""
    on_gpu = device.type == "cuda"
    needs = [memory_need(each, opened_data(each, folder).manifest, on_gpu=on_gpu) for each in configs]
    largest = max(needs, key=lambda need: need.total)
    process = _process_bytes()  # with the libraries that a worker has, too
    at_once = study.study.search.concurrency * (process + (0 if on_gpu else largest.total))
    return {
        **asdict(largest),
        "bytes": largest.total,
        "process_bytes": process,
        "all_at_once_bytes": at_once,
        "machine_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }


def _process_bytes() -> int:
    """Returns the most memory that this process held so far, in bytes; Linux counts it in KiB, macOS in bytes."""
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held if sys.platform == "darwin" else 1024 * held


def plan_lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """Tells the facts of a plan for people."""
    found, training, machine = facts["forecast"], facts["training"], facts["machine"]
    yield (
        f"study {facts['study']}: {found['trials']} trials, {machine['concurrency']} at a time; with finalists, "
        f"control and arms {found['trainings']} trainings, about {found['epochs']:,.0f} epochs"
    )
    yield f"time: about {duration(found['seconds'])}: {_parts(found)}"
    yield from _stopping_lines(facts["with_stopping"])
    yield from _budget_lines(facts)
    yield from _training_lines(training)
    for reason in facts["failures"]:
        yield f"  a timed configuration fails in its first epoch: {reason}"
    yield from _memory_lines(facts["memory"])
    yield (
        f"assumed: start, end and what is between trainings as measured on another machine, times "
        f"{machine['slowness']:.2f} for how fast this one is now; {machine['cores']} cores for trials and search"
    )


def _parts(found: Mapping[str, Any]) -> str:
    return (
        f"start {duration(found['start_seconds'])}, trials {duration(found['search_seconds'])}, "
        f"finalists, control and arms {duration(found['confirmation_seconds'])}, "
        f"export {duration(found['end_seconds'])}"
    )


def _stopping_lines(stopped: Mapping[str, Any] | None) -> Iterator[str]:
    if stopped is not None:
        yield (
            f"  that is the upper bound, without early stopping; with it a trial takes about {stopped['share']:.0%} of "
            f"its compute if networks are at rest at the rungs: about {duration(stopped['seconds'])}"
        )


def _budget_lines(facts: Mapping[str, Any]) -> Iterator[str]:
    found, budget = facts["forecast"], facts["budget"]
    if found["ended_by"] is not None:
        yield (
            f"budget: {found['ended_by']} of {budget[found['ended_by'].partition('.')[2]]:g} allows about "
            f"{found['trials']} of {budget['trials']} trials"
        )
    elif found["trials"] < budget["trials"]:
        yield f"budget: the space has {found['trials']} configurations, so no more than these trials can be tried"
    else:
        yield f"budget: allows all {budget['trials']} trials"
    ends = [name for name in ("target", "patience_trials") if budget[name] is not None]
    if ends:
        yield f"  search.{' and search.'.join(ends)} may end it earlier; that is not foreseen here"


def _training_lines(training: Mapping[str, Any]) -> Iterator[str]:
    bound = (
        "" if training["sampled_whole_schedule"] else "; epochs beyond the first ones count as at the schedule's peak"
    )
    yield (
        f"a training: {training['seconds']:.2g} s on average, {training['shortest_seconds']:.2g} to "
        f"{training['longest_seconds']:.2g} s over {training['configurations']} timed configurations{bound}"
    )
    kinds = ", ".join(f"{kind} {seconds:.2g} s" for kind, seconds in training["seconds_by_growth"].items())
    yield (
        f"  {kinds}; a step takes {1000 * training['step_seconds']:.2g} ms, an epoch of {training['steps']:.0f} steps "
        f"with its evaluation and checkpoint {1000 * training['epoch_seconds']:.2g} ms"
    )


def _memory_lines(memory: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"memory: a trial holds up to {_size(memory['bytes'])} at the peak of its growth schedule (weights "
        f"{_size(memory['weights'])}, optimizer {_size(memory['optimizer'])}, working {_size(memory['working'])}), "
        f"beside the {_size(memory['process_bytes'])} of its process; all at once {_size(memory['all_at_once_bytes'])}"
    )
    if memory["all_at_once_bytes"] > memory["machine_bytes"]:
        yield f"  that is more than the {_size(memory['machine_bytes'])} of this machine: lower search.concurrency"


def _size(num_bytes: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if num_bytes < 1024:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1024
    return f"{num_bytes:.3g} GiB"
