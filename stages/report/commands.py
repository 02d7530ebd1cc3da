"""One `dvc exp run` line for every published accuracy of a method that is built here.

`python -m stages.report.commands` brings docs/papers.md up to date with `commands.yaml`,
`sources.yaml` and the recipes of params.yaml.
"""

from __future__ import annotations

import math
import re
import shlex
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from stages.core.entry import start
from stages.core.errors import InputError
from stages.core.params import RESTORE, read_params
from stages.core.yaml12 import parse_yaml
from stages.report.published import (
    FOLDER,
    UNKNOWN,
    bring_up_to_date,
    markdown_table,
    read_published,
    read_sources,
)
from stages.report.results import FAMILIES

COMMANDS = FOLDER / "commands.yaml"
NAME = "stages.report.commands"
SHELL = "$ "  # before a line for the shell
NO_VALUE = "the paper gives no value"
NO_DATA = "no reader of its data"


@dataclass
class Command:
    """One training and the published cells that its model is measured against.

    Attributes:
        name: of the experiment.
        overrides: of params.yaml, for the model.
        note: what is not as published, if anything.
        cells: index of read_published.
        protocol: overrides that measure these cells, dotted key -> value.
    """

    name: str
    overrides: list[str]
    note: str
    cells: list[int] = field(default_factory=list)
    protocol: dict[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        """The shell line."""
        own = [f"{key}={hydra(value)}" for key, value in self.protocol.items()]
        return f"dvc exp run -n {self.name} {flags([*self.overrides, *own])}"


@cache
def read_commands() -> dict[str, Any]:
    """The overrides of methods, backbones and training sets, and the systems' own scripts."""
    return parse_yaml(COMMANDS.read_text(), COMMANDS, RESTORE)


def commands() -> tuple[list[Command], dict[int, str]]:
    """Every command, and for each published cell that has none the reason."""
    published, known = read_published(), read_commands()
    found: dict[tuple[str, ...], Command] = {}
    without: dict[int, str] = {}
    for index, row in published.iterrows():
        reason = _reason(row, known)
        if reason:
            without[index] = reason
            continue
        method = _method(row, known)
        train_set = known["called"].get(row["train_set"], row["train_set"])
        overrides = [f"dataset={train_set}", *known["always"], *known["backbones"][row["backbone"]]]
        overrides += written_out(method["set"])
        name = _plain(f"{row['method']}_{row['backbone']}_{row['train_set']}")
        command = found.setdefault(
            tuple(overrides), Command(name, overrides, method.get("note", ""))
        )
        command.cells.append(index)
        _measure(command, row)
    return list(found.values()), without


def _reason(row: Any, known: dict[str, Any]) -> str | None:
    """Why a published cell has no command, if it has none."""
    settings = read_sources()["settings"][row["protocol"]]
    backbone = known["backbones"].get(row["backbone"])
    if math.isnan(row["value"]):
        return NO_VALUE
    if row["protocol"] != UNKNOWN and "reason" in settings:
        return settings["reason"]
    if "reason" in (method := _method(row, known)):
        return method["reason"]
    if isinstance(backbone, dict):
        return backbone["reason"]
    return None if _has_data(row["benchmark"]) else NO_DATA


def _method(row: Any, known: dict[str, Any]) -> dict[str, Any]:
    for method in known["methods"]:
        wanted = method["rows"].items()
        if all(row[c] in (v if isinstance(v, list) else [v]) for c, v in wanted):
            return method
    raise InputError(COMMANDS, "no method for these rows", "add one", str(row["method"]))


def _has_data(benchmark: str) -> bool:
    return any(
        benchmark in entry["benchmarks"] and "params" in entry for entry in read_sources()["data"]
    )


def _measure(command: Command, row: Any) -> None:
    """Add the settings under which a cell is measured; two cells may not ask for different ones."""
    settings = read_sources()["settings"][row["protocol"]]
    members = FAMILIES.get(row["benchmark"], (row["benchmark"],))
    wanted = {
        f"+benchmarks.{name}.{key}": value
        for name in members
        for key, value in settings.get("benchmark", {}).items()
    }
    for name, options in settings.get("descriptors", {}).items():
        wanted |= {f"descriptors.{name}.{key}": value for key, value in options.items()}
    wanted |= {f"extract.{key}": value for key, value in settings.get("extract", {}).items()}
    for key, value in wanted.items():
        assert command.protocol.setdefault(key, value) == value, f"{command.name}: {key}"


def flags(overrides: list[str]) -> str:
    """`-S` for each override, quoted for the shell where need be."""
    return " ".join(f"-S {shlex.quote(one)}" for one in overrides)


def written_out(items: list[Any]) -> list[str]:
    """The overrides of nested lists, in order; `key=@NAME` with the values of `schedules.NAME`."""
    found: list[str] = []
    for item in items:
        if isinstance(item, list):
            found += written_out(item)
            continue
        key, at, name = item.partition("=@")
        found.append(f"{key}={hydra(read_params()['schedules'][name])}" if at else item)
    return found


def hydra(value: Any) -> str:
    """A value as one writes it after the `=` of an override."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{hydra(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(hydra, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def document() -> str:
    """The generated part of docs/papers.md (Markdown)."""
    made, without = commands()
    parts = ["### Training sets", _training_sets(), "### Commands"]
    parts += [_described(command) for command in made]
    parts += ["### Cells without a command", _without(without)]
    parts += ["### The systems' own command lines", _scripts()]
    return "\n\n".join(parts)


def _training_sets() -> str:
    sets = read_commands()["train_sets"]
    lines = [f"  {name}: {_flow(entry)}" for name, entry in sets.items()]
    called = [f"`{a}` is `{b}`" for a, b in read_commands()["called"].items()]
    block = "\n".join(["```yaml", "datasets:", *lines, "```"])
    return f"{block}\n\nOf the published names, {', '.join(called)}."


def _flow(entry: dict[str, str]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in entry.items()) + "}"


def _described(command: Command) -> str:
    published = read_published().loc[command.cells]
    first = published.iloc[0]
    where = ", ".join(
        f"{read_sources()['papers'][paper]['name']} `{table}` ({len(cells)})"
        for (paper, table), cells in published.groupby(["paper", "table"], sort=False)
    )
    said = f"**{first['method']}**, {first['backbone']}, {first['train_set']}: {where}."
    note = f" {command.note[0].upper()}{command.note[1:].rstrip('.')}." if command.note else ""
    return f"{said}{note}\n\n```bash\n{command.line()}\n```"


def _without(without: dict[int, str]) -> str:
    published = read_published().loc[list(without)].assign(reason=without)
    rows = [
        [f"{paper} `{table}`", f"`{method}`, {backbone}", str(len(cells)), reason]
        for (paper, table, method, backbone, reason), cells in published.groupby(
            ["paper", "table", "method", "backbone", "reason"], sort=False
        )
    ]
    return markdown_table(["table", "method, backbone", "cells", "why"], rows)


def _scripts() -> str:
    known = read_commands()
    parts = []
    for system, lines in known["scripts"].items():
        parts.append(f"**{system}**")
        for line in lines:
            words = [one for one in line["ours"] if not one.startswith(SHELL)]
            parts.append(f"{line['theirs']}: {'; '.join(words) or 'as follows'}.")
            shell = [_shell_line(one, known) for one in line["ours"] if one.startswith(SHELL)]
            if shell:
                parts.append("\n".join(["```bash", *shell, "```"]))
    return "\n\n".join(parts)


def _shell_line(text: str, known: dict[str, Any]) -> str:
    command, at, part = text.removeprefix(SHELL).partition("@")
    return command + (flags(written_out(known["parts"][part])) if at else "")


def main() -> None:
    """Bring the commands in docs/papers.md up to date."""
    bring_up_to_date(NAME, document())


if __name__ == "__main__":
    start(main)
