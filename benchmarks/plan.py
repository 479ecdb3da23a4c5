"""What `plan` says the quickstart will take, and what it then takes: both as whole commands, one after the other.

The estimate is made before and after the search, as other work on a machine comes and goes, and their mean counts.

Usage: python benchmarks/plan.py [--quick]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CONFIG = Path(__file__).parent.parent / "tune_configs" / "quickstart.yaml"
COMMAND = [sys.executable, "-m", "neurosearch"]


def main() -> None:
    """Prints the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="four trials of few epochs: shows that the script runs")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as folder:
        words = [str(CONFIG), "--set", f"storage.folder={folder}/runs"]
        if quick:
            words += ["--set", "search.trials=4", "--set", "training.epochs=10", "--set", "search.fresh_seeds=2"]
        before, own_seconds = timed("plan", words)
        search, search_seconds = timed("search", words)
        after, _ = timed("plan", words)
    estimates = [each["forecast"]["seconds"] for each in (before, after)]
    estimate = sum(estimates) / len(estimates)
    figures = {
        "plan_seconds": round(estimate, 1),
        "search_seconds": round(search_seconds, 1),
        "plan_error": round(estimate / search_seconds - 1, 3),
        "plans": [round(each, 1) for each in estimates],
        "plan_takes_seconds": round(own_seconds, 1),
        "planned_trials": before["forecast"]["trials"],
        "trials": sum(search["counts"].values()),
        "parts": {name: round(value, 1) for name, value in before["forecast"].items() if name.endswith("_seconds")},
        "slowness": [round(each["machine"]["slowness"], 2) for each in (before, after)],
        "quick": quick,
        "runs": 1,
    }
    print(json.dumps(figures))


def timed(command: str, words: list[str]) -> tuple[dict[str, Any], float]:
    """Runs one of our commands to its end; returns its facts and its seconds."""
    started = time.perf_counter()
    done = subprocess.run([*COMMAND, command, *words, "--json"], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1]), time.perf_counter() - started


if __name__ == "__main__":
    main()
