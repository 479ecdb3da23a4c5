"""The files of a trial that runs on this node, brought to where other nodes find them.

A checkpoint goes up behind the next epochs, at most one interval late: before another one is sent, the one before has
arrived. Where a trial waits for a word, and at the end of a seed, all that was sent has arrived.
"""

import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from neurosearch.search.artifacts import artifacts_of
from neurosearch.search.errors import StorageLost
from neurosearch.search.folders import StudyFolder
from neurosearch.search.outcome import TrialResult, read_result, write_result, write_text

_NETWORK = "final.pt"
_CHECKPOINTS, _MOST = "checkpoint-*.pt", 2  # a store of checkpoints keeps as many here


class TrialFiles:
    """What a trial leaves; in a folder that all nodes see, nothing has to be brought."""

    def __init__(self, folder: StudyFolder, number: int) -> None:
        """Takes the study and the trial."""
        self._folder = folder
        self._number = number
        self._artifacts = artifacts_of(folder)
        self._pool = None if self._artifacts.are_near else ThreadPoolExecutor(1, "artifacts")
        self._pending: Future[None] | None = None
        self._checkpoints: list[Path] = []  # that are kept, the oldest first, of the training that runs

    def result(self) -> TrialResult | None:
        """Returns the result of a trial that ended before; None if it has not."""
        path = self._folder.result(self._number)
        if not self._artifacts.fetch(path):
            return None
        if path not in self._artifacts.kept(path.parent):  # it was written, and its process died before it was kept
            self._artifacts.keep(path)
        return read_result(path)

    def bring_checkpoint(self, training: Path) -> None:
        """Sees that the newest whole checkpoint of a training is here, for it to go on from."""
        if self._pool is None:
            return
        self._checkpoints = [path for path in self._artifacts.kept(training) if path.match(_CHECKPOINTS)]
        for path in reversed(self._checkpoints):
            if self._artifacts.fetch(path):
                return

    def send(self, *paths: Path) -> None:
        """Keeps files of the training that runs while it goes on; waits for what was sent before."""
        if self._pool is not None:
            self.settle()
            self._pending = self._pool.submit(self._keep, [path for path in paths if path.exists()])

    def settle(self) -> None:
        """Waits until all that was sent is kept.

        Raises:
            StorageLost: It cannot be kept.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def keep_network(self, training: Path) -> None:
        """Keeps the final network of a training, and all that was sent before."""
        self.send(*training.glob(_NETWORK))
        self.settle()

    def keep_result(self, result: TrialResult) -> None:
        """Writes and keeps the trial's end, which stands for all that was kept before it."""
        self.settle()
        path = self._folder.result(self._number)
        write_result(path, result)
        self._artifacts.keep(path)

    def keep_traceback(self, text: str) -> Path:
        """Writes and keeps where in the code a trial failed; returns where it stands."""
        path = self._folder.traceback(self._number)
        write_text(path, text)
        self._artifacts.keep(path)
        return path

    def close(self) -> None:
        """Lets what was sent arrive, and clears the node of it; what cannot be kept stays here."""
        if self._pool is None:
            return
        try:
            self.settle()
        except StorageLost:
            return  # told already, or nobody listens any more; the node that goes on from here has it
        finally:
            self._pool.shutdown()
        for training in self._folder.trial(self._number).glob("seed-*"):
            shutil.rmtree(training, ignore_errors=True)

    def _keep(self, paths: list[Path]) -> None:
        for path in paths:
            self._artifacts.keep(path)
            if path.match(_CHECKPOINTS) and path not in self._checkpoints:
                self._checkpoints.append(path)
        surplus = self._checkpoints[:-_MOST]
        if surplus:
            self._artifacts.remove(surplus)
            del self._checkpoints[:-_MOST]
