"""A hash of what goes into and comes out of every operation of a training step.

    python -m stages.train.operations write here.txt          # the step that params.yaml describes
    python -m stages.train.operations write here.txt --steps 2 --instructions native
    python -m stages.train.operations compare here.txt there.txt

Two machines that end a training with other bytes differ first in one operation. `write` runs the
first steps of the stage `train` and writes a line per operation of PyTorch, in the order in which
forward pass, backward pass and optimiser call them: its number, its name, the hash of its inputs,
the hash of its outputs, and the sum of its outputs. `compare` names the first line in which two
such files differ. The inputs are still equal there, so that operation is the one that computes
something else. It writes no model.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

import torch
import yaml
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from stages.core.entry import start
from stages.core.errors import InputError
from stages.core.files import atomic_file
from stages.core.params import PARAMS_FILE, read_params
from stages.train.__main__ import main as train

DIGITS = 12  # hexadecimal digits kept of a SHA-256
UNWRITTEN = ("aten.empty", "aten.new_empty")  # these give memory that holds anything
NO_NUMBERS = "profiler."  # operations that compute nothing
HEAD = "#"  # first character of a line about the machine
REMEDY = "write it with `python -m stages.train.operations write FILE`"


class EnoughStepsError(Exception):
    """The steps asked for are done."""


class Hashes(TorchDispatchMode):
    """Writes a line to `file` for every operation in its context."""

    def __init__(self, file: TextIO) -> None:
        super().__init__()
        self.file = file
        self.count = 0

    def __torch_dispatch__(
        self, operation: Any, types: Any, arguments: tuple = (), options: dict | None = None
    ) -> Any:
        options = options or {}
        name = str(operation)
        if name.startswith(UNWRITTEN):  # zeros, so that its hash as an input is always the same
            return operation(*arguments, **options).zero_()
        if name.startswith(NO_NUMBERS):
            return operation(*arguments, **options)
        before = digest(_tensors((arguments, options)))
        result = operation(*arguments, **options)
        after = list(_tensors(result)) or list(_written(operation, arguments, options))
        total = sum(float(value.double().sum()) for value in after if not value.is_meta)
        self.file.write(f"{self.count} {name} {before} {digest(after)} {total:.9g}\n")
        self.count += 1
        return result


def digest(tensors: Iterable[Tensor]) -> str:
    """Hash of the types, shapes and values of some tensors, whatever their layout in memory.

    Tensors without values (on the device `meta`) have types and shapes alone.
    """
    made = hashlib.sha256()
    for tensor in tensors:
        made.update(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
        if not tensor.is_meta:
            values = tensor.detach().cpu().contiguous().reshape(-1)
            made.update(values.view(torch.uint8).numpy().data)
    return made.hexdigest()[:DIGITS]


def _tensors(value: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor))


def _written(operation: Any, arguments: tuple, options: dict) -> Iterator[Tensor]:
    """Arguments that an operation without a result changes in place."""
    declared = operation._schema.arguments
    given = dict(zip((argument.name for argument in declared), arguments, strict=False)) | options
    for argument in declared:
        if argument.alias_info is not None and argument.alias_info.is_write:
            yield from _tensors(given.get(argument.name))


def write(file: Path, steps: int, changed: dict[str, Any]) -> int:
    """Write the operations of the first `steps` training steps to `file`; their number.

    `changed` replaces top-level parameters of params.yaml. The training runs in a scratch folder,
    so that models and metrics of the project stay as they are.
    """
    params = read_params() | changed
    data = Path("data").resolve()
    done = 0

    def count(*_: Any) -> None:
        nonlocal done
        done += 1
        if done == steps:
            raise EnoughStepsError

    here = Path.cwd()
    with (
        atomic_file(file) as scratch,
        scratch.open("w") as lines,
        tempfile.TemporaryDirectory(prefix="faceline-operations-") as folder,
    ):
        hook = register_optimizer_step_post_hook(count)
        os.chdir(folder)
        try:
            Path("data").symlink_to(data)
            PARAMS_FILE.write_text(yaml.safe_dump(params, sort_keys=False))
            with Hashes(lines) as hashes:
                train()
        except EnoughStepsError:
            pass
        finally:
            os.chdir(here)
            hook.remove()
        lines.writelines(f"{HEAD} {line}\n" for line in machine())
    return hashes.count


def machine() -> list[str]:
    """The processor, and what decides which of its instructions libraries use."""
    held = {name: os.environ.get(name, "unset") for name in (
        "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS",
    )}  # fmt: skip
    return [
        f"processor: {_processor()}",
        f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, "
        f"oneDNN {'on' if torch.backends.mkldnn.enabled else 'off'}, "
        f"{torch.get_num_threads()} threads",
        ", ".join(f"{name} {value}" for name, value in held.items()),
    ]


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            model = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    except OSError:
        model = []
    return model[0] if model else platform.processor() or platform.machine()


def read(file: Path) -> tuple[list[str], list[list[str]]]:
    """Lines about the machine, and the five words of each operation.

    Raises:
        InputError: the file is missing, or holds something else.
    """
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise InputError(file, f"cannot be read ({fault})", REMEDY) from None
    about = [line.removeprefix(HEAD).strip() for line in lines if line.startswith(HEAD)]
    rows = [line.split() for line in lines if not line.startswith(HEAD)]
    for number, row in enumerate(rows):
        if len(row) != 5 or row[0] != str(number):
            raise InputError(file, "is not an operation with its two hashes", REMEDY, number)
    if not rows:
        raise InputError(file, "holds no operations", REMEDY)
    return about, rows


def compared(one: Path, other: Path) -> str:
    """What is the same in two files, and the first operation that is not."""
    (about, ours), (about_other, theirs) = read(one), read(other)
    lines = [f"{one}: {'; '.join(about)}", f"{other}: {'; '.join(about_other)}"]
    unlike = [k for k, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a[1:4] != b[1:4]]
    if not unlike:
        if len(ours) != len(theirs):
            shorter = min(len(ours), len(theirs))
            lines.append(f"the first {shorter} operations are equal; one file ends there")
        else:
            lines.append(f"all {len(ours)} operations are equal")
        return "\n".join(lines)
    first = unlike[0]
    mine, its = ours[first], theirs[first]
    if mine[1] != its[1]:
        what = f"{mine[1]} here, {its[1]} there: the two run different code"
    elif mine[2] != its[2]:
        what = f"{mine[1]}: its inputs differ, which no operation before it made (data, weights)"
    else:
        what = f"{mine[1]}: equal inputs, other outputs (their sums: {mine[4]} and {its[4]})"
    fresh = sum(ours[k][1:3] == theirs[k][1:3] for k in unlike)
    lines += [
        f"the first {first} operations are equal",
        f"operation {first} is the first that differs. {what}",
        f"{len(unlike)} of {len(ours)} differ in all, {fresh} of them with equal inputs",
    ]
    names = sorted({ours[k][1] for k in unlike if ours[k][1:3] == theirs[k][1:3]})
    lines.append(f"operations that differ with equal inputs: {', '.join(names) or 'none'}")
    return "\n".join(lines)


def main(action: str, files: list[str], steps: int, **options: Any) -> None:
    """Write the hashes of a training step's operations, or compare two such files."""
    if action not in ("write", "compare"):
        raise InputError("the command line", f"{action!r} is not an action", "write or compare")
    if action == "compare":
        if len(files) != 2:
            raise InputError("the command line", f"{len(files)} files", "give two to compare")
        print(compared(*map(Path, files)))
        return
    if len(files) != 1:
        raise InputError("the command line", f"{len(files)} files", "give one to write")
    file = Path(files[0]).resolve()
    count = write(file, steps, {k: v for k, v in options.items() if v is not None})
    print(f"{file}: {count} operations", file=sys.stderr)


if __name__ == "__main__":
    start(main, "action", options={
        "files": {"nargs": "+", "metavar": "FILE"},
        "--steps": {"type": int, "default": 1, "help": "training steps (default: 1)"},
        "--threads": {"type": int, "help": "in place of params.yaml's"},
        "--instructions": {"help": "in place of params.yaml's"},
    })  # fmt: skip
