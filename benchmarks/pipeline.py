"""What DVC and start-up cost: a run with nothing to do, the start of a stage, the smallest run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml

from benchmarks._measure import Row, alternate
from stages.datasets._store import ImageStore

ROOT = Path(__file__).resolve().parent.parent
NO_OP_FACTOR = 10.5  # a repro with nothing to do, over `dvc --version`
OWN_WORK_FACTOR = 150  # a full run of stages that only copy their outputs, over `dvc --version`
ROUNDS = 9  # of these two
NO_OP_OF_TRIVIAL = 1.5  # and over that of stages of the same graph that are nothing
START_SHARE = 0.35  # start of a stage that trains nothing, over `import torch`
SMALLEST_FACTOR = 2  # the smallest run, over its imports and the first run of trivial stages
PER_STAGE = "DVC parses params.yaml and takes its lock anew at every stage."
LIGHT_STAGES = ("check", "unpack", "align", "evaluate", "report")
PEOPLE, PHOTOGRAPHS = 4, 5  # of a set
SETS = ("few", "others")  # to learn from and to measure on, both aligned
SMALLEST = {
    "dataset": "few",
    "datasets": {
        name: {"format": "folder", "root": f"data/raw/{name}", "align": "none"} for name in SETS
    },
    "backbone": {"name": "iresnet", "depth": 18, "width": 0.125, "embedding": 16},
    "resolutions": [],
    "heads": [],
    "test_sets": ["others"],
    "benchmarks": {"all": {"protocol": "all_pairs", "dataset": "others"}},
}
RESULTS = ("metrics/", "dvc.lock")
LEFT_BEHIND = ("tests/", "docs/", *RESULTS)  # not of use, or results
# What a stage imports when it works, by the beginning of its name.
IMPORTS = {
    "check": "stages.check.__main__",
    "unpack": "stages.unpack.__main__",
    "align": "stages.align.__main__",
    "train": "stages.train.__main__, stages.networks.iresnet, stages.losses.arcface",
    "extract": "stages.extract.__main__, stages.extract.images, stages.networks.iresnet, cv2",
    "extract_heads": "stages.extract.__main__, stages.extract.heads",
    "evaluate": "stages.evaluate.__main__, stages.protocols.all_pairs",
    "report": "stages.report.__main__",
}


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as scratch:
        return [*no_op(), own_work(Path(scratch)), *starts(), *smallest(Path(scratch))]


def no_op() -> list[Row]:
    """Of this checkout, which must be up to date: a run would otherwise be measured, and done."""
    _require_up_to_date()
    note = "the whole graph; against dvc --version"
    found = []
    for command in ("repro", "status"):
        ours, theirs = alternate(_run("dvc", command), _run("dvc", "--version"), rounds=ROUNDS)
        name = f"dvc {command}, nothing to do"
        found.append(Row(name, ours, theirs, 1 / NO_OP_FACTOR, 0.2, None, note, PER_STAGE))
    return found


def own_work(scratch: Path) -> Row:
    """DVC's own work of a full run: every command copies what this checkout has as its outputs."""
    _require_up_to_date()
    folder, saved, programs = (scratch / name for name in ("own_work", "saved", "programs"))
    _copy_files(folder, RESULTS)
    _commit(folder)
    locked = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]
    for stage in locked.values():
        for out in stage["outs"]:
            place = saved / _as_name(stage["cmd"]) / out["path"]
            place.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (ROOT / out["path"]).is_dir() else shutil.copy2
            copy(ROOT / out["path"], place)
    programs.mkdir()
    copying = programs / "python"  # what dvc.yaml calls for every stage
    copying.write_text(f'#!/bin/sh\ncp -r "{saved}/$(echo python "$@" | tr " /" "__")/." .\n')
    copying.chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    run = _run("dvc", "repro", "--force", folder=folder, PATH=path)
    ours, theirs = alternate(run, _run("dvc", "--version"), rounds=ROUNDS)
    note = f"{len(locked)} stages that copy their outputs; against dvc --version"
    return Row("dvc repro, its own work", ours, theirs, 1 / OWN_WORK_FACTOR, None, None, note)


def _as_name(command: str) -> str:
    return command.replace(" ", "_").replace("/", "_")


def _require_up_to_date() -> None:
    if _run("dvc", "status", "--quiet", folder=ROOT, fails=True)():
        raise SystemExit("the pipeline is not up to date: run `make repro` first")


def starts() -> list[Row]:
    found = []
    for stage in LIGHT_STAGES:
        start = _run(sys.executable, "-m", f"stages.{stage}", "--help")
        ours, theirs = alternate(start, _run(sys.executable, "-c", "import torch"), rounds=3)
        note = "against python -c 'import torch'"
        found.append(Row(f"start of {stage}", ours, theirs, 1 / START_SHARE, None, None, note))
    return found


def smallest(scratch: Path) -> list[Row]:
    """One epoch of one small network, one benchmark; and stages that only lay the outputs down."""
    whole, trivial = scratch / "whole", scratch / "trivial"
    _copy(whole)
    run_s = _timed(_run("dvc", "repro", "report", folder=whole))
    locked = yaml.safe_load((whole / "dvc.lock").read_text())["stages"]
    _copy(trivial)
    stages = {name.replace("@", "-"): _trivial(stage, whole) for name, stage in locked.items()}
    (trivial / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    trivial_s = _timed(_run("dvc", "repro", folder=trivial))
    modules = [IMPORTS[name.partition("@")[0]] for name in locked]
    imports_s = sum(_timed(_run(sys.executable, "-c", f"import {names}")) for names in modules)
    ours, theirs = alternate(
        _run("dvc", "repro", "report", folder=whole),
        _run("dvc", "repro", folder=trivial),
        rounds=3,
    )
    note = f"{len(locked)} stages; theirs: stages that lay the same outputs down"
    return [
        Row("smallest run, nothing to do", ours, theirs, 1 / NO_OP_OF_TRIVIAL, None, None, note),
        Row(
            "smallest run",
            run_s,
            imports_s + trivial_s,
            1 / SMALLEST_FACTOR,
            None,
            None,
            f"{PEOPLE * PHOTOGRAPHS} images, one epoch, one benchmark; theirs: imports, "
            f"{imports_s:.1f} s, and trivial stages, {trivial_s:.1f} s",
        ),
    ]


def _copy(folder: Path) -> None:
    """A repository with the files of this one and the smallest choices."""
    _copy_files(folder, LEFT_BEHIND)
    for number, name in enumerate(SETS):
        _people(folder / "data/raw" / name, number * PEOPLE)
    params = yaml.safe_load((folder / "params.yaml").read_text()) | SMALLEST
    params["schedules"][params["schedule"]]["epochs"] = 1
    params["schedules"][params["schedule"]]["warmup_epochs"] = 0
    params["evaluate"]["bootstrap"] = 100
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    _commit(folder)


def _copy_files(folder: Path, left_out: tuple[str, ...]) -> None:
    """The files of this repository, committed or not, but for those whose names begin so."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in files.stdout.splitlines():
        if (ROOT / name).is_file() and not name.startswith(left_out):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def _commit(folder: Path) -> None:
    who = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost")
    for command in (["init"], ["add", "--all"], [*who, "commit", "--message", "files"]):
        _run("git", *command, folder=folder)()


def _people(folder: Path, first: int) -> None:
    """Aligned photographs of a few of the embedded people, a folder each."""
    store = ImageStore(ROOT / "data/align/orl")
    label = store.index.label
    for person in range(first, first + PEOPLE):
        (folder / f"{person}").mkdir(parents=True)
        for row in np.flatnonzero(label == person)[:PHOTOGRAPHS].tolist():
            (folder / f"{person}/{row}.png").write_bytes(store.encoded(row))


def _trivial(stage: dict, whole: Path) -> dict:
    """A stage of the same dependencies whose command lays down what the real one wrote."""
    outs = [out["path"] for out in stage["outs"]]
    lay = "; ".join(f"mkdir -p {Path(out).parent}; cp -r {whole / out} {out}" for out in outs)
    return {"cmd": lay, "deps": [dep["path"] for dep in stage["deps"]], "outs": outs}


def _timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _run(
    *command: str, folder: Path = ROOT, fails: bool = False, **variables: str
) -> Callable[[], int]:
    environment = os.environ | {"DVC_NO_ANALYTICS": "1", "PYTHONPATH": str(folder)} | variables

    def run() -> int:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode and not fails:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.returncode

    return run
