"""How far processes, precision and vectors show beside the seed: ORL's trunk, in each way.

    python -m docs.results.noise

runs what docs/results/noise.csv lacks (minutes a run; many of them in bf16 on a CPU without it; the
AVX-512 rows need a processor that has it, bf16 numbers included), and brings the table of
docs/distributed.md up to date; with `--table` the latter alone. With `--processor NAME` it runs the
trainings of the first row instead, and adds them as a row of that processor. It needs the aligned
sets: dvc repro align.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from itertools import combinations
from pathlib import Path

import pandas as pd
import yaml
from scipy import stats

from stages.core.entry import start
from stages.core.files import atomic_file
from stages.core.params import STAGES, read_params
from stages.report.published import filled

NAME = "docs.results.noise"
ROOT = STAGES.parent
FILE, DOCUMENT = Path(__file__).with_name("noise.csv"), ROOT / "docs/distributed.md"
SEEDS = range(5)
WAYS = {  # name -> processes, precision, instructions; the others are compared with the first
    "1 process, fp32": (1, "fp32", "avx2"),
    "2 processes, fp32": (2, "fp32", "avx2"),
    "3 processes, fp32": (3, "fp32", "avx2"),
    "1 process, bf16, emulated": (1, "bf16", "avx2"),
    "1 process, fp32, AVX-512": (1, "fp32", "native"),
    "1 process, bf16, AVX-512": (1, "bf16", "native"),
}
BENCHMARK, TEST_SET, ROW = "orl_all_pairs", "orl_templates", "112&112"
METRICS = {"auc": "AUC", "tar@far=1e-2": "TAR at FAR 1e-2", "tar@far=1e-3": "TAR at FAR 1e-3"}
KEYS = ["way", "seed"]


def main(table: bool, processor: str | None) -> None:
    """Train and evaluate what the file lacks, then write the table."""
    known = read()
    done = set(known[KEYS].itertuples(index=False, name=None))
    first = next(iter(WAYS))
    ways = {f"{first}, {processor}": WAYS[first]} if processor else WAYS
    for way, choices in ways.items():
        for seed in () if table else SEEDS:
            if (way, seed) in done:
                continue
            measured = trained(seed, *choices)
            known.loc[len(known)] = [way, seed, *(measured[metric] for metric in METRICS)]
            print(known.tail(1).to_string(header=False), file=sys.stderr)
            with atomic_file(FILE) as scratch:
                known.to_csv(scratch, index=False, lineterminator="\n")
    with atomic_file(DOCUMENT) as scratch:
        scratch.write_text(filled(DOCUMENT.read_text(), NAME, document(read())))


def read() -> pd.DataFrame:
    """A line for every training: way, seed, metrics."""
    if not FILE.is_file():
        return pd.DataFrame(columns=[*KEYS, *METRICS])
    return pd.read_csv(FILE)


def trained(seed: int, processes: int, precision: str, instructions: str) -> dict[str, float]:
    """The metrics of one training, made by the stages in a folder of their own."""
    params = read_params(ROOT / "params.yaml")
    params |= {"seed": seed, "threads": 1, "instructions": instructions}
    params |= {"resolutions": [], "heads": []}
    params["train"]["precision"] = precision
    params["evaluate"] |= {"settings": [ROW], "baselines": [], "bootstrap": 100}
    environment = os.environ | {"NPROC": str(processes), "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory(prefix="faceline-noise-") as scratch:
        folder = Path(scratch)
        (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
        (folder / "data").mkdir()
        for part in ("align", "unpack"):
            (folder / "data" / part).symlink_to(ROOT / "data" / part)
        for command in ("train", f"extract images {TEST_SET}", f"evaluate {BENCHMARK}"):
            words = [sys.executable, "-m", *f"stages.{command}".split()]
            subprocess.run(words, cwd=folder, env=environment, check=True)
        values = json.loads((folder / f"metrics/evaluate/{BENCHMARK}.json").read_text())
    return values[BENCHMARK][ROW]


def document(measured: pd.DataFrame) -> str:
    """The generated part of docs/distributed.md: both tables."""
    between = "How far two trainings are apart, root mean square over pairs of them, in points:"
    return "\n\n".join([rows(measured), between, sizes(measured)])


def sizes(measured: pd.DataFrame) -> str:
    """Size of the difference that each change makes beside the one that another seed makes: over
    all pairs of seeds of the first way, and over pairs of equal seeds of the first and each other.
    """
    values = {way: own.set_index("seed")[list(METRICS)] for way, own in measured.groupby("way")}
    first = next(iter(WAYS))
    ours = 100 * values.pop(first)
    pairs = [ours.loc[a] - ours.loc[b] for a, b in combinations(ours.index, 2)]
    lines = [["what differs", *(f"{name}, points" for name in METRICS.values())]]
    changes = {"the seed": pd.DataFrame(pairs)}
    for way in dict.fromkeys(way for way in measured["way"] if way in values):
        changes[way] = (100 * values[way] - ours).dropna()
    for name, change in changes.items():
        size = (change**2).mean() ** 0.5
        lines.append([f"{name} ({len(change)} pairs)", *(f"{size[m]:.1f}" for m in METRICS)])
    return _markdown(lines)


def rows(measured: pd.DataFrame) -> str:
    """Mean and standard deviation over the seeds, and the mean paired difference to the first way
    with its 95 % interval (Student's t)."""
    lines = [["way", *(f"{name}, %" for name in METRICS.values())]]
    values = {way: own.set_index("seed")[list(METRICS)] for way, own in measured.groupby("way")}
    first = next(iter(WAYS))
    for way in dict.fromkeys([*(way for way in WAYS if way in values), *measured["way"]]):
        own = 100 * values[way]
        cells = [f"{own[m].mean():.1f} ± {own[m].std():.1f}" for m in METRICS]
        lines.append([f"{way} ({len(own)} seeds)", *cells])
        if way == first:
            continue
        change = (own - 100 * values[first]).dropna()
        half = stats.t.ppf(0.975, len(change) - 1) * change.std() / len(change) ** 0.5
        low, mean, high = change.mean() - half, change.mean(), change.mean() + half
        cells = [f"{mean[m]:+.1f} [{low[m]:+.1f}, {high[m]:+.1f}]" for m in METRICS]
        lines.append(["minus one process, fp32", *cells])
    return _markdown(lines)


def _markdown(lines: list[list[str]]) -> str:
    rule = ["---", *["---:"] * len(METRICS)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]])


if __name__ == "__main__":
    start(main, options={"--table": {"action": "store_true"}, "--processor": {"metavar": "NAME"}})
