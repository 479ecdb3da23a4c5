"""`neurosearch predict`: what an exported network says about new examples. Needs onnxruntime, not torch."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neurosearch.cli.frame import command
from neurosearch.cli.report import Report, neurosearch

if TYPE_CHECKING:
    from neurosearch.export.predictions import Answers

_SHOWN = 20  # a terminal's worth; a file takes all


@command
def predict(
    network: Annotated[
        Path, typer.Argument(metavar="NETWORK", help="An exported network.onnx, or the folder that holds it.")
    ],
    inputs: Annotated[
        Path,
        typer.Argument(
            metavar="INPUTS", help="An .npz with raw examples under the key x, an image, or a folder of images."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write all predictions to a .csv or .npz.", show_default=False),
    ] = None,
    resize: Annotated[
        bool, typer.Option("--resize", help="Bring images of another size to the network's; otherwise refused.")
    ] = False,
) -> Report:
    """Predict classes with probabilities, or quantities, for an npz, an image or a folder of images."""
    from neurosearch.export.predict import predict as predict_all
    from neurosearch.export.predictions import check_place

    if out is not None:
        check_place(out)
    file = network / "network.onnx" if network.is_dir() else network
    predictions = predict_all(file, inputs, resize)
    if out is not None:
        predictions.save(out)
    facts = {
        "network": str(file),
        "inputs": str(inputs),
        "out": None if out is None else str(out),
        **predictions.facts(),
        "warnings": list(predictions.warnings),
    }
    resized = ("--resize",) if resize else ()
    again = (neurosearch("predict", network, inputs, *resized, "--out", "predictions.csv"),) if out is None else ()
    return Report(facts, tuple(_lines(predictions, out)), next=again)


def _lines(predictions: "Answers", out: Path | None) -> list[str]:
    lines = [f"warning: {warning}" for warning in predictions.warnings]
    if out is not None:
        return [*lines, f"{len(predictions.names)} predictions written to {out}"]
    lines += predictions.lines(_SHOWN)
    more = len(predictions.names) - _SHOWN
    return [*lines, f"... and {more} more; --out FILE writes all of them"] if more > 0 else lines
