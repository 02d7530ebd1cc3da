"""The Vega-Lite templates work with `dvc plots`, one revision or several."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dvc_render.vega import VegaRenderer

TEMPLATES = Path(__file__).parents[2] / "plots/templates"
AXES = {
    "roc": ("fmr", "tmr"),
    "det": ("fmr", "fnmr"),
    "cmc": ("rank", "rate"),
    "edc": ("discard", "fnmr"),
    "open_set": ("fpir", "tpir"),
    "heatmap": ("r2", "r1"),
    "scores": ("score", "count"),
}
EXTRA = {
    "heatmap": {"metric": "accuracy", "system": "branch", "value": "0.9"},
    "scores": {"kind": "genuine"},
}


def test_every_curve_of_the_report_has_its_template() -> None:
    assert {path.stem for path in TEMPLATES.glob("*.json")} == set(AXES)


def points(name: str, revisions: tuple[str, ...]) -> list[dict[str, str]]:
    """As dvc hands a CSV on: all text, with the revision."""
    x, y = AXES[name]
    common = {"benchmark": "b", "row": "112&112", **EXTRA.get(name, {})}
    return [{**common, x: str(k), y: str(k + 1), "rev": rev} for rev in revisions for k in range(3)]


def filled(name: str, *revisions: str) -> dict[str, Any]:
    x, y = AXES[name]
    renderer = VegaRenderer(
        points(name, revisions), name, template=str(TEMPLATES / f"{name}.json"), x=x, y=y,
        title="a title", x_label="across", y_label="up",
    )  # fmt: skip
    return renderer.get_filled_template()


@pytest.mark.parametrize("name", AXES)
@pytest.mark.parametrize("revisions", [("workspace",), ("HEAD", "workspace")])
def test_no_anchor_is_left_and_every_point_is_there(name: str, revisions: tuple[str, ...]) -> None:
    content = filled(name, *revisions)
    text = json.dumps(content)
    assert "DVC_METRIC" not in text
    assert "a title" in text
    assert "across" in text
    assert len(content["data"]["values"]) == 3 * len(revisions)
    for axis in AXES[name]:
        assert f"datum['{axis}']" in text or f'"field": "{axis}"' in text


@pytest.mark.parametrize("name", ["roc", "det", "cmc", "edc", "open_set", "scores"])
def test_the_revision_is_the_colour(name: str) -> None:
    colour = filled(name, "HEAD", "workspace")["spec"]["encoding"]["color"]
    assert colour["field"] == "rev"
    assert colour["scale"]["domain"] == ["HEAD", "workspace"]


def test_a_heat_map_has_a_panel_for_each_revision() -> None:
    content = filled("heatmap", "HEAD", "workspace")
    assert content["facet"]["row"]["field"] == "panel"
    assert any("datum.rev" in step.get("calculate", "") for step in content["transform"])


def test_logarithmic_axes_and_numbers_from_text() -> None:
    """dvc hands on text, which sorts as text; and a logarithm has no place for 0."""
    for name, log in {"roc": ["x"], "det": ["x", "y"], "open_set": ["x"], "cmc": []}.items():
        content = filled(name, "workspace")
        encoding = content["spec"]["encoding"]
        assert [a for a in "xy" if encoding[a].get("scale", {}).get("type") == "log"] == log
        steps = content["transform"]
        numbers = [s["as"] for s in steps if s.get("calculate", "").startswith("toNumber")]
        assert sorted(numbers) == sorted(AXES[name])
        kept = [s["filter"] for s in steps if "filter" in s]
        assert kept == [f"datum['{AXES[name]['xy'.index(a)]}'] > 0" for a in log]


def test_dvc_plots_diff_draws_two_revisions(tmp_path: Path) -> None:
    """The real command on a scratch repository with every template."""
    plots = []
    for name, (x, y) in AXES.items():
        template = os.path.relpath(TEMPLATES / f"{name}.json", tmp_path)
        plots.append({name: {"template": template, "x": x, "y": {f"{name}.csv": y}, "title": name}})
        rows = [{k: v for k, v in p.items() if k != "rev"} for p in points(name, ("HEAD",))]
        lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "dvc.yaml").write_text(json.dumps({"plots": plots}))
    git = ["git", "-c", "user.name=n", "-c", "user.email=e"]
    for command in (
        ["git", "init", "-q"],
        [sys.executable, "-m", "dvc", "init", "-q"],
        ["git", "add", "-A"],
        [*git, "commit", "-q", "-m", "first"],
    ):
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    for path in tmp_path.glob("*.csv"):
        path.write_text(path.read_text().replace("112&112", "112&7"))
    command = [sys.executable, "-m", "dvc", "plots", "diff", "HEAD", "-o", "out"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    page = (tmp_path / "out/index.html").read_text()
    assert "DVC_METRIC" not in page
    for name in AXES:
        assert f'"text": "{name}"' in page
    assert page.count('"rev": "HEAD"') == page.count('"rev": "workspace"') == 3 * len(AXES)
