"""The report of a study of 500 trials: how long it takes to build, how large it is, how fast a browser shows it.

The study is made up and written through the real storage: two objectives, three kinds of growth, ten classes, 30 epochs
a trial, five failures, finalists, control and an arm on fresh seeds, test scores and confusion matrices.

`build_seconds`: wall time of `neurosearch report` as a whole process, Python's start and all imports included;
`build_cpu_seconds` is what it computed, which other work on the machine does not change.
`megabytes`: size of the page.
`first_figure_seconds`: from the begin of the page's loading to the first figure drawn, in headless Chromium, median of
the runs; `first_figure_cpu_seconds` is the processor time of the page's main thread by then.
`console_errors`: what the browser's console complained of until all figures were drawn, over all runs.

Usage: python benchmarks/report.py [--quick]
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
NUM_TRIALS, NUM_QUICK, NUM_RUNS = 500, 40, 5
FIRST_FIGURE = "performance.getEntriesByName('first-figure').length"


def main() -> None:
    """Prints the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="forty trials: shows that the script runs")
    parser.add_argument("--keep", type=Path, help="folder that takes the page, to be looked at")
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT))  # tests.made_studies and tests.browser are no package's
    num_trials = NUM_QUICK if arguments.quick else NUM_TRIALS
    with tempfile.TemporaryDirectory() as folder:
        make_study(Path(folder) / "runs", num_trials)
        page = (arguments.keep or Path(folder)) / "report.html"
        figures = built(Path(folder), page) | shown(page)
    print(json.dumps({**figures, "trials": num_trials, "quick": arguments.quick, "load": round(os.getloadavg()[0], 1)}))


def make_study(root: Path, num_trials: int) -> None:
    """Writes the study."""
    from tests.made_studies import TWO_OBJECTIVES, MadeStudy, config_with

    changes = {"search.objectives": list(TWO_OBJECTIVES), "search.trials": num_trials, "training.epochs": 30}
    MadeStudy(root, config_with(**changes)).search(num_trials - 5, failed=5).confirm().done()


def built(folder: Path, page: Path) -> dict[str, float]:
    """Runs the command; returns its time and the page's size."""
    command = [sys.executable, "-m", "neurosearch", "report", "made", "--out", str(page), "--json"]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "build_seconds": round(seconds, 2),
        "build_cpu_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2),
        "megabytes": round(page.stat().st_size / 1e6, 2),
    }


def shown(page: Path) -> dict[str, Any]:
    """Opens the page several times; returns when its first figure was there, and what went wrong."""
    from tests.browser import Browser

    seconds, cpu_seconds, errors = [], [], []
    browser = Browser()
    try:
        browser.driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
        for _ in range(NUM_RUNS):
            browser.open(page)
            browser.wait(FIRST_FIGURE)
            cpu_seconds.append(main_thread_seconds(browser))
            seconds.append(browser.run("return performance.getEntriesByName('first-figure')[0].startTime") / 1000)
            browser.wait_for_figures()
            errors += browser.errors()
    finally:
        browser.close()
    return {
        "first_figure_seconds": round(statistics.median(seconds), 3),
        "first_figure_cpu_seconds": round(statistics.median(cpu_seconds), 3),
        "first_figure_runs": [round(each, 3) for each in seconds],
        "console_errors": len(errors),
    }


def main_thread_seconds(browser: Any) -> float:
    """Returns what the page's main thread has computed; it begins at 0 with each page."""
    found = {
        each["name"]: each["value"] for each in browser.driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    }
    return float(found["TaskDuration"])


if __name__ == "__main__":
    main()
