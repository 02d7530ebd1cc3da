"""recipe: write an experiment of recipes/ into params.yaml; docs/recipes.md says how."""

from __future__ import annotations

import math
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.check.absent import missing_data, missing_models
from stages.check.validate import validate
from stages.core.differences import Change, differences
from stages.core.entry import start
from stages.core.errors import InputError
from stages.core.params import PARAMS_FILE, RESTORE, read_params
from stages.core.recipe_file import FOLDER
from stages.core.recipes import KEY, Composed, Settings, compose, sets
from stages.core.yaml12 import parse_yaml
from stages.report.rows import selected
from stages.tools._document import rewritten
from stages.tools._edits import head_text, parsed_head, refuse_own_edits, write
from stages.tools._flags import flags as flags_of
from stages.tools._overrides import apply
from stages.tools._table import described, table

WIDTH = 110  # characters of a line about a changed key
REFUSED = "--refused-by-recipe"  # no option of `dvc exp run`, which therefore stops
ALL = 4096  # characters, so that nothing is cut

OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"nargs": "?", "help": "file in recipes/, without .yaml; none: list all recipes"},
    "overrides": {
        "nargs": "*",
        "metavar": "KEY=VALUE",
        "help": "keys of params.yaml to set after the recipe, written as for dvc exp run -S",
    },
    "--show": {"action": "store_true", "help": "print the composed params.yaml, write nothing"},
    "--flags": {
        "action": "store_true",
        "help": "print the changes as -S options, write nothing: dvc exp run $(.. NAME --flags)",
    },
    "--available": {
        "action": "store_true",
        "help": "leave out the test sets whose files are absent, and name them",
    },
    "--data": {
        "metavar": "ROOT",
        "help": "folder of the published data sets, instead of data/raw",
    },
    "--cost": {
        "action": "store_true",
        "help": "print steps, operations, time, disk and memory, write nothing; NPROC: of devices",
    },
    "--tflops": {
        "type": float,
        "metavar": "X",
        "help": "with --cost: 10^12 operations a second that a device sustains (assumed: 60)",
    },
    "--measure": {
        "action": "store_true",
        "help": "with --cost: measure it on ten steps of the trunk's training here (a minute)",
    },
}


def main(
    name: str | None,
    overrides: list[str],
    show: bool,
    flags: bool,
    available: bool,
    data: str | None,
    cost: bool = False,
    tflops: float | None = None,
    measure: bool = False,
) -> None:
    """Write recipes/NAME.yaml, on top of HEAD's params.yaml, into params.yaml."""
    with _word_for_dvc(flags):
        given = {"--show": show, "--flags": flags, "--cost": cost or measure or tflops is not None}
        _refuse_odd_options(name, [*given.items()], available or data is not None)
        if name is None:
            print(table())
            return
        head = head_text()
        before = parsed_head(head)
        composed = _composed(name, before, available, data)
        apply(overrides, composed.params)
        changes = [*differences(before, composed.params)]
        text = rewritten(head, changes)
        _validate(text, composed, overrides)
        if show:
            print(text, end="")
            return
        if given["--cost"]:
            _print_cost(composed.params, tflops, measure)
            return
        refuse_own_edits(head)
        if flags:
            print(flags_of(differences(read_params(), composed.params), name))
            return
        write(text)
        _report(composed, changes, before.get(KEY))


@contextmanager
def _word_for_dvc(flags: bool) -> Iterator[None]:
    """With `--flags`, print a word that DVC refuses if the recipe is refused: within $(..), DVC
    would run params.yaml as it is."""
    try:
        yield
    except InputError:
        if flags:
            print(REFUSED)
        raise


def _refuse_odd_options(name: str | None, prints: list[tuple[str, bool]], others: bool) -> None:
    """Raise InputError if options come without a recipe, or several ask for one output each.

    Args:
        prints: options that print something instead of writing, and whether they are given.
        others: whether any other option is given.
    """
    asked = [option for option, given in prints if given]
    if name is None and (asked or others):
        raise InputError("command line", "options without a recipe", "name one first", "NAME")
    if len(asked) > 1:
        problem = f"{' and '.join(asked)} each print something else"
        raise InputError("command line", problem, "give one of them", asked[-1])


def _composed(name: str, before: Settings, available: bool, data: str | None) -> Composed:
    """The recipe, without absent test sets if `available`."""
    if data is not None and not (data and Path(data).is_dir()):
        raise InputError(
            data or "''", "not a folder", "name the folder that holds the data sets", "--data"
        )
    root = None if data is None else str(Path(data).absolute())
    composed = compose(name, before, root=root)
    if data is not None and not composed.needs:
        problem = f"recipe {name} needs no published data"
        raise InputError("--data", problem, "leave the option out")
    selected(composed.recipe.reproduces, name)  # refuses rows that there are not
    if not available:
        return composed
    try:
        absent = missing_data(composed.params["datasets"]).keys()
    except InputError as fault:
        raise _blamed(fault, composed, []) from None
    tests = {key: need for key, need in composed.needs.items() if need.benchmarks}
    without = [key for key, need in tests.items() if absent & need.datasets.keys()]
    if not without:
        return composed
    if len(without) == len(tests):
        problem = f"none of the test sets is there ({', '.join(without)})"
        raise InputError(FOLDER / f"{name}.yaml", problem, "get one of them", "--available")
    return compose(name, before, without=without, root=root)


def _validate(text: str, composed: Composed, overrides: list[str]) -> None:
    """Raise InputError that names the file at fault if `check` would refuse `text`."""
    try:
        validate(parse_yaml(text, PARAMS_FILE, RESTORE), data=False)
    except InputError as fault:
        raise _blamed(fault, composed, overrides) from None


def _blamed(fault: InputError, composed: Composed, overrides: list[str]) -> InputError:
    """`fault` in the composed params.yaml, as one of the word or the file that made it so."""
    if fault.file != str(PARAMS_FILE):  # such as a damaged model
        return fault
    where = _source(str(fault.record), composed, overrides)
    problem = f"{fault.problem} ({PARAMS_FILE} is as it was)"
    return InputError(where, problem, fault.remedy, fault.record)


def _source(key: str, composed: Composed, overrides: list[str]) -> str | Path:
    """The word or the file that sets `key`, or what it is in; the last one if several do."""
    for word in reversed(overrides):
        if f"{key}.".startswith(f"{word.partition('=')[0]}."):
            return word
    for name, recipe in reversed(composed.steps.items()):
        if sets(recipe.params, key.split(".")):
            return FOLDER / f"{name}.yaml"
    return FOLDER / f"{composed.name}.yaml"


def _print_cost(params: Settings, tflops: float | None, measured: bool) -> None:
    if (trunk := params["trunk"]) in missing_models(params):
        problem = f"models/{trunk} is absent, and what the trunk `{trunk}` costs is counted on it"
        raise InputError("--cost", problem, "import or copy it there, docs/checkpoints.md", "trunk")
    if tflops is not None and not 0 < tflops < math.inf:
        raise InputError("--tflops", f"{tflops} is no speed", "give a number above 0")
    from stages.core.launch import counted  # torch: seconds that no other option waits for
    from stages.tools._cost import estimate, lines

    devices = int(counted("NPROC")) * int(counted("NNODES"))
    print(*lines(estimate(params, tflops, measured, devices)), sep="\n")


def _report(composed: Composed, changes: list[Change], before: str | None) -> None:
    """Say what was written, what is missing, and what comes next."""
    if before not in (None, composed.name):
        print(f"HEAD's {PARAMS_FILE} holds recipe {before}; this is on top of it", file=sys.stderr)
    print(f"recipe {' + '.join(composed.steps)}: {described(composed, ALL)}")
    if composed.recipe.note and composed.recipe.reproduces:
        print(f"note: {composed.recipe.note}")
    if composed.left_out:
        print(f"left out, since their files are absent: {', '.join(composed.left_out)}")
    print(f"{PARAMS_FILE}, against HEAD:")
    for change in changes:
        if change.path != (KEY,):
            print(f"  {textwrap.shorten(str(change), WIDTH, placeholder=' ..')}")
    absent = missing_data(composed.params["datasets"])
    models = missing_models(composed.params)
    if absent or models:
        print("missing data (docs/datasets.md; --available leaves test sets out):")
        roots: dict[str, list[str]] = {}
        own = {one: need.origin for need in composed.needs.values() for one in need.datasets}
        for name, missing in absent.items():
            roots.setdefault(own.get(name) or missing.origin, []).append(str(missing.root))
        for origin, places in roots.items():
            print(f"  {', '.join(places)}: {origin}")
        for name in models:
            print(f"  models/{name}: import or copy it there, docs/checkpoints.md")
    print(f"next: dvc exp run -n {composed.name}    (back: git checkout {PARAMS_FILE})")


if __name__ == "__main__":
    start(main, options=OPTIONS)
