"""The standard streams of this process, fit to be printed to however it was started."""

import io
import os
import sys


def mend_streams() -> None:
    """Opens the standard streams that this process was started without, and lets all of them take every text.

    A shell leaves one out by `2>&-`, a service manager by its settings. Printing would fail then; and worse, the next
    file to be opened, a study's journal maybe, would get the number of the stream, and with it what C++ libraries
    print. Names of files need not be text; what a stream has no letters for is printed as its code.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  # as long as the process
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
