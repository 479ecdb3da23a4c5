"""Whether the sources of a study's data still hold what its trials were trained on."""

import json

from neurosearch.search.folders import StudyFolder
from neurosearch.search.used_data import UsedData, known

#: What may differ between data sections of one source: how it is thinned and split, not what it holds.
_MADE_OF_IT = ("imbalance", "validation_share", "split_seed")


def unchanged_sources(folder: StudyFolder) -> tuple[UsedData, ...]:
    """Checks that no source has changed; a content is read only where place, size or time are others.

    Returns:
        What is to be kept, so that the content need not be read again: the same data in other files.

    Raises:
        DataError: A source has changed, or cannot be read.
    """
    from neurosearch.build.trial import data_source, prepare_settings
    from neurosearch.data.prepared import check_unchanged

    found: list[UsedData] = []
    for used in _by_source(folder.used):
        fields, before = used[0].fields(), known(used)
        assert before is not None
        key = check_unchanged(prepare_settings(fields), data_source(fields), before, folder.data)
        if key not in before.keys:
            found.append(UsedData.of(fields, key, before.data_hash))
    return tuple(found)


def _by_source(used: tuple[UsedData, ...]) -> list[list[UsedData]]:
    """Returns what one section of each source was used as: what holds for its source holds for the others' too."""
    by_section: dict[str, list[UsedData]] = {}
    for each in used:
        by_section.setdefault(each.section, []).append(each)
    chosen: dict[str, list[UsedData]] = {}
    for section, all_of_it in by_section.items():
        values = json.loads(section)
        chosen.setdefault(json.dumps({name: values[name] for name in values if name not in _MADE_OF_IT}), all_of_it)
    return list(chosen.values())
