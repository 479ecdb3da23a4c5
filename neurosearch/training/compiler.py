"""Whether steps can be compiled for this machine's CPU; asked before a training is made, not where it stands still.

Imports no torch, so a config is checked in no time.
"""

import os
import shutil
import sys
import sysconfig
from pathlib import Path


def missing_compiler() -> str | None:
    """Return what PyTorch's compiler lacks here and what to do, as a sentence; None where it lacks nothing."""
    name = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(name.split()[0]) is None:
        return (
            f"there is no C++ compiler {name} on this machine. Install one (on Debian: apt-get install g++), or say by "
            "the environment variable CXX which one to take"
        )
    headers = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not headers.exists():
        return f"Python's headers are not on this machine ({headers}). Install them (on Debian: python3-dev)"
    return None
