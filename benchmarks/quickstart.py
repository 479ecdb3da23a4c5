"""How long the main job takes, what it needs, and how fast the command line answers.

Runs `neurosearch search tune_configs/quickstart.yaml` as a user would, in a fresh folder, and samples the memory of
every process it starts (proportional set size: a page shared by n processes counts 1/n for each). Then times
`neurosearch --help` and `neurosearch check` as whole processes.

Usage: python benchmarks/quickstart.py [--quick]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONFIG = Path(__file__).parent.parent / "tune_configs" / "quickstart.yaml"
COMMAND = [sys.executable, "-m", "neurosearch"]
SAMPLE_SECONDS = 0.25


def main() -> None:
    """Prints the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="four trials only: shows that the script runs")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as folder:
        search = [*COMMAND, "search", str(CONFIG), "--set", f"storage.folder={folder}/runs"]
        if quick:
            search += ["--set", "search.trials=4", "--set", "training.epochs=8"]
        seconds, peak_bytes, status = run_sampled(search, Path(folder))
        trials = json.loads(
            subprocess.run(
                [*COMMAND, "status", "quickstart", "--folder", f"{folder}/runs", "--json"],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
    figures = {
        "seconds": round(seconds, 1),
        "peak_gib": round(peak_bytes / 2**30, 2),
        "exit_status": status,
        "trials": trials["counts"],
        "help_seconds": median_seconds([*COMMAND, "--help"]),
        "check_seconds": median_seconds([*COMMAND, "check", str(CONFIG)]),
        "quick": quick,
        "runs": 1,
    }
    print(json.dumps(figures))


def run_sampled(command: list[str], folder: Path) -> tuple[float, int, int]:
    """Runs a command to its end and returns its seconds, its tree's peak memory in bytes, and its exit status."""
    before = time.perf_counter()
    with (folder / "output.txt").open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        peak, seen = 0, {process.pid}
        while process.poll() is None:
            seen = descendants(seen)
            peak = max(peak, sum(map(proportional_bytes, seen)))
            time.sleep(SAMPLE_SECONDS)
    seconds = time.perf_counter() - before
    sys.stderr.write((folder / "output.txt").read_text())
    return seconds, peak, process.returncode


def descendants(known: set[int]) -> set[int]:
    """Returns the living processes among `known` and all that they started, orphans of known ones included."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(path.parent.name)] = int(fields[1])
    living = known & parents.keys()
    while more := {pid for pid, parent in parents.items() if parent in living} - living:
        living |= more
    return living


def proportional_bytes(pid: int) -> int:
    """Returns a process's proportional set size, 0 for one that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def median_seconds(command: list[str], runs: int = 5) -> float:
    """Returns the median wall time of a command as a whole process, after one run that fills the caches."""
    times = []
    for _ in range(runs + 1):
        before = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - before)
    return round(statistics.median(times[1:]), 3)


if __name__ == "__main__":
    main()
