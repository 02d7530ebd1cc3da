"""Every fault, section by section and seed by seed; the status is 1 if anything is wrong.

`python -m faults [--seeds 0-4] [-j 2] [--write docs/faults.md] [SECTION ...]`

A section that crashes, and a pipeline that does not run at all, are findings like any other: the
other sections still run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tabulate import tabulate

from benchmarks._report import write_part
from benchmarks._stamp import Stamp
from faults import _clone
from faults._report import Finding, Section, described
from faults._task import Task

SECTIONS = {  # and whether they need a finished pipeline; the longest first
    "kills": True,
    "damage": False,
    "storage": True,
    "divergence": True,
}
NAME = "faults"
LONGEST_S = 3 * 3600  # of a section


def main(arguments: list[str] | None = None) -> int:
    """Run, print and write what is asked for; 1 if anything is wrong, else 0."""
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--seed", "--seeds", type=seeds_of, default=[0], metavar="N | N-M")
    parser.add_argument("-j", "--jobs", type=int, default=1, help="sections side by side")
    parser.add_argument("--write", type=Path, metavar="DOCUMENT")
    given = parser.parse_args(arguments)
    unknown = set(given.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: choose from {', '.join(SECTIONS)}")
    names = [name for name in SECTIONS if name in given.sections or not given.sections]
    stamps = {part: Stamp.now(part) for part in (NAME, *(f"{NAME} {name}" for name in names))}
    with tempfile.TemporaryDirectory(prefix="faceline-faults-") as scratch:
        done, seconds = run_all(names, given.seed, given.jobs, Path(scratch))
    table = summary(done, seconds)
    print(f"## all\n\n{table}\n")
    if given.write:
        for name in names:
            part = f"{NAME} {name}"
            write_part(given.write, part, in_document(done, name), stamps[part])
        if len(names) == len(SECTIONS):
            write_part(given.write, NAME, table, stamps[NAME])
    wrong = sum(len(section.findings) for section in done.values())
    print(f"{wrong} findings" if wrong else "Nothing is wrong.")
    return min(wrong, 1)


def seeds_of(text: str) -> list[int]:
    """`3` or `0-4`."""
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


def run_all(
    names: list[str], seeds: list[int], jobs: int, scratch: Path
) -> tuple[dict[tuple[str, int], Section], dict[tuple[str, int], float]]:
    """Sections by name and seed, and the seconds that each took; each is printed when it ends."""
    pipeline, idle_s, broken = "", 0.0, None
    if any(SECTIONS[name] for name in names):
        print("the undisturbed pipeline ..", file=sys.stderr, flush=True)
        try:
            clone = _clone.finished(scratch / "undisturbed")
            pipeline, idle_s = str(clone.folder), _clone.seconds_to_find_nothing_to_do(clone)
        except Exception as fault:
            broken = Finding("the undisturbed pipeline", described(fault))

    def work(name: str, seed: int) -> tuple[tuple[str, int], Section, float]:
        began = time.monotonic()
        if SECTIONS[name] and broken:
            section = Section(("not run",), findings=[broken])
        else:
            output = str(scratch / f"{name}-{seed}.json")
            task = Task(name, seed, seed == seeds[0], pipeline, idle_s, output)
            section = run_apart(task, scratch / f"{name}-{seed}.task")
        seconds = time.monotonic() - began
        print(f"## {name}, seed {seed}\n\n{section}\n\n{seconds:.0f} s\n", flush=True)
        return (name, seed), section, seconds

    with ThreadPoolExecutor(jobs) as pool:
        waiting = [pool.submit(work, name, seed) for name in names for seed in seeds]
        ended = [future.result() for future in waiting]
    return {key: s for key, s, _ in ended}, {key: seconds for key, _, seconds in ended}


def run_apart(task: Task, file: Path) -> Section:
    """The section of `task`, from a process of its own; one finding if the process fails."""
    task.save(file)
    command = [sys.executable, "-m", "faults._task", str(file)]
    try:
        status = subprocess.run(command, stdin=subprocess.DEVNULL, timeout=LONGEST_S).returncode
    except subprocess.TimeoutExpired as fault:
        return Section(("not done",), findings=[Finding(task.section, described(fault))])
    if status == 0:
        return Section.load(Path(task.output))
    return Section(("not done",), findings=[Finding(task.section, f"ended with status {status}")])


def summary(done: dict[tuple[str, int], Section], seconds: dict[tuple[str, int], float]) -> str:
    """A row per section, a column per seed: cases, findings, time."""
    names = [name for name in SECTIONS if any(name == key[0] for key in done)]
    seeds = sorted({seed for _, seed in done})
    rows = [[name, *(_cell(done[name, s], seconds[name, s]) for s in seeds)] for name in names]
    headers = ["section", *(f"seed {seed}" for seed in seeds)]
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True)


def _cell(section: Section, seconds: float) -> str:
    wrong = f"**{len(section.findings)} findings**" if section.findings else "clean"
    return f"{section.cases} cases, {wrong}, {seconds:.0f} s"


def in_document(done: dict[tuple[str, int], Section], name: str) -> str:
    """The first seed's table, and what is wrong with any other."""
    seeds = sorted(seed for part, seed in done if part == name)
    wrong = [
        f"WRONG with seed {seed}, {finding.where}: {finding.what}"
        for seed in seeds[1:]
        for finding in done[name, seed].findings
    ]
    return "\n\n".join([str(done[name, seeds[0]]), f"Seed {seeds[0]}.", *wrong])


if __name__ == "__main__":
    sys.exit(main())
