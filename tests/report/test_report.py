"""The whole stage on a small made-up project."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stages.core.errors import InputError
from stages.core.files import sha256
from stages.core.weights import save_weights
from stages.report.__main__ import main
from stages.report.page import comparisons, count, percent, points
from stages.report.provenance import measured_from
from stages.report.replicates import read_replicates
from stages.report.results import read_results
from tests.report.synthetic import write_images, write_project, write_results

HEADER = {
    "network": {"name": "mobilefacenet", "embedding": 512},
    "contract": {"training_data": "imported: ms1mv2.pth"},
}
MEASURED = "metrics/evaluate/people_pairs.json"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    write_project(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        main()
    return folder


@pytest.fixture(scope="module")
def html(project: Path) -> str:
    return (project / "plots/report/report.html").read_text()


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_page_says_which_recipe_it_is_of(
    project: Path, html: str, tmp_path: Path, monkeypatch
) -> None:
    assert "Recipe" not in html
    copy = shutil.copytree(project, tmp_path / "copy")
    monkeypatch.chdir(copy)
    Path("data/check").mkdir(parents=True, exist_ok=True)
    Path("data/check/recipe").write_text(
        json.dumps("Recipe one; params.yaml departs from it in a: 1 -> 0.")
    )
    main()
    page = Path("plots/report/report.html").read_text()
    assert "Recipe one; params.yaml departs from it in a: 1 -&gt; 0." in page


def test_outputs_are_all_there(project: Path) -> None:
    names = set(hashes(project / "plots/report"))
    assert {f"{kind}.csv" for kind in ("roc", "det", "cmc", "open_set", "scores", "heatmap")} | {
        "tables.md",
        "tables.tex",
    } < names
    pictures = {
        "roc_people_pairs", "det_people_pairs", "scores_people_pairs", "cmc_people_1toN",
        "open_set_people_native", "heatmap_people_pairs_branch", "heatmap_people_pairs_upsampled",
        "faces_norm_trunk_112", "faces_norm_branch_7", "faces_kappa_scf_112",
        "hardest_genuine_people_pairs", "hardest_impostor_people_pairs", "failures_people_pairs",
    }  # fmt: skip
    assert {f"pictures/{name}.png" for name in pictures} < names


def test_a_second_run_gives_the_same_bytes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = hashes(project / "plots/report") | hashes(project / "metrics")
    monkeypatch.chdir(project)
    main()
    assert hashes(project / "plots/report") | hashes(project / "metrics") == before


def test_the_summary_is_one_scalar_a_benchmark(project: Path) -> None:
    summary = json.loads((project / "metrics/summary.json").read_text())
    measured = json.loads((project / MEASURED).read_text())["people_pairs"]
    assert list(summary) == ["summary"]
    assert summary["summary"]["people_pairs"] == {"accuracy": measured["112&112"]["accuracy"]}
    assert list(summary["summary"]["people_native"]) == ["auc"]


def test_the_page_needs_nothing_from_outside(html: str) -> None:
    assert not re.findall(r'(?:src|href)="(?!data:image/png;base64,|#)[^"]*"', html)
    assert not re.findall(r"@import|url\(|<script|<link", html)


def test_every_picture_has_words(html: str) -> None:
    pictures = re.findall(r"<img [^>]*>", html)
    assert len(pictures) > 10
    for picture in pictures:
        assert len(re.search(r'alt="([^"]*)"', picture)[1]) > 30


def test_the_page_says_that_nothing_pairs_and_what_is_needed(html: str) -> None:
    assert "None of the 484 published cells pairs with a measured one" in html
    for words in ("IJB-C, loose crops", "needs: [survface]", "{pick: nearest, descriptor: norm}"):
        assert words in html


def test_the_page_has_values_intervals_and_differences(html: str, project: Path) -> None:
    measured = json.loads((project / MEASURED).read_text())["people_pairs"]
    branch, upsampled = (measured[row]["accuracy"] for row in ("112&7", "upsampled 112&7"))
    line = re.search(r'<th scope="row">112&amp;7</th>.*?</tr>', html, re.DOTALL)[0]
    assert f"<b>{100 * branch:.2f}</b>" in line
    assert f"{100 * (branch - 0.012):.2f}–{100 * (branch + 0.012):.2f}" in line
    assert f"<b>{100 * upsampled:.2f}</b>" in line
    assert f"+{100 * (branch - upsampled):.2f}" in line
    assert ">600<" in line
    paired = re.search(r"\+[\d.]+ <span class=\"ci\">\+([\d.]+) to \+([\d.]+)</span>", line)
    assert float(paired[1]) < 100 * (branch - upsampled) < float(paired[2])


def test_the_page_names_data_and_seed_but_no_date(html: str, project: Path) -> None:
    index = (project / "data/align/people/index.parquet").read_bytes()
    assert hashlib.sha256(index).hexdigest() in html
    assert '<th scope="row">seed</th><td><code>0</code>' in html
    assert not re.search(r"20[2-9]\d-\d\d-\d\d", html)


def test_models_have_lines_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path("metrics/evaluate/b.intervals.json")
    file.parent.mkdir(parents=True)
    models = {"trunk": {"weights": "w"}, "trunk/branch_7": {"weights": "v"}}
    file.write_text(json.dumps({"provenance": {"seed": 0, "models": models}}))
    assert measured_from("b") == [
        ("seed", "0"),
        ("model trunk", '{"weights": "w"}'),
        ("model trunk/branch_7", '{"weights": "v"}'),
    ]


def test_every_benchmark_says_what_it_was_measured_from(project: Path, html: str) -> None:
    digest = sha256(project / "data/align/people/index.parquet")
    assert f"<code>people, index sha256 {digest}</code>" in html


def test_tables_for_papers(project: Path) -> None:
    measured = json.loads((project / MEASURED).read_text())["people_pairs"]["112&7"]["accuracy"]
    text = f"{100 * measured:.2f} [{100 * (measured - 0.012):.2f}, {100 * (measured + 0.012):.2f}]"
    markdown = (project / "plots/report/tables.md").read_text()
    line = next(x for x in markdown.splitlines() if x.startswith("| 112&7 |") and text in x)
    head = next(x for x in markdown.splitlines() if x.startswith("| row | accuracy |"))
    assert line.count("|") == head.count("|")
    latex = (project / "plots/report/tables.tex").read_text()
    assert f"112\\&7 & {text} &" in latex
    # three benchmarks, of which two have settings to subtract
    source = f"images: people, index sha256 {sha256(project / 'data/align/people/index.parquet')}"
    assert f"\n- {source}\n" in markdown
    assert f"\n% {source}\n" in latex
    assert latex.count("\\begin{tabular}") == latex.count("\\bottomrule") == 5
    changes = markdown.partition("## people_pairs: branch minus upsampled")[2]
    line = next(x for x in changes.splitlines() if x.startswith("| 112&7 |"))
    value, low, high = (float(x) for x in re.findall(r"[+-][\d.]+", line)[:3])
    assert low < value < high


def test_the_stage_starts_without_pandas_and_matplotlib() -> None:
    code = "import stages.report.__main__, sys; print({'pandas', 'matplotlib'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"


def test_a_benchmark_taken_out_of_the_list_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    params = json.loads(Path("params.yaml").read_text())
    del params["benchmarks"]["people_native"]
    params["heads"], params["resolutions"] = [], []
    Path("params.yaml").write_text(json.dumps(params))
    main()
    assert "people_native" not in Path("plots/report/report.html").read_text()
    assert "people_native" not in json.loads(Path("metrics/summary.json").read_text())["summary"]
    assert not list(Path("plots/report/pictures").glob("*native*"))
    assert not list(Path("plots/report/pictures").glob("*kappa*"))


def test_published_cells_stand_in_the_page_of_a_measured_pack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(tmp_path)
    write_results(tmp_path, "lfw", {"112&112": {"accuracy": 0.9942}}, 0.001, 6000)
    write_results(tmp_path, "mine", {"112&112": {"accuracy": 0.9742}}, 0.001, 6000)
    intervals = tmp_path / "metrics/evaluate/lfw.intervals.json"
    intervals.write_text(intervals.read_text().replace("1000 repl", "fewer than 10 errors; repl"))
    monkeypatch.chdir(tmp_path)
    params = json.loads(Path("params.yaml").read_text())
    params["benchmarks"] = {
        name: {"protocol": "pairs", "dataset": "people"} for name in ("lfw", "mine")
    }
    params["resolutions"] = []
    Path("params.yaml").write_text(json.dumps(params))
    main()
    page = Path("plots/report/report.html").read_text()
    assert "None of the" not in page
    line = next(x for x in page.splitlines() if "ir50, casia" in x)
    assert 'class="n">99.42</td><td class="n"><b>99.42</b>*' in line
    assert line.endswith("<td>yes</td></tr>")
    mean = page[page.index('<section id="mean-of-2-packs">') :]
    assert "<b>98.42</b>*" in mean[: mean.index("</section>")]
    text = Path("plots/report/tables.md").read_text()
    assert "| 99.42 | 99.42* [" in text[text.index("## Published beside measured") :]
    assert "| 112&112 | 98.42* [" in text[text.index("## mean-of-2-packs") :]


def test_a_row_may_lack_a_metric_that_others_have(tmp_path: Path, monkeypatch) -> None:
    """The cell is a dash, in the page as in the tables."""
    write_project(tmp_path)
    cells = {"112&112": {"accuracy": 0.9942, "auc": 0.99}, "external mine": {"auc": 0.97}}
    write_results(tmp_path, "mine", cells, 0.001, 6000)
    monkeypatch.chdir(tmp_path)
    params = json.loads(Path("params.yaml").read_text())
    params["benchmarks"] = {"mine": {"protocol": "pairs", "dataset": "people"}}
    params["resolutions"] = []
    Path("params.yaml").write_text(json.dumps(params))
    main()
    page = Path("plots/report/report.html").read_text()
    line = next(x for x in page.splitlines() if '"row">external mine' in x)
    assert line.split("</th>")[1].startswith('<td class="n">–</td>')
    assert "| external mine | – | 97.00 [" in Path("plots/report/tables.md").read_text()


def test_a_missing_benchmark_is_named_and_the_others_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    write_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    Path("metrics/evaluate/people_1toN.json").unlink()
    main()
    assert "leaves out people_1toN" in capsys.readouterr().err
    page = Path("plots/report/report.html").read_text()
    assert "Left out: people_1toN (it has no results)." in page
    assert page.count("people_1toN") == 1
    assert "people_1toN" not in json.loads(Path("metrics/summary.json").read_text())["summary"]


def test_results_of_what_was_there_before_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """As a run leaves them that went on beside a stage that failed."""
    write_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    save_weights(Path("models/train/weights.safetensors"), {}, HEADER)
    weights = {"weights": f"models/train sha256 {sha256(Path('models/train/weights.safetensors'))}"}
    features = Path("data/features/people/trunk/model.json")
    features.write_text(json.dumps(weights))
    for name, about in (
        ("people_pairs", weights),
        ("people_1toN", {"weights": "models/train sha256 0"}),
    ):
        values = {"112&112": {"accuracy": 0.9, "rank1": 0.8}}
        write_results(Path(), name, values, half=0.01, models={"trunk": about})
    main()
    said = capsys.readouterr().err
    assert "leaves out people_1toN: it was evaluated before trunk was computed anew" in said
    assert "people_pairs" not in said
    features.write_text(json.dumps(weights | {"resampler": "opencv_linear"}))
    main()
    assert "leaves out people_pairs: it was evaluated before trunk" in capsys.readouterr().err
    write_images(tmp_path / "again", "people", [np.zeros((16, 16, 3), np.uint8)])
    index = Path("data/align/people/index.parquet")
    index.write_bytes((tmp_path / "again" / index).read_bytes())
    with pytest.raises(InputError, match="other images"):
        main()


def test_an_imported_trunk_speaks_for_itself(tmp_path: Path, monkeypatch) -> None:
    """What params.yaml says of a training that was not made is not told of it."""
    write_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    save_weights(Path("models/published/weights.safetensors"), {}, HEADER)
    params = json.loads(Path("params.yaml").read_text())
    params |= {"trunk": "published", "heads": [], "resolutions": []}
    Path("params.yaml").write_text(json.dumps(params))
    main()
    page = Path("plots/report/report.html").read_text()
    assert "<title>faceline report: published</title>" in page
    assert "mobilefacenet, 512 dimensions, imported: ms1mv2.pth. Branches for no resolution" in page
    for word in ("iresnet", "arcface", "losses.", "schedules.", "classifier"):
        assert word not in page[: page.index("Published")], word
        assert word not in page[page.index('id="provenance"') :], word


def test_without_any_results_nothing_is_reported(tmp_path: Path, monkeypatch) -> None:
    write_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    for file in Path("metrics/evaluate").glob("*.json"):
        file.unlink()
    with pytest.raises(InputError, match="it has no results"):
        main()
    assert not Path("plots/report").exists()


def test_a_difference_has_an_interval_of_its_own(tmp_path: Path) -> None:
    """Intervals of 2 points around 80 and 79 overlap, but the same people are hard for both."""
    values = {"112&7": 0.80, "upsampled 112&7": 0.79, "7&7": 0.70}
    write_results(tmp_path, "b", {r: {"accuracy": v} for r, v in values.items()}, 0.02)
    folder = tmp_path / "metrics/evaluate"
    cells, samples = read_results(["b"], folder), read_replicates(["b"], folder)
    both, alone = comparisons(cells, samples)
    assert (both.setting, both.change.sure, both.change.paired) == ("112&7", True, True)
    assert both.change.value == pytest.approx(0.01)
    # the rows' own noise: a tenth of 0.02 / 2.1 each, t of 19 people 2.093, 20 / 19 for the sample
    half = 2.093 * np.sqrt(2 * 20 / 19) * 0.1 * 0.02 / 2.1
    assert both.change.high - 0.01 == pytest.approx(half, rel=0.1)
    assert both.change.low + both.change.high == pytest.approx(0.02)
    assert (alone.setting, alone.change.sure) == ("7&7", False)
    assert np.isnan(alone.change.value)


def test_numbers_as_text() -> None:
    assert percent(0.98765) == "98.77"
    assert percent(0.98765, 1) == "98.8"
    assert points(-0.0123) == "\u22121.23"
    assert points(0.0) == "+0.00"
    assert count(15658489.0) == "15\u2009658\u2009489"
    assert percent(np.nan) == points(np.nan) == count(np.nan) == "–"


def test_the_page_shows_the_curves_of_the_trainings(project: Path, html: str) -> None:
    assert {"training_trunk.png", "training_branches.png"} <= {
        path.name for path in (project / "plots/report/pictures").iterdir()
    }
    assert '<section id="training">' in html
    assert "trunk: loss 8 to 2, cosine 0.1 to 0.7." in html
    assert "7 px: loss 9 to 5, feature 3 to 1." in html
