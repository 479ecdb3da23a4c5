"""`neurosearch predict`: what an exported network says about new examples. Needs onnxruntime, not torch."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neurosearch.cli.frame import command
from neurosearch.cli.report import Report, neurosearch

if TYPE_CHECKING:
    from neurosearch.export.predict import Predictions

_SHOWN = 20  # a terminal's worth; a file takes all


@command
def predict(
    network: Annotated[
        Path, typer.Argument(metavar="NETWORK", help="An exported network.onnx, or the folder that holds it.")
    ],
    inputs: Annotated[
        Path, typer.Argument(metavar="INPUTS", help="An .npz with raw examples under the key x, or a folder of images.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write all predictions to a .csv or .npz.", show_default=False),
    ] = None,
    resize: Annotated[
        bool, typer.Option("--resize", help="Bring images of another size to the network's; otherwise refused.")
    ] = False,
) -> Report:
    """Predict classes and probabilities for an npz or a folder of images."""
    from neurosearch.export.predict import predict as predict_all

    file = network / "network.onnx" if network.is_dir() else network
    predictions = predict_all(file, inputs, resize)
    if out is not None:
        predictions.save(out)
    facts = {
        "network": str(file),
        "inputs": str(inputs),
        "out": None if out is None else str(out),
        "class_names": list(predictions.class_names),
        "predictions": [
            {"name": name, "class": label, "probability": float(row.max())}
            for name, label, row in zip(predictions.names, predictions.classes, predictions.probabilities, strict=True)
        ],
        "warnings": list(predictions.warnings),
    }
    again = (neurosearch("predict", network, inputs, "--out", "predictions.csv"),) if out is None else ()
    return Report(facts, tuple(_lines(predictions, out)), next=again)


def _lines(predictions: "Predictions", out: Path | None) -> list[str]:
    lines = [f"warning: {warning}" for warning in predictions.warnings]
    if out is not None:
        return [*lines, f"{len(predictions.names)} predictions written to {out}"]
    rows = zip(predictions.names, predictions.classes, predictions.probabilities.max(1), strict=True)
    lines += [f"{name}: {label} ({share:.3f})" for _, (name, label, share) in zip(range(_SHOWN), rows, strict=False)]
    more = len(predictions.names) - _SHOWN
    return [*lines, f"... and {more} more; --out FILE writes all of them"] if more > 0 else lines
