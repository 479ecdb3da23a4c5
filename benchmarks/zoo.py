"""Writes the table of what can change in every torchvision classification model.

Usage: python benchmarks/zoo.py [--quick] [--out docs/zoo.md]
"""

import argparse
import json
import re
import time
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

from neurosearch.neurons import SurgeryError, Units, find_units

HEADER = """# What can change in torchvision's classification models

Made by `python benchmarks/zoo.py` with torchvision {version}, on example inputs of the smallest side that each model
takes. *Dynamic share* is the share of the parameters that lie in a tensor with at least one dimension that can change;
*units* counts neurons and channels of all groups. What cannot change exactly is left alone; the last column says why,
and for how many dimensions of tensors. `find_units(...).frozen` names each of them, with the module and, where code
raises an error, that error. Inputs, outputs, kernels and dimensions of length 1 never change and are not listed.

Code fails at another width where it names a length or computes it from another one, and computes something else there
where it reads the width as a number. The attention modules here compute the width of a head from that of their input,
so heads and trunk hold each other in place; their MLPs change. The channel shuffles of ShuffleNet couple all channels
of some stages, see [neurons.md](neurons.md).

| model | groups | units | dynamic share | what stays as it is, and why |
|---|---:|---:|---:|---|
"""
USUAL = (
    "it meets a dimension of fixed size",
    "it is an output of the network",
    "each group of a depthwise",
    "its one position",
    "the forward never uses it",
)
QUICK = ("resnet18", "squeezenet1_0", "shufflenet_v2_x0_5")
LARGE_IMAGES = {"inception_v3": 299, "maxvit_t": 224}


@dataclass(frozen=True)
class Row:
    """One model's line."""

    name: str
    num_groups: int
    num_units: int
    dynamic_share: float
    reasons: tuple[str, ...]
    seconds: float


def build(name: str) -> tuple[nn.Module, torch.Tensor]:
    """Return a model without trained weights, and example inputs."""
    options: dict[str, Any] = {"init_weights": False} if name in {"googlenet", "inception_v3"} else {}
    # Weights mean nothing here; only regnet computes its widths with tensors while it is built.
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        model: nn.Module = torchvision.models.get_model(name, weights=None, **options)
    side = getattr(model, "image_size", LARGE_IMAGES.get(name, 64))
    return model, torch.zeros(1, 3, side, side)


def describe(name: str) -> Row:
    """Find a model's units."""
    model, inputs = build(name)
    start = time.process_time()
    try:
        units = find_units(model, (inputs,))
    except SurgeryError as error:
        return Row(name, 0, 0, 0.0, (str(error),), time.process_time() - start)
    seconds = time.process_time() - start
    parameters = dict(model.named_parameters())
    dynamic = sum(parameters[key].numel() for key in units.layout.tensors if key in parameters)
    share = dynamic / sum(parameter.numel() for parameter in parameters.values())
    return Row(name, len(units.groups), sum(units.sizes), share, reasons_of(units), seconds)


def reasons_of(units: Units) -> tuple[str, ...]:
    """Return the most frequent reasons for what is frozen, most frequent first."""
    counts = Counter(in_general(one.reason) for one in units.frozen if not one.reason.startswith(USUAL))
    return tuple(f"{reason} ({count} dimensions)" for reason, count in counts.most_common())


def in_general(reason: str) -> str:
    """Return a reason with a module's class instead of its name, and without an error's text: alike for all layers."""
    return re.sub(r"\S+ \((\w+)\)", r"\1", re.sub("(at another width):.*", r"\1", reason, flags=re.DOTALL))


def line(row: Row) -> str:
    """Return a row of the table."""
    why = "; ".join(row.reasons).replace("|", "/").replace("\n", " ") or "-"
    return f"| {row.name} | {row.num_groups} | {row.num_units} | {row.dynamic_share:.3f} | {why} |"


def main() -> None:
    """Write the table; print the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three models, and no file is written")
    parser.add_argument("--out", type=Path, default=Path("docs/zoo.md"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    names = QUICK if arguments.quick else torchvision.models.list_models(module=torchvision.models)
    rows = []
    for name in names:
        rows.append(describe(name))
        print(line(rows[-1]), f"{rows[-1].seconds:.2f} s", flush=True)
    if not arguments.quick:
        version = torchvision.__version__.partition("+")[0]
        arguments.out.write_text(HEADER.format(version=version) + "\n".join(map(line, rows)) + "\n")
    shares = [row.dynamic_share for row in rows]
    print(
        json.dumps(
            {
                "num_models": len(rows),
                "mean_dynamic_share": round(sum(shares) / len(shares), 3),
                "least_dynamic_share": round(min(shares), 3),
                "quick": arguments.quick,
            }
        )
    )


if __name__ == "__main__":
    main()
