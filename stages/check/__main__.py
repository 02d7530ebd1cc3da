"""params.yaml is valid, the files and data that it names exist, and what code each stage runs; one
second, no torch."""

from __future__ import annotations

import json

from stages.check.code import LISTS, lists
from stages.check.departures import report_departures, standing
from stages.check.validate import validate
from stages.core.entry import start
from stages.core.files import atomic_folder
from stages.core.params import read_params

RECIPE = "recipe"  # the report prints what it says


def main() -> None:
    """Validate params.yaml; then list the code of every other stage, which depends on its list."""
    params = read_params()
    validate(params)
    report_departures(params)
    with atomic_folder(LISTS) as scratch:
        for name, text in lists(params["heads"]).items():
            (scratch / name).parent.mkdir(exist_ok=True)
            (scratch / name).write_text(text)
        (scratch / RECIPE).write_text(json.dumps(standing(params)) + "\n")


if __name__ == "__main__":
    start(main)
