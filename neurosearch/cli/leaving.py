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
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.current_thread():
            thread.join()
    atexit._run_exitfuncs()  # noqa: SLF001  # the one way to run them before `os._exit`
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)
