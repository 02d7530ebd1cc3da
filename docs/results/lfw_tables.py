"""Brings the tables of docs/btnet.md and docs/heads.md up to date with docs/results/lfw.csv.

python -m docs.results.lfw_tables
"""

from __future__ import annotations

import csv
from pathlib import Path

from docs.results.lfw import POOLINGS, SETTINGS, VERIFICATION, Line
from stages.core.files import atomic_file
from stages.report.published import filled

FILE, DOCS = Path(__file__).with_name("lfw.csv"), Path(__file__).parents[1]
NAME = "docs.results.lfw_tables"
WORDS = {
    "auc": "AUC",
    "eer": "EER",
    "tar@far=1e-2": "TAR at FAR 1e-2",
    "tar@far=1e-3": "TAR at FAR 1e-3",
    "accuracy": "accuracy",
}
Figures = dict[tuple[str, str, str, str, str], Line]


def read() -> Figures:
    """(experiment, benchmark, row, metric, baseline) -> the line, of docs/results/lfw.csv."""
    with FILE.open(newline="") as file:
        found = [
            Line(*line[:4], *map(_number, line[4:7]), line[7], *map(_number, line[8:]))
            for line in list(csv.reader(file))[1:]
        ]
    return {(x.experiment, x.benchmark, x.row, x.metric, x.baseline): x for x in found}


def experiments(figures: Figures, benchmark: str, row: str) -> list[str]:
    """Those that measured it, in the order of the file."""
    return list(dict.fromkeys(name for name, *cell, _, _ in figures if cell == [benchmark, row]))


def btnet(figures: Figures) -> str:
    """Every cell: upsampled to branch, and the difference in points with its interval."""
    metrics = [("lfw_all_pairs", m) for m in VERIFICATION] + [("lfw_pairs", "accuracy")]
    rows = [["experiment", "setting", *(WORDS[m] for _, m in metrics)]]
    for name in experiments(figures, "lfw_pairs", SETTINGS[0]):
        plain = [_percent(figures[name, b, "112&112", m, ""].value) for b, m in metrics]
        rows.append([name, "112&112", *plain])
        for setting in SETTINGS:
            baseline = f"upsampled {setting}"
            cells = [figures[name, b, setting, m, baseline] for b, m in metrics]
            rows.append([name, setting, *(f"{_from_to(c)}<br>{_change(c)}" for c in cells)])
    return _table(rows)


def heads(figures: Figures) -> str:
    """Error over discarded pairs, then the four poolings."""
    parts = []
    for benchmark, fmr in (("lfw_quality", "1e-3"), ("lfw_quality_1e2", "1e-2")):
        rows = [["experiment", "confidence", "FNMR", "20 % discarded", "pAUC", "gain, points"]]
        for name in experiments(figures, benchmark, "norm"):
            for row in ("norm", "kappa"):
                if name not in experiments(figures, benchmark, row):
                    continue
                cells = [
                    figures[name, benchmark, row, f"{kind}@discard={x}", ""]
                    for kind, x in (("fnmr", "0"), ("fnmr", "0.2"), ("pauc", "0.2"))
                ]
                gain = figures[name, benchmark, row, "gain@discard=0.2", ""]
                text = f"{_points(gain.value)} [{_points(gain.low)}, {_points(gain.high)}]"
                rows.append([name, row, *(_percent(c.value) for c in cells), text])
        parts.append(f"Threshold at FMR {fmr}:\n\n{_table(rows)}")
    for benchmark, words in (
        ("lfw_stills", "Nobody says which images are one video (`lfw_stills`)"),
        ("lfw_video", "The lists mark each video as one medium (`lfw_video`)"),
    ):
        names = [*POOLINGS, "coreset", *(f"coreset minus {p}" for p in POOLINGS)]
        rows = [["experiment", "metric", *names]]
        for name in experiments(figures, benchmark, "coreset"):
            for metric in VERIFICATION:
                own = [figures[name, benchmark, p, metric, ""].value for p in POOLINGS]
                cells = [figures[name, benchmark, "coreset", metric, p] for p in POOLINGS]
                values = map(_percent, [*own, cells[0].value])
                rows.append([name, WORDS[metric], *values, *map(_change, cells)])
        parts.append(f"{words}:\n\n{_table(rows)}")
    return "\n\n".join(parts)


def documents() -> dict[Path, str]:
    """Both documents with their tables brought up to date."""
    figures = read()
    made = {DOCS / "btnet.md": btnet(figures), DOCS / "heads.md": heads(figures)}
    return {path: filled(path.read_text(), NAME, text) for path, text in made.items()}


def _table(rows: list[list[str]]) -> str:
    rule = ["---", "---", *["---:"] * (len(rows[0]) - 2)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], rule, *rows[1:]])


def _from_to(line: Line) -> str:
    return f"{_percent(line.value - line.change)} → {_percent(line.value)}"


def _change(line: Line) -> str:
    sure = line.change_low > 0 or line.change_high < 0
    ends = f"[{_points(line.change_low)}, {_points(line.change_high)}]"
    return f"{'**' if sure else ''}{_points(line.change)}{'**' if sure else ''} {ends}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"


def _number(text: str) -> float:
    return float(text) if text else float("nan")


if __name__ == "__main__":
    for path, text in documents().items():
        with atomic_file(path) as scratch:
            scratch.write_text(text)
