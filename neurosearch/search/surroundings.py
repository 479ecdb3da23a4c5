"""What a library finds around it while it works: environment variables, and where its words go."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Sets environment variables inside the block; what was set before is back afterwards."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def logging_to(path: Path, library: str, noise: str | None = None) -> Iterator[None]:
    """Sends what a library logs inside the block to a file instead of the screen.

    Args:
        path: The file; what is there already is kept.
        library: Name of the library's logger.
        noise: Name of a logger below it whose warnings are not worth a line, if there is one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger, noisy = logging.getLogger(library), logging.getLogger(noise or library)
    propagate, handlers, level = logger.propagate, logger.handlers, noisy.level
    logger.propagate, logger.handlers = False, [handler]
    if noise is not None:
        noisy.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.propagate, logger.handlers = propagate, handlers
        noisy.setLevel(level)
        handler.close()
