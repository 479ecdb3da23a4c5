"""Which trials of a study are handed out as a pack, and how large it is; asked by the desk."""

import math

from neurosearch.config.packing import pack_key
from neurosearch.config.trial import TrialConfig
from neurosearch.search.seams import TrialInfo
from neurosearch.search.study import Study

#: Size of a pack where `auto` packs: measured, larger ones save little more and let the sampler learn less in between.
AUTO_SIZE = 16


class Packing:
    """Decides by the config, by what was measured, and by what is left to run.

    Trials beside those of the search, such as finalists, are few and go their own ways.
    """

    def __init__(self, study: Study) -> None:
        self._study = study
        self._wanted = study.config.study.search.packing
        self._measuring: set[str] = set()  # keys of the packs that are out to be measured

    def key(self, trial: TrialInfo) -> str | None:
        """Returns what trials of one pack have in common; None for a trial that goes alone."""
        if self._wanted == "off" or trial.role != "search":
            return None
        return pack_key(TrialConfig.model_validate(trial.config))

    def size(self, key: str) -> int:
        """Returns how many trials with this key go together; 1: each alone."""
        if isinstance(self._wanted, int):
            return self._wanted
        choice = self._study.pack_choice(key)
        if (choice is None and key in self._measuring) or (choice is not None and not choice["together"]):
            return 1
        # A worker must not take all that is left while others stand idle.
        share = math.ceil((self._study.trials_left + 1) / self._study.config.study.search.concurrency)
        return min(AUTO_SIZE, share)

    def begin(self, key: str) -> bool:
        """Takes note that a pack goes out; returns whether its worker must measure first."""
        if isinstance(self._wanted, int) or self._study.pack_choice(key) is not None:
            return False
        self._measuring.add(key)
        return True

    def unmeasured(self, key: str) -> None:
        """Takes note that a pack that was to be measured was not: the next one is."""
        self._measuring.discard(key)
