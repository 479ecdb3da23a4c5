"""Writes the final network as files: pt2, ONNX, safetensors with a card. Whole, verified, or not at all."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, assert_never

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from torch import nn

from neurosearch.data.manifest import Manifest
from neurosearch.data.prepared import PreparedData
from neurosearch.export.card import Card, make_card
from neurosearch.export.errors import ExportError
from neurosearch.export.freeze import Deployed
from neurosearch.export.predict import CARD_KEY, INPUT_NAME
from neurosearch.export.quiet import quietly
from neurosearch.export.rebuild import CARD_NAME, ModelBuilder
from neurosearch.export.verify import FILE_NAMES, FORMATS, Difference, Format, verify
from neurosearch.longwork import long_work

_NUM_EXAMPLES = 2  # an example batch of 1 would be taken for a constant
_SUPPORTED_OPSET = 20


@dataclass(frozen=True)
class Exported:
    """What an export gave.

    Attributes:
        folder: Holds the files.
        files: The main file of each format.
        card: What the files say about the network.
        differences: How far each file's outputs are from the network's, on validation data.
        input_example: Two raw examples, for a signature.
        output_example: The deployed network's outputs for them, (2, C) logits or (2, T) quantities.
    """

    folder: Path
    files: dict[Format, Path]
    card: Card
    differences: dict[Format, Difference]
    input_example: npt.NDArray[Any]
    output_example: npt.NDArray[np.float32]


def export_network(
    network: nn.Module,
    model: Mapping[str, Any],
    structure: Mapping[str, Any] | None,
    data: PreparedData,
    build_model: ModelBuilder,
    folder: Path,
    log: Path,
    formats: Sequence[Format] = FORMATS,
) -> Exported:
    """Write a trained network, load every file back, compare it on the raw validation part, and only then name it.

    The files are made in a folder beside `folder` that takes its name at the end; it replaces an earlier export whole.

    Args:
        network: From normalised batches to logits or standardised quantities; not changed.
        model: The model section of the config that built it: `kind` and fields.
        structure: What `neurons.structure` says about it, None if it is what `model` builds.
        data: The prepared data it was trained by.
        build_model: Builds the base network from `model`, to verify the safetensors file.
        folder: Where the files will be.
        log: Takes what third parties print and warn.
        formats: Which files to write.

    Raises:
        ExportError: If a file cannot be written, or its outputs differ; `folder` then is as it was.
        OSError: If the disk does not take the files.
    """
    deployed = Deployed(data.preprocess(), network, data.postprocess())
    card = make_card(data.manifest, model, structure)
    raw = data.raw_validation().x
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        with quietly(log), long_work("exporting", len(formats) + 1) as more:
            for name in formats:
                _write(name, deployed, card, _example(data.manifest), temporary)
                more(1)
            differences = verify(temporary, tuple(formats), deployed, card, raw, build_model)
        temporary.chmod(0o755)  # mkdtemp's folder is for its owner alone
        _take_name(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    example = np.array(raw[:_NUM_EXAMPLES])
    with torch.inference_mode():
        outputs = deployed(torch.from_numpy(example)).numpy()
    files = {name: folder / FILE_NAMES[name] for name in formats}
    return Exported(folder, files, card, differences, example, outputs)


def _example(manifest: Manifest) -> torch.Tensor:
    dtype = torch.uint8 if manifest.dtype == "uint8" else torch.float32
    return torch.zeros(_NUM_EXAMPLES, *manifest.raw_shape, dtype=dtype)


def _write(name: Format, deployed: Deployed, card: Card, example: torch.Tensor, folder: Path) -> None:
    path = folder / FILE_NAMES[name]
    try:
        match name:
            case "pt2":
                torch.export.save(_program(deployed, example), path)
            case "onnx":
                _write_onnx(deployed, card, example, path)
            case "safetensors":
                # Cloned, since tied weights share memory, which the format has no word for.
                weights = {key: tensor.clone().contiguous() for key, tensor in deployed.state_dict().items()}
                save_file(weights, path)
                (folder / CARD_NAME).write_text(card.to_json(), encoding="utf-8")
            case _:
                assert_never(name)
    except OSError:
        raise  # a full disk is no fault of the network's
    except Exception as error:  # the exporters raise whatever they like; what they said is chained
        raise ExportError(
            f"the network cannot be written as {name}: {_first_line(error)}. Nothing was exported. "
            f"Leave {name} out, or take the operation out of the model."
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _program(deployed: Deployed, example: torch.Tensor) -> torch.export.ExportedProgram:
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(deployed, (example,), dynamic_shapes=({0: batch},))
    # Each operation remembers the lines that called it: paths of this machine, which do not belong in a deployed file.
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)
    return program


def _write_onnx(deployed: Deployed, card: Card, example: torch.Tensor, path: Path) -> None:
    batch = torch.export.Dim("batch", min=1)
    program = torch.onnx.export(
        _program(deployed, example),
        (example,),
        dynamo=True,
        opset_version=_SUPPORTED_OPSET,
        dynamic_shapes=({0: batch},),  # said again, or the axis gets a number for a name
        input_names=[INPUT_NAME],
        output_names=[card.output_name],
        verbose=False,
    )
    assert program is not None
    program.model.metadata_props.update(_metadata(card))
    program.save(path)


def _metadata(card: Card) -> dict[str, str]:
    """Return what the ONNX file says about itself: the card as a whole, and the parts that others may look for."""
    return {
        CARD_KEY: replace(card, structure=None).to_json(),
        **_names_of_outputs(card),
        "layout": card.layout,
        "dtype": card.dtype,
        "data_hash": card.data_hash,
    }


def _names_of_outputs(card: Card) -> dict[str, str]:
    if card.targets is None:
        return {"class_names": "\n".join(card.class_names)}
    return {"target_names": "\n".join(card.targets.names)}


def _take_name(temporary: Path, folder: Path) -> None:
    """Give the finished files their name; an earlier export steps aside first and goes when they have it."""
    if not folder.exists():
        temporary.rename(folder)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
    folder.rename(aside / "export")
    try:
        temporary.rename(folder)
    except OSError:
        (aside / "export").rename(folder)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
