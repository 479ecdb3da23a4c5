"""A training on several GPUs of one machine: one process for each, started and watched over by the trial's own.

The trial's process trains nothing. It sends every process the same commands and waits for all answers, so none of them
runs ahead of the word whether to go on; and it sees at once when one has died, and ends the others, which would wait
for it. The processes in turn end themselves when the trial's process dies, however it does.
"""

import multiprocessing
import os
import threading
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal
from weakref import finalize

from neurosearch.config.trial import TrialConfig
from neurosearch.search.data_cache import opened_data
from neurosearch.search.folders import StudyFolder
from neurosearch.search.trial import BuiltTraining, OpenTraining, Training
from neurosearch.training.memory import OutOfMemory, is_out_of_memory, shortage_words
from neurosearch.training.records import EpochRecord, TrialFailed

Command = Literal["open", "epoch", "deliver"]
_LAST_WORDS_SECONDS = 2.0  # for the others to say what they know, once one is in trouble
_END_SECONDS = 10.0
# What Gloo and NCCL say in those that live on when another one has gone.
_ECHOES = ("Connection closed", "Connection reset", "gloo", "NCCL", "ProcessGroup", "DistBackend")


class RankError(RuntimeError):
    """A process of a training ended by an unforeseen error."""


@dataclass(frozen=True)
class _Place:
    """What a process must know to be one of several."""

    rank: int
    size: int
    rendezvous: str
    config: dict[str, Any]
    study: dict[str, Any]
    folder: str
    device: str
    threads: int


def ranked(size: int) -> OpenTraining:
    """Returns what opens trainings on so many processes, each with a device of its own."""

    def opened(config: TrialConfig, study: StudyFolder, folder: Path, device: str) -> Training:
        return RankedTraining(config, study, folder, device, size)

    return opened


class RankedTraining:
    """A training by several processes, as a `search.trial.Training`."""

    def __init__(self, config: TrialConfig, study: StudyFolder, folder: Path, device: str, size: int) -> None:
        """Starts the processes; they go on from the newest checkpoint.

        Args:
            config: What to train.
            study: Where the study and its data lie.
            folder: Of the training's checkpoints.
            device: `cuda`: one GPU for each process; `cpu`: all on the CPU, for tests.
            size: How many processes.

        Raises:
            TrialFailed: One cannot be started.
        """
        opened_data(config, study)  # once, before all of them look for it
        self._config = config
        self._group = _Group(config, study, folder, device, size)
        self.history = [EpochRecord.from_dict(record) for record in self._group.ask("open")]

    def epochs(self) -> Iterator[EpochRecord]:
        """Trains what is left; closed before its end, it ends the processes."""
        try:
            while len(self.history) < self._config.training.epochs:
                self.history.append(EpochRecord.from_dict(self._group.ask("epoch")))
                yield self.history[-1]
        except BaseException:
            self._group.kill()
            raise

    def kept(self, record: EpochRecord) -> str | None:
        """Returns the name of the record's checkpoint."""
        from neurosearch.build.trial import training_settings
        from neurosearch.training.checkpoint import checkpoint_name

        settings = training_settings(self._config.training, self._config.seed)
        return checkpoint_name(record.epoch) if settings.is_checkpointed(record.epoch) else None

    def deliver(self) -> EpochRecord:
        """Makes the network final; the first process writes it."""
        try:
            return EpochRecord.from_dict(self._group.ask("deliver"))
        finally:
            self._group.kill()


class _Group:
    """The processes of one training, from this side."""

    def __init__(self, config: TrialConfig, study: StudyFolder, folder: Path, device: str, size: int) -> None:
        import torch

        context = multiprocessing.get_context("spawn")  # a forked process cannot use CUDA
        self._scratch = TemporaryDirectory(prefix="neurosearch-")
        threads = max(1, torch.get_num_threads() // size)
        self._processes: list[BaseProcess] = []
        self._connections: list[Connection] = []
        # Also when nobody draws an epoch or delivers: a training that was only looked at.
        self.kill = finalize(self, _kill, self._processes, self._connections, self._scratch)
        for rank in range(size):
            place = _Place(
                rank,
                size,
                str(Path(self._scratch.name) / "rendezvous"),
                config.model_dump(mode="json"),
                study.to_dict(),
                str(folder),
                f"cuda:{rank}" if device == "cuda" else device,
                threads,
            )
            ours, theirs = context.Pipe()
            process = context.Process(target=_run, args=(place, theirs), name=f"rank-{rank}", daemon=True)
            process.start()
            theirs.close()
            self._processes.append(process)
            self._connections.append(ours)

    def ask(self, command: Command) -> Any:
        """Sends a command to all and returns the first one's answer, once all have answered."""
        for each in self._connections:
            with suppress(OSError):  # it has died, as waiting for its answer will show
                each.send(command)
        answers: dict[int, tuple[str, Any]] = {}
        while len(answers) < len(self._connections):
            in_trouble = any(kind != "done" for kind, _ in answers.values())
            waiting = {each: rank for rank, each in enumerate(self._connections) if rank not in answers}
            ready = connection.wait(list(waiting), _LAST_WORDS_SECONDS if in_trouble else None)
            if not ready:
                break
            for each, rank in waiting.items():
                if each in ready:
                    answers[rank] = self._answer(rank, each)
        troubles = [(kind, text) for kind, text in answers.values() if kind != "done"]
        if troubles:
            self.kill()
            raise _cause(troubles)
        return answers[0][1]

    def _answer(self, rank: int, link: Connection) -> tuple[str, Any]:
        try:
            kind, value = link.recv()
        except (EOFError, OSError):
            process = self._processes[rank]
            process.join(_END_SECONDS)
            return "died", f"process {rank} of the trial's {len(self._processes)} {_end_words(process.exitcode)}"
        return str(kind), value


def _cause(troubles: list[tuple[str, str]]) -> Exception:
    """Returns the error of the process that began it: what the others say is that they have lost it."""
    order = ("failed", "short", "error", "died", "echo")
    found = [
        ("echo" if kind == "error" and any(echo in text for echo in _ECHOES) else kind, text) for kind, text in troubles
    ]
    kind, text = min(found, key=lambda each: order.index(each[0]))
    if kind == "failed":
        return TrialFailed(text)
    if kind == "short":
        return OutOfMemory(text)
    if kind == "died":
        remedy = "If memory ran out, lower training.batch_size or the widths."
        return TrialFailed(f"{text}; the others were ended. {remedy}")
    error = RankError(text.strip().splitlines()[-1])
    error.add_note(text)
    return error


def _end_words(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"was killed by signal {-exit_code}"
    return f"ended by itself with exit code {exit_code}"


def _kill(processes: list[BaseProcess], connections: list[Connection], scratch: TemporaryDirectory[str]) -> None:
    for each in connections:
        each.close()
    for process in processes:
        process.kill()
    for process in processes:
        process.join(_END_SECONDS)
    scratch.cleanup()


def _run(place: _Place, link: Connection) -> None:
    """Runs one process of a training: does what it is told until nobody tells any more."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    from neurosearch.training.distributed import joined

    # All are on this machine, so nothing has to listen to a network.
    os.environ.update({"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"})
    torch.set_num_threads(place.threads)
    device = torch.device(place.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with joined(place.rank, place.size, Path(place.rendezvous), device) as ranks:
        config = TrialConfig.model_validate(place.config)
        study, folder = StudyFolder.from_dict(place.study), Path(place.folder)
        training: BuiltTraining | None = None
        epochs: Iterator[EpochRecord] = iter(())
        while True:
            try:
                command: Command = link.recv()
            except EOFError:
                return
            try:
                if training is None:
                    training = BuiltTraining(config, study, folder, place.device, ranks)
                    epochs = training.epochs()
                link.send(("done", _done(command, training, epochs)))
            except Exception as error:  # noqa: BLE001  # told to the trial's process, which knows what to do with it
                link.send(_told(error))
                return


def _done(command: Command, training: BuiltTraining, epochs: Iterator[EpochRecord]) -> Any:
    match command:
        case "open":
            return [record.to_dict() for record in training.history]
        case "epoch":
            return next(epochs).to_dict()
        case "deliver":
            return training.deliver().to_dict()


def _told(error: Exception) -> tuple[str, str]:
    if is_out_of_memory(error):
        return "short", error.reason if isinstance(error, TrialFailed) else shortage_words(error, None)
    if isinstance(error, TrialFailed):
        return "failed", error.reason
    return "error", "".join(traceback.format_exception(error))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
