"""MS1MV3's shape at three sizes through pack, unpack, align, sampling and extraction: time, memory.

`python -m benchmarks.full_size [--write docs/performance.md] [RECORDS ...]`

Records hold the bytes of the 400 embedded faces as JPEG, over and over; people have as many as in
MS1MV3 (55 on average), so that a pack of n records is as its first n. Every step runs in a process
of its own, in a folder of its own outside the repository. Its memory is read while it runs: its
own, and with it the pages of files that it has mapped, which the kernel takes back when it wants.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
from tabulate import tabulate

from benchmarks._report import machine, write_part
from benchmarks._stamp import Stamp

ROOT = Path(__file__).resolve().parent.parent
SIZES = (5_000, 50_000, 500_000)
RECORDS, PEOPLE = 5_179_510, 93_431  # of MS1MV3
SPREAD = 0.7  # of the logarithm of a person's number of images: a tail of a few hundred
SIDE, QUALITY = 112, 95
COPIES = 4  # of a set's bytes on the disk: pack, unpacked, aligned, and room
NAME = "ms1mv3"
BATCH, THREADS = 512, 2  # of the sampling
WIDTH, EMBEDDING = 1 / 8, 64  # of the network that embeds
EMBEDDED = 20_000  # images to extract features of, at most
PIXELS = 16  # side of the rows of grey levels
POLL_S = 0.02
STATUS_RUNS = 7
MOST_OBJECTS = 100  # of DVC, a set
MOST_STATUS = 1.5  # time of `dvc status` with the sets tracked, over that without
PARAMS = f"""
datasets: {{{NAME}: {{format: recordio, root: data/raw/{NAME}, align: none}}}}
unpack: {{reader: native}}
align: {{}}
trunk: train
resolutions: []
heads: []
seed: 0
threads: {THREADS}
device: cpu
extract: {{batch: 64, pixels: {PIXELS}}}
"""


class Step(NamedTuple):
    """What a step took.

    Attributes:
        seconds: from start to end of its process.
        own: MB of its own pages, at most.
        resident: MB with the pages of files that it maps, at most.
    """

    name: str
    records: int
    seconds: float
    own: float
    resident: float

    def cells(self) -> list[str]:
        each = f"{self.seconds / self.records * 1e3:.3f}"
        memory = f"{self.own:.0f}", f"{self.resident:.0f}"
        return [self.name, f"{self.records:,}", f"{self.seconds:.1f}", each, *memory]


def main(sizes: list[int], document: Path | None) -> None:
    steps, tracked, stamp = [], "", Stamp.now("benchmarks.full_size")
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="full_size_") as scratch:
            _require_room(Path(scratch), size)
            for step in _run_all(Path(scratch), size):
                print(*step.cells(), sep="  ", file=sys.stderr, flush=True)
                steps.append(step)
            tracked = _tracked(Path(scratch), size)
    text = f"{machine()}\n\n{_table(steps)}\n\n{tracked}"
    print(text)
    if document:
        write_part(document, "benchmarks.full_size", text, stamp)


def _require_room(folder: Path, size: int) -> None:
    needed = COPIES * size * float(np.mean([len(image) for image in _faces()]))
    free = shutil.disk_usage(folder).free
    if free < needed:
        sys.exit(f"{size:,} records need {needed / 1e9:.0f} GB in {folder}; {free / 1e9:.0f} free")


def _run_all(folder: Path, size: int) -> Iterator[Step]:
    (folder / "params.yaml").write_text(PARAMS)
    own, stage = "benchmarks.full_size", "stages."
    for name, *command in (
        ("pack", own, "--step", "pack", str(size)),
        ("unpack", f"{stage}unpack", NAME),
        ("align (none)", f"{stage}align", NAME),
        ("sample, an epoch", own, "--step", "sample", str(size)),
        ("extract images", f"{stage}extract", "images", NAME),
    ):
        done = size
        if name == "extract images":
            done = min(size, EMBEDDED)
            _step(folder, own, "--step", "trunk", str(done))
        yield Step(name, done, *_step(folder, *command))


def _step(folder: Path, module: str, *arguments: str) -> tuple[float, float, float]:
    """Seconds, and MB at most, of `python -m module` in `folder`."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", module, *arguments]
    start, peaks = time.perf_counter(), [0, 0]
    with open(folder / "log", "w+") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        while process.poll() is None:
            peaks = list(map(max, peaks, _memory_kb(process.pid)))
            time.sleep(POLL_S)
        seconds = time.perf_counter() - start
        if process.returncode:
            log.seek(0)
            sys.exit(f"{' '.join(command)}:\n{log.read()}")
    return seconds, peaks[0] / 1024, peaks[1] / 1024


def _memory_kb(pid: int) -> tuple[int, int]:
    """Of a process: its own pages, and all that are resident."""
    with contextlib.suppress(OSError):  # it ended meanwhile
        status = Path(f"/proc/{pid}/status").read_text()
        kb = {name: int(value) for name, value in re.findall(r"(\w+):\s+(\d+) kB", status)}
        if "VmHWM" in kb:
            return kb["RssAnon"] + kb["RssShmem"], kb["VmHWM"]
    return 0, 0


def pack(size: int) -> None:
    """The training pack, by this project's own writer."""
    from stages.datasets._training_pack import write_training_pack

    faces = _faces()
    images = (faces[number % len(faces)] for number in range(size))
    write_training_pack(Path("data/raw") / NAME, labels(size).tolist(), images)


def labels(size: int) -> np.ndarray:
    """People of the first `size` images."""
    draw = np.random.default_rng(0)
    images = np.exp(draw.normal(0, SPREAD, PEOPLE))
    images = np.maximum(1, images * (RECORDS / images.sum())).round().astype(int)
    return np.repeat(np.arange(PEOPLE), images)[:size]


def _faces() -> list[bytes]:
    import cv2
    import simplejpeg

    from stages.fetch.photographs import photographs

    grey = (cv2.resize(face, (SIDE, SIDE)) for own in photographs().values() for face in own)
    colour = (cv2.cvtColor(face, cv2.COLOR_GRAY2RGB) for face in grey)
    return [simplejpeg.encode_jpeg(face, QUALITY) for face in colour]


def sample(size: int) -> None:
    """One epoch of training batches, drawn and loaded as the stage train does."""
    import torch

    from stages.core.allocator import keep_freed_memory
    from stages.core.contract import InputContract
    from stages.core.fit import _batches, ahead
    from stages.core.schedule import Augmentation
    from stages.datasets._augment import draws
    from stages.datasets._training import TrainingImages

    keep_freed_memory()
    torch.set_num_threads(1)
    images, how = TrainingImages(Path("data/align") / NAME, THREADS), Augmentation(flip=0.5)

    def load(rows: np.ndarray, epoch: int) -> torch.Tensor:
        pixels, _ = images.batch(rows, draws(0, "train", epoch, rows), how)
        return InputContract().normalise(torch.from_numpy(pixels))

    count = sum(len(batch) for batch in ahead(load, _batches(size, BATCH, 0, "train", 0), 0))
    assert count == size


def trunk(size: int) -> None:
    """A narrow network, and the first `size` images of the set alone."""
    import torch

    from stages.core.contract import InputContract
    from stages.core.index import Index, read_index, write_index
    from stages.networks import mobilefacenet
    from stages.networks._files import save_network

    torch.manual_seed(0)
    params = mobilefacenet.Params(width=WIDTH, embedding=EMBEDDING)
    folder = Path("models/train")
    folder.mkdir(parents=True)
    network, described = mobilefacenet.build(params), mobilefacenet.describe(params)
    save_network(folder, network, described, InputContract(embedding=EMBEDDING))
    path = Path("data/align") / NAME / "index.parquet"
    whole = read_index(path)
    write_index(path, Index(**{name: column[:size] for name, column in vars(whole).items()}))


def _table(steps: list[Step]) -> str:
    names = list(dict.fromkeys(step.name for step in steps))
    rows = [step.cells() for name in names for step in steps if step.name == name]
    head = ["step", "records", "s", "s per 1,000", "MB of its own", "MB with mapped files"]
    return tabulate(rows, head, tablefmt="github", disable_numparse=True)


def _tracked(folder: Path, size: int) -> str:
    """DVC's objects of each folder of the set, and what tracking them adds to `dvc status`."""

    def dvc(*arguments: str) -> float:
        start = time.perf_counter()
        subprocess.run(["dvc", *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start

    dvc("init", "--quiet", "--no-scm")
    dvc("config", "cache.type", "hardlink,symlink")
    sets = [f"data/{stage}/{NAME}" for stage in ("raw", "unpack", "align")]
    objects = [sum(file.is_file() for file in (folder / name).rglob("*")) for name in sets]
    dvc("add", "--quiet", "params.yaml")
    dvc("add", "--quiet", *sets)
    files = [folder / f"{name}.dvc" for name in sets]
    with_it, without = [], []
    for _ in range(STATUS_RUNS):
        with_it.append(dvc("status"))
        for file in files:
            file.rename(file.with_suffix(".aside"))
        without.append(dvc("status"))
        for file in files:
            file.with_suffix(".aside").rename(file)
    ratio = median(with_it) / median(without)
    listed = ", ".join(f"{count} in {name}" for name, count in zip(sets, objects, strict=True))
    return (
        f"DVC's objects at {size:,} records: {listed} (at most {MOST_OBJECTS}). `dvc status`: "
        f"{median(with_it):.2f} s with the three tracked, {median(without):.2f} s without, "
        f"{ratio:.2f} times (at most {MOST_STATUS})."
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, metavar="DOCUMENT")
    parser.add_argument("--step", choices=["pack", "sample", "trunk"], help=argparse.SUPPRESS)
    parser.add_argument("records", type=int, nargs="*")
    given = parser.parse_args()
    if given.step:
        globals()[given.step](*given.records)
    else:
        main(given.records or list(SIZES), given.write)
