"""The page of `dvc plots show` carries the scripts that draw it, and loads nothing."""

from __future__ import annotations

import configparser
import hashlib
import re
from pathlib import Path

import pytest
from dvc_render.html import render_html
from dvc_render.vega import VegaRenderer

from stages.check.code import ROOT
from tests.deps import PIPELINE, definition

PAGE = ROOT / "plots/templates/page.html"
SCRIPTS = {  # SHA-256 of build/NAME.min.js of the npm package without its last line, a source map
    "vega": "c340b4a196cf11758cf6e71305d3725de2d7f3c514b4386fd91328c842618f2a",
    "vega-lite": "9525bc3368d62c580e8fcbf5db63c4a95c04052fe32ced063817c677cc98801c",
    "vega-embed": "16512fd17119051ee3f859467e174fe1503ff86c0a4743aaf8b7c10da3dd83e0",
}


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_dvc_is_told_to_use_the_page() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / ".dvc/config")
    assert (ROOT / ".dvc" / config["plots"]["html_template"]).resolve() == PAGE


def test_the_scripts_are_those_of_the_packages_in_the_order_in_which_they_load(page) -> None:
    found = re.findall(r'<script data-package="(.*?)">\n(.*?)\n</script>', page, re.DOTALL)
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in found}
    assert list(digests.items()) == list(SCRIPTS.items())


def test_a_rendered_page_has_the_plot_and_loads_nothing(tmp_path: Path) -> None:
    points = [{"step": 0, "loss": 1.0, "rev": "workspace"}, {"step": 1, "loss": 0.5, "rev": "b"}]
    plot = VegaRenderer(points, "curve", template="simple", x="step", y="loss")
    out = tmp_path / "out/index.html"
    render_html([plot], out, html_template=PAGE)
    text = out.read_text(encoding="utf-8")
    assert '"loss": 0.5' in text or '"loss": "0.5"' in text
    assert "vegaEmbed" in text
    tags = re.findall(
        r"<(?:script|link|img|iframe)\b[^>]*>",
        re.sub(r"(?s)(<script data-package[^>]*>).*?</script>", r"\1", text),
    )
    assert not [tag for tag in tags if "src=" in tag or "href=" in tag]
    assert "{plot_divs}" not in text
    assert "{refresh_tag}" not in text


@pytest.mark.parametrize("stage", ["train", "distill", "head"])
def test_the_curves_of_every_training_are_plots_over_steps(stage: str) -> None:
    (plots,) = definition(PIPELINE[stage])["plots"]
    ((path, settings),) = plots.items()
    assert path.startswith(f"metrics/{stage}")
    assert path.endswith("/plots")
    assert settings["x"] == "step"


@pytest.mark.parametrize("stage", PIPELINE)
def test_every_stage_says_what_it_does(stage: str) -> None:
    assert definition(PIPELINE[stage])["desc"]
