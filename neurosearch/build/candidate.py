"""From the state of a training after an epoch at rest to a network that can be deployed."""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from neurosearch.build.final import save_final
from neurosearch.build.pretrained import without_weights
from neurosearch.build.trial import build_trainer
from neurosearch.config.trial import TrialConfig
from neurosearch.data.prepared import PreparedData
from neurosearch.training.checkpoint import checkpoint_name, decode, encode


def finish_candidate(
    config: TrialConfig, data: PreparedData, state: Path, epoch: int, folder: Path
) -> dict[str, float]:
    """Ends a training at an epoch that it has done, as if it had been the last: writes the network that comes of it.

    Args:
        config: The trial's, with the seed that it was trained on.
        data: What it was trained by.
        state: The checkpoint after the epoch.
        epoch: Which.
        folder: Takes the final network (`build.final.load_final` reads it); made if it is not there.

    Returns:
        Metrics of the network: those of the epoch, or new ones where the end changed it (rounded a trained size, say).

    Raises:
        ValueError: If the file is missing or damaged.
        OSError: If the folder cannot be written.
    """
    try:
        payload = decode(state.read_bytes())
    except OSError as error:
        raise ValueError(
            f"{state} cannot be read: {error.strerror}. Only epochs on the front are kept; status lists them."
        ) from error
    # No step is taken any more, so all that the number of epochs decides is that this one was the last; and what steps
    # were compiled by need not be on this machine.
    training = config.training.model_copy(update={"epochs": epoch, "compile": False})
    shortened = without_weights(config).model_copy(update={"training": training})
    payload["settings"] |= {"epochs": epoch, "compiled": False}
    with TemporaryDirectory() as place:
        (Path(place) / checkpoint_name(epoch)).write_bytes(encode(payload))
        final = build_trainer(shortened, data, Path(place), torch.device("cpu")).finish()
    folder.mkdir(parents=True, exist_ok=True)
    save_final(folder, final.model, final.units)
    return dict(final.record.metrics)
