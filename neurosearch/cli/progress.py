"""How a search tells what happens while it runs: a live screen, a line for every trial, or JSON lines for programs."""

import json
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from neurosearch.cli.bars import Lines
from neurosearch.cli.options import Progress
from neurosearch.cli.picture import Picture
from neurosearch.cli.report import CommandError, finite, say
from neurosearch.cli.screen import OUTPUT_LOG
from neurosearch.cli.terminal import GONE, can_draw, print_into, showing
from neurosearch.config.load import StudyConfig
from neurosearch.longwork import told_to
from neurosearch.search.folders import StudyFolder
from neurosearch.search.reports import size_metric
from neurosearch.search.seams import Listener, Record, TrialInfo, TrialSummary
from neurosearch.search.stored import StoredStudy
from neurosearch.search.words import trial_facts, trial_line


class Teller(Listener, Protocol):
    """A listener that also passes notes on."""

    def note(self, text: str) -> None:
        """Tells what the user should know beside the trials."""


def chosen(progress: Progress) -> Progress:
    """Returns how to tell what happens: on a terminal a screen, elsewhere JSON lines, unless something was asked for.

    Raises:
        CommandError: A screen is asked for where none can be drawn.
    """
    if progress is Progress.AUTO:
        if not sys.stdout.isatty():
            return Progress.JSON
        return Progress.SCREEN if can_draw() else Progress.LINES
    if progress is Progress.SCREEN and not can_draw():
        raise CommandError(
            "--progress screen needs a terminal that can be drawn on, which this is not; take --progress lines or json."
        )
    return progress


@contextmanager
def telling(progress: Progress, study: StudyConfig, folder: StudyFolder, *, resume: bool) -> Iterator[Teller]:
    """Tells what happens in the block, in the chosen way.

    Raises:
        CommandError: A screen is asked for where none can be drawn.
        StudyError: A resumed study's storage cannot be used.
    """
    match chosen(progress):
        case Progress.SCREEN:
            picture = Picture(study, folder, StoredStudy(folder) if resume else None)
            gone = f"the terminal is gone and the search goes on: `{folder.command('status', '--watch')}` shows it."
            with (
                _warnings_to(picture),
                told_to(picture.on_work),
                showing(picture.look, folder.logs / OUTPUT_LOG, gone),
            ):
                yield picture
            for text in picture.notes:  # what was on the screen is gone with it
                say(f"note: {text}")
        case Progress.JSON:
            teller = ProgressJson(study, folder)
            with told_to(Lines(teller.on_work)):
                yield teller
        case _:
            yield ProgressLines(study, folder)


@contextmanager
def telling_work(progress: Progress, folder: StudyFolder) -> Iterator[None]:
    """Tells long work beside a search, such as its export, in the way in which the search itself is told."""
    if chosen(progress) is not Progress.JSON:
        yield
        return
    voice = _Voice(folder)
    with told_to(Lines(lambda text: voice.say(json.dumps({"event": "work", "text": text})))):
        yield


class _Voice:
    """Says lines while there is somebody to hear them; then they go to the study's logs, and the search goes on."""

    def __init__(self, folder: StudyFolder) -> None:
        self._log = folder.logs / OUTPUT_LOG

    def say(self, text: str) -> None:
        try:
            say(text)
        except OSError as error:
            if error.errno not in GONE:
                raise
            print_into(self._log, sys.stdout.fileno())
            say(text)


class ProgressLines:
    """A teller that says one line for every trial that ends."""

    def __init__(self, study: StudyConfig, folder: StudyFolder) -> None:
        """Says what is about to be searched."""
        search = study.study.search
        self._metric = search.objectives[0].metric
        self._voice = _Voice(folder)
        self._voice.say(
            f"study {folder.name} in {folder.path}: {search.trials} trials, {search.concurrency} at a time; "
            "Ctrl-C stops it"
        )

    def on_trial_started(self, trial: TrialInfo) -> None:
        """Says nothing: the line comes with the result."""

    def on_records(self, number: int, records: Sequence[Record]) -> None:
        """Says nothing."""

    def on_trial_finished(self, trial: TrialSummary, best: TrialSummary | None) -> None:
        """Says how it ended."""
        self._voice.say(trial_line(trial, self._metric, best))

    def on_stopping(self) -> None:
        """Says nothing: the report will."""

    def note(self, text: str) -> None:
        """Says it."""
        self._voice.say(f"note: {text}")


class ProgressJson:
    """A teller that says everything as JSON, one object in a line, whose `event` says what it is about."""

    def __init__(self, study: StudyConfig, folder: StudyFolder) -> None:
        """Says what is about to be searched."""
        search = study.study.search
        self._metric, self._size = search.objectives[0].metric, size_metric(study.study)
        self._voice = _Voice(folder)
        where = {"study": folder.name, "folder": str(folder.path), "logs": str(folder.logs)}
        self._say("study", **where, trials=search.trials, concurrency=search.concurrency)

    def on_trial_started(self, trial: TrialInfo) -> None:
        """Says which."""
        kind = trial.config["growth"]["kind"]
        self._say("trial_started", number=trial.number, role=trial.role, kind=kind, params=dict(trial.params))

    def on_records(self, number: int, records: Sequence[Record]) -> None:
        """Says how far a trial is, by the last of its new epochs."""
        last = records[-1]
        score, size = last["metrics"].get(self._metric), last["metrics"].get(self._size)
        self._say("epoch", number=number, epoch=last["epoch"], **{self._metric: score, self._size: size})

    def on_trial_finished(self, trial: TrialSummary, best: TrialSummary | None) -> None:
        """Says how it ended, and which is best now."""
        self._say("trial_ended", **trial_facts(trial), best=best.number if best else None)

    def on_stopping(self) -> None:
        """Says so."""
        self._say("stopping")

    def note(self, text: str) -> None:
        """Says it."""
        self._say("note", text=text)

    def on_work(self, text: str) -> None:
        """Says how far long work is."""
        self._say("work", text=text)

    def _say(self, event: str, **facts: Any) -> None:
        self._voice.say(json.dumps(finite({"event": event, **facts})))


class _Noting(logging.Handler):
    """Shows what our own code warns of, and prints it as well, so that it stands in the log."""

    def __init__(self, picture: Picture) -> None:
        super().__init__(logging.WARNING)
        self._picture = picture

    def emit(self, record: logging.LogRecord) -> None:
        self._picture.note(record.getMessage())
        sys.stderr.write(f"{record.getMessage()}\n")


@contextmanager
def _warnings_to(picture: Picture) -> Iterator[None]:
    logger, handler = logging.getLogger("neurosearch"), _Noting(picture)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
