"""Compares the groups that are found with those of Torch-Pruning, model by model.

Both are told by the layers that make a group's units: two groups agree if these are the same layers. Each model is
compared in a process of its own with limited CPU time, because Torch-Pruning's search does not end on every model.

Usage: python benchmarks/agreement.py [--quick] [--seconds 120]
"""

import argparse
import json
import resource
import subprocess
import sys
import warnings
from typing import Any

import torch
from torch import nn

from neurosearch.neurons import Units, find_units

MODELS = (
    *("resnet18", "resnet50", "resnext50_32x4d", "vgg11_bn", "squeezenet1_1", "mobilenet_v2", "mobilenet_v3_small"),
    *("efficientnet_b0", "regnet_y_400mf", "densenet121", "convnext_tiny", "googlenet", "shufflenet_v2_x0_5"),
    *("vit_b_16", "swin_t"),
)
QUICK = ("resnet18", "googlenet")
NUM_CLASSES = 5
LAYERS = (nn.Linear, nn.Conv2d, nn.MultiheadAttention)
Makers = frozenset[str]


def build(name: str) -> nn.Module:
    """Return a torchvision model for images of 64 x 64."""
    from torchvision.models import get_model

    options: dict[str, Any] = {"init_weights": False} if name == "googlenet" else {}
    options |= {"image_size": 64} if name.startswith("vit") else {}
    model: nn.Module = get_model(name, num_classes=NUM_CLASSES, **options)
    return model.eval()


def our_groups(model: nn.Module, units: Units) -> set[Makers]:
    """Return the layers that make the units of each group."""
    layers = {name for name, module in model.named_modules() if isinstance(module, LAYERS)}
    found = set()
    for slices in units.layout.slices:
        made = {part.tensor.rpartition(".")[0] for part in slices if part.role in {"incoming", "through"}}
        found.add(frozenset(made & layers))
    return found


def their_groups(model: nn.Module, inputs: torch.Tensor) -> set[Makers]:
    """Return the same of Torch-Pruning, without the groups of the network's outputs."""
    import torch_pruning

    names = {module: name for name, module in model.named_modules()}
    heads = [m for m in names if NUM_CLASSES in (getattr(m, "out_features", 0), getattr(m, "out_channels", 0))]
    graph = torch_pruning.DependencyGraph().build_dependency(model, inputs)
    found = set()
    for group in graph.get_all_groups(ignored_layers=heads):
        made = {
            names[one.target.module]
            for one, _ in group
            if "out_channels" in one.handler.__name__ and isinstance(one.target.module, LAYERS)
        }
        found.add(frozenset(made))
    return found - {frozenset()}


def compare(name: str, seconds: int) -> dict[str, Any]:
    """Compare one model in this process."""
    model, inputs = build(name), torch.randn(1, 3, 64, 64)
    ours = our_groups(model, find_units(model, (inputs,)))
    print(json.dumps({"ours": len(ours)}), flush=True)
    spent = int(resource.getrusage(resource.RUSAGE_SELF).ru_utime)
    resource.setrlimit(resource.RLIMIT_CPU, (spent + seconds, spent + seconds + 5))
    theirs = their_groups(model, inputs)
    return {
        "ours": len(ours),
        "theirs": len(theirs),
        "alike": len(ours & theirs),
        "only_ours": sorted(min(one) for one in ours - theirs),
        "only_theirs": sorted(min(one) for one in theirs - ours),
    }


def apart(name: str, seconds: int) -> dict[str, Any]:
    """Compare one model in a process of its own; what was found until it ended."""
    command = [sys.executable, __file__, "--one", name, "--seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    found: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    if done.returncode < 0:
        found["ended"] = f"no answer after {seconds} s of CPU time"
    elif done.returncode:
        found["ended"] = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return found


def main() -> None:
    """Print a line per model and, last, all figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two models")
    parser.add_argument("--seconds", type=int, default=120, help="CPU time that Torch-Pruning gets for a model")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if arguments.one:
        print(json.dumps(compare(arguments.one, arguments.seconds)))
        return
    results = {}
    for name in QUICK if arguments.quick else MODELS:
        results[name] = apart(name, arguments.seconds)
        print(name, json.dumps(results[name]), flush=True)
    print(json.dumps({"models": results, "seconds": arguments.seconds, "quick": arguments.quick}))


if __name__ == "__main__":
    main()
