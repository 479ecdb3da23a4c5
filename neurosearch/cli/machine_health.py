"""Is this machine fit for a search? Versions, GPU, compiler, memory, disk and clock, each with what to do if not."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from neurosearch.training.compiler import missing_compiler

PACKAGE = "neurosearch"
_SHOWN = ("torch", "ray", "optuna", "mlflow")
_MIB, _GIB = 2**20, 2**30
_LITTLE_DISK, _TOO_LITTLE_DISK = 2 * _GIB, 200 * _MIB
_LITTLE_MEMORY, _TOO_LITTLE_MEMORY = 2 * _GIB, _GIB // 2
_SKEW_SECONDS = 2.0
_DRIVER = Path("/proc/driver/nvidia/version")
_GPU_SECONDS = 7.0  # CUDA hangs where its driver is broken
_GPU_SCRIPT = """
import json, torch
found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
usable = torch.cuda.is_available()
print(json.dumps({
    "built_for": torch.version.cuda,
    "usable": usable,
    "gpus": [{"name": each.name, "bytes": each.total_memory} for each in found] if usable else [],
}))
"""


@dataclass(frozen=True)
class Finding:
    """What was found about one thing.

    Attributes:
        name: The thing.
        state: Whether a search can run; `mind` where it can, but not as well as it might.
        text: What was found.
        remedy: What to do; empty when nothing is to be done.
    """

    name: str
    state: Literal["ok", "mind", "wrong"]
    text: str
    remedy: str = ""

    @property
    def line(self) -> str:
        """The same for people."""
        return f"{self.state:<5}  {self.name}: {self.text}{f' {self.remedy}' if self.remedy else ''}"

    def facts(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return asdict(self)


def versions() -> Finding:
    """Compares what is installed with what this package asks for."""
    python = ".".join(map(str, sys.version_info[:3]))
    try:
        about, required = metadata.version(PACKAGE), metadata.requires(PACKAGE) or []
    except metadata.PackageNotFoundError:
        return Finding(
            "versions", "wrong", f"{PACKAGE} is not installed, so it finds no kinds.", "Run: pip install -e ."
        )
    unfit = [text for requirement in required for text in _unfit(requirement)]
    if unfit:
        return Finding("versions", "wrong", f"{'; '.join(unfit)}.", f"Run: pip install --upgrade {PACKAGE}")
    shown = ", ".join(f"{name} {metadata.version(name)}" for name in _SHOWN)
    return Finding("versions", "ok", f"{PACKAGE} {about}, Python {python}, {shown}")


def gpu(script: str = _GPU_SCRIPT, seconds: float = _GPU_SECONDS) -> Finding:
    """Asks PyTorch for GPUs in a process of its own: importing it takes seconds, and CUDA may hang.

    Args:
        script: Prints what it finds as JSON.
        seconds: How long it may take.
    """
    process = subprocess.Popen(  # noqa: S603  # our own interpreter with a script of ours
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        out, error = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        with suppress(subprocess.TimeoutExpired):  # what hangs in the driver cannot even be killed
            process.communicate(timeout=1)
        text = f"PyTorch said nothing about GPUs for {seconds:g} seconds."
        if not _DRIVER.exists():
            return Finding("GPU", "mind", text, "There is no NVIDIA driver; the machine is busy, or its disk is slow.")
        return Finding("GPU", "mind", text, "If nvidia-smi hangs too, restart the driver or the machine.")
    if process.returncode:
        reason = error.strip().splitlines()[-1] if error.strip() else f"exit code {process.returncode}"
        return Finding("GPU", "wrong", f"PyTorch cannot be imported: {reason}.", "Install it again.")
    return _gpu_finding(json.loads(out.splitlines()[-1]), has_driver=_DRIVER.exists())


def _gpu_finding(found: dict[str, Any], *, has_driver: bool) -> Finding:
    if found["gpus"]:
        names = ", ".join(f"{each['name']} ({each['bytes'] / _GIB:.0f} GiB)" for each in found["gpus"])
        return Finding("GPU", "ok", names)
    if has_driver and found["built_for"] is None:
        text = "this machine has an NVIDIA driver, but PyTorch is built without CUDA."
        return Finding("GPU", "mind", text, "Install PyTorch with CUDA to use the GPU.")
    if has_driver:
        text = f"this machine has an NVIDIA driver, but PyTorch (CUDA {found['built_for']}) cannot use a GPU."
        return Finding("GPU", "mind", text, "See what nvidia-smi and CUDA_VISIBLE_DEVICES say; update the driver.")
    return Finding("GPU", "ok", "none; trials train on CPU cores")


def compiler(is_needed: bool) -> Finding:
    """Looks for what `training.compile` needs on the CPU.

    Args:
        is_needed: Whether steps are to be compiled.
    """
    why = missing_compiler()
    if why is None:
        return Finding("compiler", "ok", "there; steps can be compiled for the CPU")
    if is_needed:
        return Finding("compiler", "wrong", f"{why}.", "Without it set training.compile: false.")
    return Finding("compiler", "ok", "none; only training.compile on the CPU needs one")


def memory(available: int | None = None) -> Finding:
    """Tells the memory that is free, in bytes, and how many cores may be used."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    free = _available_memory() if available is None else available
    if free is None:
        return Finding("memory", "ok", f"{cores} cores; this system does not say how much memory is free")
    text = f"{free / _GIB:.1f} GiB free, {cores} cores"
    if free < _TOO_LITTLE_MEMORY:
        return Finding("memory", "wrong", f"{text}.", "A trial needs about half a GiB beside its data: end something.")
    if free < _LITTLE_MEMORY:
        return Finding("memory", "mind", f"{text}.", "Keep search.concurrency at 1, or end something.")
    return Finding("memory", "ok", text)


def disk(folder: Path) -> Finding:
    """Tells the room where studies are kept."""
    place = existing(folder)
    free = shutil.disk_usage(place).free
    text = f"{free / _GIB:.1f} GiB free at {place}"
    if free < _TOO_LITTLE_DISK:
        return Finding("disk", "wrong", f"{text}.", "Make room, or keep studies on another disk with storage.folder.")
    if free < _LITTLE_DISK:
        return Finding("disk", "mind", f"{text}.", "Large networks need more: make room, or lower search.kept_trials.")
    return Finding("disk", "ok", text)


def clock(folder: Path) -> Finding:
    """Compares this machine's clock with the one that stamps files where studies are kept, and with the files there."""
    try:
        with tempfile.NamedTemporaryFile(dir=existing(folder)) as file:
            skew = Path(file.name).stat().st_mtime - time.time()
    except OSError:
        return Finding("clock", "mind", "cannot be compared: the folder cannot be written.", "See storage.")
    newest = max((path.stat().st_mtime for path in folder.glob("*/study.journal")), default=0.0)
    if abs(skew) > _SKEW_SECONDS:
        text = f"the disk of {folder} is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}."
        return Finding("clock", "mind", text, "Times of trials will be off: let NTP set both clocks.")
    if newest > time.time() + _SKEW_SECONDS:
        text = f"a study in {folder} was written {newest - time.time():,.0f} s in the future."
        return Finding("clock", "mind", text, "Times of trials will be off: let NTP set this machine's clock.")
    now = time.strftime("%Y-%m-%d %H:%M:%S %Z")
    return Finding("clock", "ok", f"{now}, the same where studies are kept")


def existing(folder: Path) -> Path:
    """Returns the folder, or the nearest one above it that exists, as far as this user may see."""
    return next(each for each in (folder, *folder.absolute().parents) if os.path.exists(each))  # noqa: PTH110  # it fails


def _unfit(requirement: str) -> Iterator[str]:
    """Yields what is wrong with an installed requirement, such as `mlflow<4,>=3.17`; bounds of whole numbers."""
    needed, _, marker = requirement.partition(";")
    if marker.strip():
        return
    name = re.split(r"[\[<>=!~ ]", needed.strip(), maxsplit=1)[0]
    try:
        installed = metadata.version(name)
    except metadata.PackageNotFoundError:
        yield f"{name} is not installed"
        return
    for sign, bound in re.findall(r"(>=|<)\s*([\d.]+)", needed):
        if (_numbers(installed) >= _numbers(bound)) != (sign == ">="):
            yield f"{name} is {installed}, but must be {sign}{bound}"


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in found.group().split(".")] if found else []
    while numbers and numbers[-1] == 0:  # 3.0 is 3
        numbers.pop()
    return tuple(numbers)


def _available_memory() -> int | None:
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return None
    found = re.search(r"MemAvailable:\s+(\d+) kB", text)
    return int(found.group(1)) * 1024 if found else None
