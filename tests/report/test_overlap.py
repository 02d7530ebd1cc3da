"""Benchmarks that rest on training images are marked wherever their numbers stand."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from stages.report.__main__ import main
from stages.report.overlap import Doubt, counts, doubt, doubts
from tests.report.synthetic import entry, write_project, write_results

BOUGHT = {"training_set": "imported: r100.pth, sha256 0123", "unknown": "its images are not here"}
NAMED = {"people": 20, "same_name": 3, "names": ["ann", "bob", "cid"]}


def test_counts_in_full() -> None:
    assert counts(BOUGHT) == "unknown: its images are not here"
    assert counts(entry(3, 1)) == (
        "3 of 48 images (3 equal files, 1 equal crops); people are not known by name"
    )
    assert counts(entry(0, **NAMED)) == (
        "0 of 48 images (0 equal files, 0 equal crops); 3 of 20 people by name: ann, bob, cid"
    )
    nobody = {"people": 20, "same_name": 0, "names": []}
    assert counts(entry(0, **nobody)).endswith("; 0 of 20 people by name")


def test_a_doubt_is_known_where_images_or_names_are_the_same() -> None:
    images = "3 of 48 test images are in orl"
    people = "3 of 20 test people are in orl by name"
    unknown = "nknown whether test images are training images (imported: r100.pth)"
    assert doubt([]) is doubt([entry(0)]) is None
    assert doubt([entry(3)]) == Doubt(images, True)
    assert doubt([entry(0, **NAMED)]) == Doubt(people, True)
    assert doubt([entry(3, **NAMED)]) == Doubt(f"{images}; {people}", True)
    assert doubt([BOUGHT]) == doubt([BOUGHT, entry(0)]) == Doubt(f"U{unknown}", False)
    assert doubt([BOUGHT, entry(3)]) == Doubt(f"{images}; u{unknown}", True)


def test_a_mean_has_the_doubt_of_its_packs() -> None:
    found = {"a": [], "b": [BOUGHT], "c": [entry(3)], "d": [entry(0)]}
    told = doubts(found, {"both": ("a", "d"), "first": ("a", "b"), "all": ("a", "b", "c")})
    assert told.keys() == {"b", "c", "first", "all"}
    assert told["first"] == Doubt(f"b: {told['b'].text}", False)
    assert told["all"] == Doubt(f"c: {told['c'].text}", True)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of two packs, lfw and mine."""
    write_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    given = json.loads(Path("params.yaml").read_text())
    given["benchmarks"] = {
        name: {"protocol": "pairs", "dataset": "people"} for name in ("lfw", "mine")
    }
    given["resolutions"] = []
    Path("params.yaml").write_text(json.dumps(given))
    return tmp_path


def reported(place: Path, lfw: list[dict[str, Any]], mine: list[dict[str, Any]]) -> dict[str, str]:
    """The report's page, its tiles, and its tables."""
    for name, overlap in (("lfw", lfw), ("mine", mine)):
        values = {"112&112": {"accuracy": 0.9942}, "pixels": {"accuracy": 0.7}}
        write_results(place, name, values, 0.001, 6000, overlap=overlap)
    main()
    folder = Path("plots/report")
    page = (folder / "report.html").read_text()
    tiles = page.partition('<ul class="tiles"')[2].partition("</ul>")[0]
    return {"page": page, "tiles": tiles} | {
        kind: (folder / f"tables.{kind}").read_text() for kind in ("md", "tex")
    }


def test_nothing_is_marked_where_every_image_is_unseen(place: Path) -> None:
    found = reported(place, [entry(0)], [entry(0)])
    assert not [name for name, text in found.items() if "†" in text or "\\dag" in text]
    assert 'class="doubt"' not in found["page"]
    assert "0 of 48 images (0 equal files, 0 equal crops)" in found["page"]


def test_a_benchmark_of_training_images_is_marked_in_tiles_sections_and_tables(place) -> None:
    found = reported(place, [entry(3, 3)], [entry(0)])
    said = "3 of 48 test images are in orl."
    lfw, mine = re.findall(r"<li>.*?</li>", found["tiles"], re.DOTALL)
    assert '<div class="name">lfw†</div>' in lfw
    assert f'<div class="doubt"><b>†</b> {said}</div>' in lfw
    assert "†" not in mine
    assert "<h2>lfw†</h2>" in found["page"]
    assert "<h2>mine</h2>" in found["page"]
    assert "<h2>mean-of-2-packs†</h2>" in found["page"]
    assert f"lfw: {said}" in found["page"]
    sections = dict(re.findall(r"^## (.*?)\n\n(.*?)(?=^## |\Z)", found["md"], re.DOTALL | re.M))
    assert f"**† {said}**" in sections["lfw"]
    assert "†" not in sections["mine"]
    assert f"**† lfw: {said}**" in sections["mean-of-2-packs"]
    assert "99.42† [" in sections["Published beside measured"]
    assert "**† Test images or people are in the training set.**" in sections[
        "Published beside measured"]  # fmt: skip
    note = "\\midrule\n\\multicolumn{2}{l}{\\dag{} 3 of 48 test images are in orl.} \\\\"
    assert note in found["tex"]
    assert found["tex"].count("\\dag{} lfw: 3 of 48") == 1


def test_a_model_of_unknown_images_is_said_in_the_tile_without_a_mark(place: Path) -> None:
    found = reported(place, [BOUGHT], [entry(0)])
    said = "Unknown whether test images are training images (imported: r100.pth)."
    assert f'<div class="soft">{said}</div>' in found["tiles"]
    assert f"**{said}**" in found["md"]
    assert f"{{{said}}}" in found["tex"]
    assert not [name for name, text in found.items() if "†" in text or "\\dag" in text]
    assert "<code>unknown: its images are not here</code>" in found["page"]
