"""How each measured cell was measured, in the words that published.csv uses for the papers'.

A protocol or descriptor of a user's own is known by its name alone and pairs with nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from stages.core.params import Section, parse
from stages.descriptors import coreset, kappa, mean, norm, precision
from stages.protocols import (
    all_pairs,
    distractors,
    identification,
    lowres,
    pairs,
    quality,
    surveillance,
    templates,
)
from stages.report.results import LIKELIHOOD, NATIVE, NATIVE_ROW, SETTING

PROTOCOLS = {
    module.__name__.rpartition(".")[2]: module
    for module in (
        all_pairs,
        distractors,
        identification,
        lowres,
        pairs,
        quality,
        surveillance,
        templates,
    )
}
DESCRIPTORS = {
    module.__name__.rpartition(".")[2]: module.Params
    for module in (coreset, kappa, mean, norm, precision)
}
OF_A_BENCHMARK = ("protocol", "dataset")  # keys that are no options of the protocol
DEFAULT_FOLDS = 10

Words = Callable[[Section, str, dict[str, Any]], tuple[str, str]]


def with_conditions(cells: pd.DataFrame, params: dict[str, Any]) -> pd.DataFrame:
    """`cells` with two more columns: `setting` as papers name it, and `protocol` in words."""
    words = {
        (name, row): _words(params, name, row)
        for name, row in cells[["benchmark", "row"]].drop_duplicates().itertuples(index=False)
    }
    found = [words[key] for key in zip(cells["benchmark"], cells["row"], strict=True)]
    setting, protocol = [pair[0] for pair in found], [pair[1] for pair in found]
    return cells.assign(setting=setting, protocol=protocol)


def about(protocol: str) -> str:
    """The first paragraph of what a protocol of ours says of itself."""
    module = PROTOCOLS.get(protocol)
    return " ".join(module.__doc__.split("\n\n")[0].split()) if module else ""


def _words(params: dict[str, Any], benchmark: str, row: str) -> tuple[str, str]:
    entry = params["benchmarks"][benchmark]
    describe = WORDS.get(entry["protocol"])
    if describe is None:
        return row, entry["protocol"]
    options = {key: value for key, value in entry.items() if key not in OF_A_BENCHMARK}
    module = PROTOCOLS[entry["protocol"]]
    return describe(parse(module.Params, options, f"benchmarks.{benchmark}"), row, params)


def _pairs(options: pairs.Params, row: str, params: dict[str, Any]) -> tuple[str, str]:
    base = "tenfold" if options.folds == DEFAULT_FOLDS else f"{options.folds}fold"
    words = {
        "flip": options.flip,
        "angle": options.distance == "angle",
        "centred": options.centre,
    }
    words["likelihood"] = row.startswith(LIKELIHOOD)
    return row, _joined(base, **words, **_resampled(row, params))


def _templates(options: templates.Params, row: str, params: dict[str, Any]) -> tuple[str, str]:
    return _pooled(f"far_{options.pick}", options, row, params)


def _identification(
    options: identification.Params, row: str, params: dict[str, Any]
) -> tuple[str, str]:
    rule = options.definition
    if rule == "iso" and options.threshold != "at_most":
        rule += f"+{options.threshold}"
    return _pooled(rule, options, row, params)


def _lowres(options: lowres.Params, row: str, params: dict[str, Any]) -> tuple[str, str]:
    return row, _joined("closed_set", flip=options.flip, **_resampled(row, params))


def _distractors(options: distractors.Params, row: str, params: dict[str, Any]) -> tuple[str, str]:
    return row, _joined("distractors", flip=options.flip, **_resampled(row, params))


def _surveillance(
    options: surveillance.Params, row: str, params: dict[str, Any]
) -> tuple[str, str]:
    return row, _joined("survface_grid", **{_resampler(params): True})


def _pooled(
    rule: str,
    options: templates.Params | identification.Params,
    row: str,
    params: dict[str, Any],
) -> tuple[str, str]:
    """A row is a setting, pooled by `options.descriptor`, or a descriptor of the native images."""
    match = SETTING.fullmatch(row)
    name = options.descriptor if match else row.split(" ")[0]
    model = DESCRIPTORS.get(name)
    if model is None:
        return row, _joined(rule, **{name: True})
    given = parse(model, params.get("descriptors", {}).get(name, {}), f"descriptors.{name}")
    weighting = "unit" if name == "mean" else name
    if name == "mean" and given.unit == "media":
        weighting = "unit_media"
    # With r1 = r2 the sum over both resolutions is the flip test.
    mixed = bool(match) and options.fused and match["r1"] != match["r2"]
    protocol = _joined(
        rule,
        mixed=mixed,
        flip=getattr(given, "flip", False) and not mixed,
        **{weighting: True},
        media=getattr(given, "media", False) and weighting != "unit_media",
        detector=getattr(given, "detector", False),
        **_resampled(row, params),
    )
    return row if match else NATIVE_ROW, protocol


def _resampled(row: str, params: dict[str, Any]) -> dict[str, bool]:
    """The resampler is part of how a row was measured if one of its images is not full size."""
    match = SETTING.fullmatch(row)
    low = bool(match) and {int(match["r1"]), int(match["r2"])} != {NATIVE}
    return {_resampler(params): low}


def _resampler(params: dict[str, Any]) -> str:
    return params["extract"].get("resampler", "default")


def _joined(rule: str, **words: bool) -> str:
    return "+".join([rule, *(word for word, present in words.items() if present)])


WORDS: dict[str, Words] = {
    "distractors": _distractors,
    "lowres": _lowres,
    "pairs": _pairs,
    "templates": _templates,
    "identification": _identification,
    "surveillance": _surveillance,
}
