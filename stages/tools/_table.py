"""The list of recipes: what each reproduces, and whether its data are there."""

from __future__ import annotations

import textwrap

from stages.check.absent import missing_data, missing_models
from stages.core.errors import InputError
from stages.core.params import read_params
from stages.core.recipe_file import offered
from stages.core.recipes import Composed, compose
from stages.report.rows import selected

EMBEDDED = "embedded faces"
WIDTH = 56  # characters of the second column


def table() -> str:
    """A line per recipe, those whose data are all there first; absent data stand in brackets."""
    params, lines = read_params(), []
    for name in offered():
        try:
            composed = compose(name, params)
            lines.append((name, described(composed), _data(composed)))
        except InputError as fault:
            lines.append((name, "cannot be read", str(fault)))
    lines.sort(key=lambda line: "[" in line[2])
    lines.insert(0, ("recipe", "reproduces", "data, [absent]"))
    first = max(len(line[0]) for line in lines)
    return "\n".join(f"{name:{first}s}  {what:{WIDTH}s}  {data}" for name, what, data in lines)


def described(composed: Composed, width: int = WIDTH) -> str:
    """Rows of papers that a recipe reproduces, or what it is for; cut at `width` characters."""
    reproduces, note = composed.recipe.reproduces, composed.recipe.note
    rows = selected(reproduces, composed.name) if reproduces else []
    if not rows:
        return textwrap.shorten(f"own: {note}", width, placeholder=" ..")
    of = ("paper", "table", "method", "backbone", "train_set")
    found = dict.fromkeys(" ".join(row[column] for column in of) for row in rows)
    cells = "1 cell" if len(rows) == 1 else f"{len(rows)} cells"
    return textwrap.shorten(f"{cells}: {'; '.join(found)}", width, placeholder=" ..")


def _data(composed: Composed) -> str:
    parts = []
    for name, need in composed.needs.items():
        parts.append(f"[{name}]" if missing_data(need.datasets) else name)
    parts = parts or [EMBEDDED]
    return " ".join([*parts, *(f"[models/{name}]" for name in missing_models(composed.params))])
