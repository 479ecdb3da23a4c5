"""Prepared data, opened once per process: trials of a warm worker find it open."""

from typing import TYPE_CHECKING

from neurosearch.config.trial import TrialConfig
from neurosearch.search.folders import StudyFolder
from neurosearch.search.travelled import bring_travelled
from neurosearch.search.used_data import UsedData, known, of_section

if TYPE_CHECKING:
    from neurosearch.data.prepared import PreparedData

_Key = tuple[str, str, tuple[UsedData, ...]]
_OPENED: "dict[_Key, PreparedData]" = {}  # a folder and a manifest each; the arrays are mapped, not held


def opened_data(config: TrialConfig, folder: StudyFolder) -> "PreparedData":
    """Returns the data of a trial, prepared in the study's folder unless it is there.

    Where the study knows which data its trials were trained on, it is that: from the study's own folder, whatever has
    become of the source; prepared from the source where it is not there, if its content is the same.

    Raises:
        DataError: If the data cannot be used as the config asks, or the source has changed.
        OSError: If the folder cannot be written.
        StorageLost: If what travelled with the config cannot be brought here.
    """
    from neurosearch.build.trial import prepare_data

    bring_travelled(config, folder)  # weights, too: whoever trains opens the data first
    used = of_section(folder.used, config.data)
    key = (str(folder.data), config.data.model_dump_json(), used)
    if key not in _OPENED:
        _OPENED[key] = prepare_data(config, folder.data, known(used))
    return _OPENED[key]
