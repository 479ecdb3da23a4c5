"""Ends the process without taking its libraries apart."""

import atexit
import os
import sys
import threading


def leave(code: int | str | None) -> None:
    """Ends the process with an exit code as `sys.exit` takes it.

    Python frees torch, ONNX and MLflow object by object when it ends, which takes four to six seconds and frees nothing
    that the system would not. What must happen at the end still does: threads are waited for, exit functions run, what
    was printed is written.
    """
    if "torch" not in sys.modules or isinstance(code, str):
        sys.exit(code)
    # As Python itself does at its end: executors are told that nothing more comes, then their threads are waited for.
    # Joined without being told, a thread of an executor that somebody left open would wait for work for ever.
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001
    atexit._run_exitfuncs()  # noqa: SLF001  # the one way to run them before `os._exit`
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)
