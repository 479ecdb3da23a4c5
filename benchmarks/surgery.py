"""Times finding units and changing networks, beside Torch-Pruning in the same run.

One event of ours: score every group by L2, plan to remove 10 % of every group's units, and apply the plan to the
network and to AdamW's moments, checked and able to roll back. Torch-Pruning's step: score by group L2 and remove 10 %,
without an optimizer. One thread, CPU time, 64 x 64 images, batch 1; both in turns, each on a fresh copy, medians.

`event_ratio`: event over step, per model. `trace_ratio_max`: finding units, caches empty, over building their graph.
`peak_ratio_max`: resident memory that an event takes on top, over the bytes of the tensors it changes.
`grow_block_ms`: eight channels more in one residual block of resnet18, moments included.

Usage: python benchmarks/surgery.py [--quick]
"""

import argparse
import copy
import ctypes
import gc
import json
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from neurosearch.neurons import Units, apply_plan, find_units, grow, importance, prune
from neurosearch.neurons.find import forget

MODELS = ("resnet18", "resnet50", "vgg11_bn", "mobilenet_v2", "convnext_tiny", "vit_b_16")
SHARE = 0.1
NUM_NEW = 8


def build(name: str) -> nn.Module:
    """Return a torchvision model for 64 x 64 images and 1000 classes."""
    from torchvision.models import get_model

    options: dict[str, Any] = {"image_size": 64} if name.startswith("vit") else {}
    model: nn.Module = get_model(name, **options)
    return model.eval()


def cpu_seconds(run: Callable[[], object]) -> float:
    """Return the CPU time of a call."""
    gc.collect()
    start = time.process_time()
    run()
    return time.process_time() - start


def with_moments(model: nn.Module) -> torch.optim.Optimizer:
    """Return an optimizer as it is in the middle of a training, without the cost of a step."""
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        optimizer.state[parameter] = {
            "step": torch.tensor(1.0),
            "exp_avg": torch.full_like(parameter, 1e-3),
            "exp_avg_sq": torch.full_like(parameter, 1e-6),
        }
    return optimizer


def event(model: nn.Module, optimizer: torch.optim.Optimizer, units: Units) -> Units:
    """Score, choose, plan and change."""
    scores = importance(model, units, (), kind="l2")
    positions = {
        group.name: scores[group.name].argsort()[: min(int(SHARE * group.size), group.size - group.minimum)].tolist()
        for group in units.groups
    }
    return apply_plan(prune(units, positions), model, optimizer)


def their_step(model: nn.Module, inputs: torch.Tensor) -> Callable[[], object]:
    """Return Torch-Pruning's step; its graph is built already."""
    import torch_pruning

    heads = [module for module in model.modules() if isinstance(module, nn.Linear) and module.out_features == 1000]
    num_heads = {m: m.num_heads for m in model.modules() if isinstance(m, nn.MultiheadAttention)}
    pruner = torch_pruning.pruner.BasePruner(
        model,
        inputs,
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=SHARE,
        ignored_layers=heads,
        num_heads=num_heads,
    )
    step: Callable[[], object] = pruner.step
    return step


def build_graph(model: nn.Module, inputs: torch.Tensor) -> None:
    """Build Torch-Pruning's graph."""
    import torch_pruning

    torch_pruning.DependencyGraph().build_dependency(model, inputs)


def trace(model: nn.Module, inputs: torch.Tensor) -> Units:
    """Find units as if this structure had never been seen."""
    forget()
    return find_units(model, (inputs,))


def measure_model(name: str, repeats: int) -> dict[str, float]:
    """Time both on one model, in turns; each on a fresh copy."""
    inputs = torch.randn(1, 3, 64, 64)
    base = build(name)
    seconds: dict[str, list[float]] = {"trace": [], "graph": [], "event": [], "step": []}
    for _ in range(repeats):
        model = copy.deepcopy(base)
        seconds["graph"].append(cpu_seconds(partial(build_graph, model, inputs)))
        seconds["trace"].append(cpu_seconds(partial(trace, model, inputs)))
        step = their_step(model, inputs)
        seconds["step"].append(cpu_seconds(step))
        del step
        model = copy.deepcopy(base)
        optimizer, units = with_moments(model), find_units(model, (inputs,))
        seconds["event"].append(cpu_seconds(partial(event, model, optimizer, units)))
    return {key: statistics.median(values) for key, values in seconds.items()}


def peak_ratio(name: str) -> float:
    """Return the most memory that an event takes on top, in units of the bytes of the tensors it changes.

    Resident memory, after the allocator has given back what is free.
    """
    base = build(name)
    model = copy.deepcopy(base)
    del base
    optimizer, units = with_moments(model), find_units(model, (torch.randn(1, 3, 64, 64),))
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    changed = [named[key] for key in units.layout.tensors]
    moments = [value for one in changed for value in optimizer.state.get(one, {}).values()]
    num_bytes: int = sum(tensor.numel() * tensor.element_size() for tensor in (*changed, *moments))
    del named, changed, moments
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _memory_bytes("VmRSS")
    event(model, optimizer, units)
    return (_memory_bytes("VmHWM") - before) / num_bytes


def _memory_bytes(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def grow_block_ms(repeats: int) -> float:
    """Return the milliseconds in which one residual block of resnet18 gains units, with AdamW's moments."""
    model = build("resnet18")
    units = find_units(model, (torch.randn(1, 3, 64, 64),))
    optimizer = with_moments(model)
    times = []
    for _ in range(repeats):
        plan = grow(units, {"layer1.0.conv1": NUM_NEW})
        start = time.process_time()
        after = apply_plan(plan, model, optimizer)
        times.append(time.process_time() - start)
        size = units.sizes[units.layout.index["layer1.0.conv1"]]
        units = apply_plan(prune(after, {"layer1.0.conv1": range(size, size + NUM_NEW)}), model, optimizer)
    return 1e3 * statistics.median(times)


def main() -> None:
    """Print a line per model and, last, all figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two small models, two repeats: shows that it runs")
    is_quick = parser.parse_args().quick
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # Torch-Pruning warns of what it leaves alone
    names = ("resnet18", "mobilenet_v2") if is_quick else MODELS
    repeats = 2 if is_quick else 5
    peaks = {name: peak_ratio(name) for name in names}
    figures: dict[str, Any] = {"grow_block_ms": round(grow_block_ms(4 * repeats), 3)}
    ratios: dict[str, dict[str, float]] = {"event": {}, "trace": {}}
    for name in names:
        seconds = measure_model(name, repeats)
        ratios["event"][name] = seconds["event"] / seconds["step"]
        ratios["trace"][name] = seconds["trace"] / seconds["graph"]
        print(name, {key: round(value, 4) for key, value in seconds.items()}, f"peak {peaks[name]:.2f}", flush=True)
    figures |= {
        "event_ratio": {name: round(value, 3) for name, value in ratios["event"].items()},
        "event_ratio_max": round(max(ratios["event"].values()), 3),
        "trace_ratio_max": round(max(ratios["trace"].values()), 3),
        "peak_ratio_max": round(max(peaks.values()), 3),
        "num_repeats": repeats,
        "quick": is_quick,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
