"""Is the searched network better than a random one of the same space that may be deployed?

For each seed: the whole quickstart search runs, and its winner's test balanced accuracy is compared with the median
test balanced accuracy of random configurations from the same space whose final network is within the size limit. Both
use the same data, trainer, seed and epochs; the test part is read once for each network and chooses nothing. `gain` is
the mean difference over the seeds in shares, `gain_low` the lower end of its 95 % interval (Student's t).

Usage: python benchmarks/quickstart_gain.py [--quick]
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from neurosearch import names
from neurosearch.build.final import score_test_part
from neurosearch.build.trial import build_trainer, prepare_data
from neurosearch.config.load import StudyConfig, load_study
from neurosearch.config.search_nodes import ChoiceNode, IntNode, LogUniformNode, OneOfNode, UniformNode

CONFIG = Path(__file__).parent.parent / "tune_configs" / "quickstart.yaml"
CPU = torch.device("cpu")
T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}  # two-sided 95 % quantile of Student's t for n - 1 degrees of freedom


def main() -> None:
    """Prints the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two seeds, six trials: shows that the script runs")
    quick = parser.parse_args().quick
    num_seeds, num_random = (2, 3) if quick else (5, 10)
    torch.set_num_threads(1)
    pairs = []
    for seed in range(num_seeds):
        with tempfile.TemporaryDirectory() as folder:
            searched = search_score(seed, Path(folder), quick)
            scores = random_scores(load_study(CONFIG, (f"seed={seed}",)), seed, num_random, Path(folder))
        pairs.append((searched, statistics.median(scores)))
        print(f"seed {seed}: searched {searched:.4f}, median of {num_random} random {pairs[-1][1]:.4f}", flush=True)
    gains = [searched - median for searched, median in pairs]
    half_width = T_95[num_seeds] * statistics.stdev(gains) / num_seeds**0.5
    figures = {
        "gain": round(statistics.fmean(gains), 4),
        "gain_low": round(statistics.fmean(gains) - half_width, 4),
        "searched": round(statistics.fmean(searched for searched, _ in pairs), 4),
        "random_median": round(statistics.fmean(median for _, median in pairs), 4),
        "quick": quick,
        "seeds": num_seeds,
        "random_configurations": num_random,
    }
    print(json.dumps(figures))


def search_score(seed: int, folder: Path, quick: bool) -> float:
    """Runs the quickstart search with a seed and returns its exported network's test balanced accuracy."""
    command = [sys.executable, "-m", "neurosearch", "search", str(CONFIG), "--json"]
    command += ["--set", f"seed={seed}", "--set", f"storage.folder={folder}/runs", "--set", "tracking.enabled=false"]
    command += ["--set", "search.trials=6"] if quick else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"the search failed with exit status {done.returncode}:\n{done.stderr}")
    result = json.loads(done.stdout.splitlines()[-1])
    return float(result["winner"]["test"][names.TEST_PREFIX + names.BALANCED_ACCURACY])


def random_scores(config: StudyConfig, seed: int, count: int, folder: Path) -> list[float]:
    """Trains random configurations until `count` of them end within the size limit; returns their test scores."""
    rng = random.Random(seed)
    scores: list[float] = []
    limit = config.study.size_limit
    assert limit is not None
    while len(scores) < count:
        trial = config.trial(lambda _, node: draw(node, rng))
        data = prepare_data(trial, folder / "data")
        trainer = build_trainer(trial, data, Path(tempfile.mkdtemp(dir=folder)), CPU)
        for _ in trainer.epochs():
            pass
        final = trainer.finish()
        if final.record.metrics[limit.metric] <= limit.maximum:
            scores.append(score_test_part(final.model.eval(), data)[names.TEST_PREFIX + names.BALANCED_ACCURACY])
    return scores


def draw(node: Any, rng: random.Random) -> Any:
    """Draws a value of a search node as its kind says, independently of the package's samplers."""
    match node:
        case OneOfNode():
            return rng.choice(node.labels)
        case ChoiceNode():
            return rng.choice(node.options)
        case IntNode():
            return rng.randrange(node.low, node.high + 1, node.step)
        case LogUniformNode():
            return node.low * (node.high / node.low) ** rng.random()
        case UniformNode():
            return rng.uniform(node.low, node.high)
    raise TypeError(type(node))


if __name__ == "__main__":
    main()
