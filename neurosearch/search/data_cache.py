"""Prepared data, opened once per process: trials of a warm worker find it open."""

from typing import TYPE_CHECKING

from neurosearch.config.trial import TrialConfig
from neurosearch.search.folders import StudyFolder
from neurosearch.search.travelled import bring_travelled

if TYPE_CHECKING:
    from neurosearch.data.prepared import PreparedData

_OPENED: "dict[tuple[str, str], PreparedData]" = {}  # a folder and a manifest each; the arrays are mapped, not held


def opened_data(config: TrialConfig, folder: StudyFolder) -> "PreparedData":
    """Returns the data of a trial, prepared in the study's folder unless it is there.

    Raises:
        DataError: If the data cannot be used as the config asks.
        OSError: If the folder cannot be written.
        StorageLost: If what travelled with the config cannot be brought here.
    """
    from neurosearch.build.trial import prepare_data

    bring_travelled(config, folder)  # weights, too: whoever trains opens the data first
    key = (str(folder.data), config.data.model_dump_json())
    if key not in _OPENED:
        _OPENED[key] = prepare_data(config, folder.data)
    return _OPENED[key]
