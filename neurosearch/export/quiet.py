"""Keeps what third parties print, warn and log off the user's screen: it goes to a file."""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, TextIO


@contextmanager
def quietly(log: Path) -> Iterator[None]:
    """Send prints, warnings and log records to the end of `log` while inside.

    It redirects this process's Python streams, so it is for the one thread that owns the screen.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as stream, ExitStack() as stack:
        for handler in _screen_handlers():
            stack.callback(handler.setStream, handler.stream)
            handler.setStream(stream)
        stack.enter_context(redirect_stdout(stream))
        stack.enter_context(redirect_stderr(stream))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("always")
        # Set, since whoever runs us may have sent warnings elsewhere; the way out of catch_warnings puts it back.
        warnings.showwarning = lambda *parts: _write_warning(stream, *parts)
        yield


def _write_warning(stream: TextIO, *parts: Any) -> None:
    message, category, filename, line_number = parts[:4]
    stream.write(warnings.formatwarning(message, category, filename, line_number))


def _screen_handlers() -> list["logging.StreamHandler[TextIO]"]:
    """Return the log handlers that hold the screen's streams, which a redirection does not reach."""
    loggers: list[Any] = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    screens = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    return [
        handler
        for logger in loggers
        for handler in getattr(logger, "handlers", ())
        if isinstance(handler, logging.StreamHandler) and handler.stream in screens
    ]
