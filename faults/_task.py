"""One section with one seed, in a process of its own, so that a crash ends nothing else.

`python -m faults._task TASK`, a file of JSON, whose `output` the section is written to.
"""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path

from faults._report import Finding, Section, described


@dataclass(frozen=True)
class Task:
    """What a section is asked to do.

    Attributes:
        section: its name.
        seed: draws the faults.
        first: whether no other seed comes before; what no seed changes is tried for that one alone.
        finished: folder of a clone where the pipeline has run undisturbed; "" where it failed to.
        idle_s: seconds that `dvc repro` takes there to find that nothing is to be done.
        output: file for the section, as JSON.
        module: that has the section, if not faults.SECTION.
    """

    section: str
    seed: int
    first: bool
    finished: str
    idle_s: float
    output: str
    module: str = ""

    def save(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self)))


def main(file: str) -> None:
    task = Task(**json.loads(Path(file).read_text()))
    try:
        name = task.module or f"faults.{task.section}"
        section = importlib.import_module(name).check(task)
        section.save(Path(task.output))
    except Exception as fault:
        traceback.print_exc()
        finding = Finding(task.section, described(fault))
        Section(("not done",), findings=[finding]).save(Path(task.output))


if __name__ == "__main__":
    main(sys.argv[1])
