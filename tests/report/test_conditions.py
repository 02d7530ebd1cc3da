"""The words for how a cell was measured agree with those of the published table."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from stages.report.conditions import about, with_conditions
from stages.report.published import read_sources

SETTINGS = {
    name: entry for name, entry in read_sources()["settings"].items() if "benchmark" in entry
}
PROTOCOL_OF = {
    "tenfold": "pairs",
    "far_nearest": "templates",
    "merged": "identification",
    "survface_grid": "surveillance",
    "closed_set": "lowres",
}


def conditions(
    entry: dict[str, Any],
    row: str,
    descriptors: dict[str, Any] | None = None,
    resampler: str = "pil_bilinear",
) -> tuple[str, str]:
    cells = pd.DataFrame(
        [["b", row, "metric", 0.5]], columns=["benchmark", "row", "metric", "value"]
    )
    params = {
        "benchmarks": {"b": {"dataset": "d", **entry}},
        "descriptors": descriptors or {},
        "extract": {"resampler": resampler},
    }
    found = with_conditions(cells, params)
    return found["setting"].iloc[0], found["protocol"].iloc[0]


@pytest.mark.parametrize("name", SETTINGS)
def test_the_settings_given_for_a_published_protocol_measure_it(name: str) -> None:
    """What the report tells a user to write gives exactly the words of the published cells."""
    settings = SETTINGS[name]
    entry = {"protocol": PROTOCOL_OF[name.split("+")[0]], **settings["benchmark"]}
    row = "7&7" if "extract" in settings else "112&112"
    row = "112&7" if "mixed" in name else row
    extract = settings.get("extract", {})
    assert conditions(entry, row, settings.get("descriptors"), **extract) == (row, name)


def test_a_descriptor_row_is_the_native_setting() -> None:
    entry = {"protocol": "templates", "pick": "nearest"}
    assert conditions(entry, "norm") == ("112&112", "far_nearest+flip+norm+media")
    assert conditions(entry, "mean") == conditions(entry, "112&112")
    assert conditions(entry, "kappa")[1] == "far_nearest+flip+kappa"
    assert conditions(entry, "kappa pfe_g") == conditions(entry, "kappa")


def test_the_rule_for_the_threshold_is_part_of_the_words() -> None:
    assert conditions({"protocol": "templates"}, "112&112")[1].startswith("far_at_most+")
    assert conditions({"protocol": "identification"}, "112&112")[1].startswith("iso+")
    assert conditions({"protocol": "pairs", "folds": 5}, "112&112")[1] == "5fold+flip"


def test_mixing_two_resolutions_counts_only_where_they_differ() -> None:
    entry = {"protocol": "templates", "fused": True, "pick": "nearest"}
    mean = {"mean": {"detector": True}}
    mixed = "far_nearest+mixed+unit+media+detector+opencv_linear"
    assert conditions(entry, "112&7", mean, "opencv_linear") == ("112&7", mixed)
    assert "mixed" not in conditions(entry, "7&7")[1].split("+")
    assert "flip" in conditions(entry, "7&7")[1].split("+")


def test_searches_and_likelihoods_say_what_they_are() -> None:
    assert conditions({"protocol": "lowres"}, "112&112")[1] == "closed_set+flip"
    assert conditions({"protocol": "distractors"}, "112&112")[1] == "distractors+flip"
    rule = {"protocol": "identification", "threshold": "truncated"}
    assert conditions(rule, "norm")[1].startswith("iso+truncated+flip+norm")
    assert conditions({"protocol": "pairs"}, "likelihood scf")[1] == "tenfold+flip+likelihood"
    templates = conditions({"protocol": "templates"}, "likelihood scf")
    assert templates == ("likelihood scf", "far_at_most+likelihood")
    assert conditions({"protocol": "templates"}, "coreset")[1] == "far_at_most+coreset"


def test_the_resampler_counts_where_an_image_is_not_full_size() -> None:
    entry = {"protocol": "pairs"}
    assert conditions(entry, "112&112", resampler="nearest")[1] == "tenfold+flip"
    assert conditions(entry, "112&14", resampler="nearest")[1] == "tenfold+flip+nearest"
    assert conditions({"protocol": "surveillance"}, "max+ceil")[1] == "survface_grid+pil_bilinear"


def test_a_protocol_of_a_users_own_goes_by_its_name() -> None:
    assert conditions({"protocol": "mine", "anything": 1}, "row") == ("row", "mine")
    assert about("mine") == ""
    assert about("pairs").startswith("Ten-fold accuracy")


def test_every_word_says_what_was_set_and_nothing_else() -> None:
    """Each option alone, beside the defaults."""
    iso = conditions({"protocol": "identification"}, "norm")[1].split("+")
    assert iso == ["iso", "flip", "norm", "media"]
    merged = conditions({"protocol": "identification", "definition": "merged"}, "norm")[1]
    assert merged.split("+") == ["merged", *iso[1:]]
    both = {"protocol": "identification", "definition": "merged", "threshold": "truncated"}
    assert conditions(both, "norm")[1] == merged  # the threshold is that of iso alone
    for protocol, rule in (("lowres", "closed_set"), ("distractors", "distractors")):
        assert conditions({"protocol": protocol, "flip": False}, "112&112")[1] == rule
        assert conditions({"protocol": protocol}, "112&7")[1] == f"{rule}+flip+pil_bilinear"
    for options, word in (({"flip": False}, ""), ({"centre": True}, "+flip+centred"),
                          ({"distance": "angle"}, "+flip+angle")):  # fmt: skip
        assert conditions({"protocol": "pairs", **options}, "112&112")[1] == f"tenfold{word}"


def test_the_resampler_counts_on_whichever_side_is_small() -> None:
    for row in ("112&7", "7&112", "7&7"):
        assert conditions({"protocol": "pairs"}, row)[1] == "tenfold+flip+pil_bilinear"


def test_a_descriptor_is_told_with_its_own_options() -> None:
    """Those of `norm` say nothing of `mean`, and a head's descriptor goes by its first word."""
    entry = {"protocol": "templates", "pick": "nearest"}
    given = {"norm": {"flip": False, "media": False, "detector": True}}
    assert conditions(entry, "norm", given)[1] == "far_nearest+norm+detector"
    assert conditions(entry, "mean", given)[1] == "far_nearest+flip+unit+media"
    assert conditions(entry, "112&112", given)[1] == "far_nearest+flip+unit+media"
    by_norm = entry | {"descriptor": "norm"}
    assert conditions(by_norm, "112&112", given)[1] == "far_nearest+norm+detector"


def test_every_benchmark_is_told_by_its_own_entry() -> None:
    """Rows of one name, in benchmarks of unlike options."""
    entries = {"plain": {"flip": False}, "flipped": {}, "five": {"folds": 5}}
    cells = pd.DataFrame({"benchmark": ["five", "plain", "flipped"], "row": "112&112"})
    params = {
        "benchmarks": {
            name: {"protocol": "pairs", "dataset": "d", **e} for name, e in entries.items()
        },
        "extract": {},
    }
    found = with_conditions(cells, params)["protocol"].tolist()
    assert found == ["5fold+flip", "tenfold", "tenfold+flip"]
    low = with_conditions(cells.assign(row="7&7"), params)["protocol"]
    assert low[1] == "tenfold+default"
