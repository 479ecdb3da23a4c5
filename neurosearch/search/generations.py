"""In which order trials may be asked for and told to the sampler.

Left to itself, a search asks whenever a worker is free and tells whatever ends, so its course depends on which trial
was faster. In generations it depends on nothing but the study: the trials of a generation are asked for knowing only
those of the generations before, which are told in the order of their numbers once all have ended.
"""

from collections.abc import Sequence


class Generations:
    """Keeps trials of the search in order; numbers are the study's.

    Args:
        size: Trials of a generation; None: there are none, each trial stands for itself.
    """

    def __init__(self, size: int | None) -> None:
        self._size = size
        self._asked: list[int] = []
        self._ended: set[int] = set()
        self._num_told = 0  # of the asked ones, in order

    @property
    def num_asked(self) -> int:
        """How many trials there are."""
        return len(self._asked)

    def may_ask(self) -> bool:
        """Tells whether the next trial may be asked for now."""
        starts_one = self._size is not None and self.num_asked % self._size == 0
        return not starts_one or len(self._ended) == self.num_asked

    def begin(self) -> Sequence[int]:
        """Returns the ended trials that the sampler must hear of before the next is asked for, in order."""
        if self._size is None or self.num_asked % self._size:
            return ()
        return self._told_up_to(self.num_asked)

    def asked(self, number: int) -> None:
        """Takes note of the next trial."""
        self._asked.append(number)

    def ended(self, number: int) -> Sequence[int]:
        """Takes note of an end; returns the trials that the sampler may hear of at once."""
        self._ended.add(number)
        return (number,) if self._size is None else ()

    def peers(self, number: int) -> Sequence[int]:
        """Returns the trials that a decision on a trial may look at: all others, or those of earlier generations."""
        if self._size is None:
            return [each for each in self._asked if each != number]
        place = self._asked.index(number)
        return self._asked[: place - place % self._size]

    def _told_up_to(self, end: int) -> Sequence[int]:
        start, self._num_told = self._num_told, end
        return self._asked[start:end]
