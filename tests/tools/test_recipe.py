"""python -m stages.tools.recipe, in a small repository with the project's own params.yaml."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.cli import DvcParserError
from dvc.cli.parser import get_main_parser
from dvc.utils.hydra import apply_overrides

from stages.check.code import ROOT
from stages.core.errors import InputError
from stages.core.recipe_file import DATA
from stages.core.yaml12 import parse_yaml
from stages.tools import recipe

PARAMS = Path("params.yaml")
RECIPES = {
    "short": {"note": "a test", "params": {"schedules": {"orl": {"epochs": 1}}, "heads": []}},
    "magface": {
        "note": "a test",
        "base": ["_small"],
        "params": {"loss": "magface", "losses": {"magface": None}},
    },
    "_small": {"params": {"backbone": {"width": 0.125}}},
    "published": {
        "reproduces": {"paper": "btnet", "table": "a"},
        "needs": ["ms1mv3", "lfw", "ijbc"],
        "params": {"dataset": "ms1mv3", "benchmarks": {"ijbc-1to1": {"pick": "nearest"}}},
    },
    "imported": {
        "note": "a test",
        "params": {"trunk": "far", "heads": ["coreset"], "backbone": {"name": "ir"}},
    },
    "continued": {"note": "a test", "params": {"train": {"initial": "near"}}},
    "typing_error": {"note": "a test", "base": ["_wrong"]},
    "_wrong": {"params": {"backbone": {"dept": 50}}},
}


def git(*words: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *who, *words], check=True, capture_output=True)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    PARAMS.write_bytes((ROOT / PARAMS).read_bytes())
    for _ in range(2):  # the first time loses what the second time would
        apply_overrides(PARAMS, ["seed=0"])
    folder = Path("recipes")
    folder.mkdir()
    (folder / f"{DATA}.yaml").write_bytes((ROOT / "recipes" / f"{DATA}.yaml").read_bytes())
    for name, entry in RECIPES.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(entry, sort_keys=False))
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "start")
    return tmp_path


def run(name: str | None = None, *overrides: str, **options: Any) -> None:
    given = {"show": False, "flags": False, "available": False, "data": None} | options
    recipe.main(name, [*overrides], **given)


def params() -> dict[str, Any]:
    return parse_yaml(PARAMS.read_text(), PARAMS, "")


def comments(text: str) -> list[str]:
    return [line.partition("#")[2] for line in text.splitlines() if "#" in line]


def test_it_writes_the_keys_of_the_recipe_and_nothing_else(capsys) -> None:
    before, text = params(), PARAMS.read_text()
    run("short", "seed=3", "losses.arcface.margin=0.5")
    after = params()
    before["schedules"]["orl"]["epochs"], before["losses"]["arcface"]["margin"] = 1, 0.5
    assert after == before | {"recipe": "short", "heads": [], "seed": 3}
    changed = [line for line in PARAMS.read_text().splitlines() if line not in text.splitlines()]
    assert [line.split(":")[0].strip() for line in changed] == [
        "recipe",
        "heads",
        "seed",
        "arcface",
        "epochs",
    ]
    assert comments(PARAMS.read_text()) == comments(text)
    said = capsys.readouterr().out
    assert "schedules.orl.epochs: 24 -> 1\n" in said
    assert "seed: 0 -> 3\n" in said
    assert "dvc exp run -n short" in said


def test_the_form_is_the_one_that_dvc_writes() -> None:
    for name in ("short", "magface", "published"):
        run(name)
        text = PARAMS.read_text()
        apply_overrides(PARAMS, ["threads=2"])
        assert PARAMS.read_text() == text
        git("checkout", str(PARAMS))


def test_headings_stay_where_the_last_key_before_them_goes() -> None:
    text = PARAMS.read_text()
    run("published")
    removed = {"datasets", "benchmarks"}
    after = [line for line in PARAMS.read_text().splitlines() if line.startswith("# ")]
    assert after == [line for line in text.splitlines() if line.startswith("# ")]
    assert removed <= params().keys()


def test_a_second_recipe_starts_from_head_too() -> None:
    run("short", "seed=3")
    run("magface")
    assert (params()["recipe"], params()["seed"], params()["heads"]) == (
        "magface",
        0,
        ["scf", "coreset"],
    )
    run("magface")
    assert params()["losses"]["magface"] is None


def test_edits_of_ones_own_are_refused_by_name() -> None:
    PARAMS.write_text(PARAMS.read_text().replace("\nseed: 0", "\nseed: 7"))
    edited = PARAMS.read_text()
    for options in ({}, {"flags": True}):
        with pytest.raises(InputError, match=r"your own \(seed: 0 -> 7\).*git checkout params"):
            run("short", **options)
    run("short", show=True)
    assert PARAMS.read_text() == edited


def test_edits_on_top_of_a_recipe_are_ones_own() -> None:
    run("short")
    written = PARAMS.read_text()
    PARAMS.write_text(written.replace("\nseed: 0", "\nseed: 7"))
    with pytest.raises(InputError, match=r"edits of your own \(seed: 0 -> 7\)"):
        run("magface")
    PARAMS.write_text(f"{written}# mine\n")
    with pytest.raises(InputError, match="comments or layout"):
        run("magface")
    PARAMS.write_text(PARAMS.read_text().replace("recipe: short", "recipe: gone"))
    with pytest.raises(InputError, match=r"recipe: null -> gone"):
        run("magface")


def test_what_flags_made_of_a_recipe_is_not_ones_own(capsys) -> None:
    run("published", flags=True)
    words = capsys.readouterr().out.split()
    apply_overrides(PARAMS, [word for word in words if word != "-S"])
    run("short")
    assert params()["recipe"] == "short"


def test_a_recipe_that_was_edited_since_can_be_written_again() -> None:
    run("short", "seed=3")
    file = Path("recipes/short.yaml")
    file.write_text(file.read_text().replace("epochs: 1", "epochs: 2"))
    run("short")
    assert params()["schedules"]["orl"]["epochs"] == 2


@pytest.mark.parametrize("name", ["short", "magface", "published"])
def test_flags_are_words_without_blanks_that_dvc_turns_into_the_same_file(name, capsys) -> None:
    run(name, "seed=3", flags=True)
    line = capsys.readouterr().out
    split = 'set -- $(cat line); printf "%s\\n" "$@"'
    Path("line").write_text(line)
    words = subprocess.run(["bash", "-c", split], capture_output=True, text=True).stdout.split("\n")
    assert words[:-1] == line.split()
    assert words[0:-1:2] == ["-S"] * (len(words) // 2)
    before = PARAMS.read_text()
    apply_overrides(PARAMS, words[1:-1:2])
    flagged = params()
    PARAMS.write_text(before)
    run(name, "seed=3")
    assert params() == flagged


def test_flags_hold_no_value_that_the_shell_would_split() -> None:
    Path("with blank").mkdir()
    with pytest.raises(InputError, match=r"--flags: datasets\.ms1mv3: .*blank.*tools\.recipe pub"):
        run("published", flags=True, data="with blank")


def test_flags_of_a_refused_recipe_are_refused_by_dvc_too(capsys) -> None:
    for name in ("nothing", "typing_error"):
        with pytest.raises(InputError):
            run(name, flags=True)
        words = capsys.readouterr().out.split()
        assert words == ["--refused-by-recipe"]
    with pytest.raises(DvcParserError):
        get_main_parser().parse_args(["exp", "run", *words])


def test_show_prints_the_file_and_writes_nothing(capsys) -> None:
    before = PARAMS.read_bytes()
    run("short", show=True)
    shown = capsys.readouterr().out
    assert PARAMS.read_bytes() == before
    run("short")
    assert PARAMS.read_text() == shown


@pytest.mark.parametrize("options", [{"cost": True}, {"tflops": 0.5}])
def test_cost_prints_an_estimate_and_writes_nothing(capsys, options) -> None:
    before = PARAMS.read_bytes()
    run("short", **options)
    assert PARAMS.read_bytes() == before
    said = capsys.readouterr().out
    assert "training set: " in said
    assert f"at {'500 GFLOP/s (as stated' if options.get('tflops') else '60'}" in said


@pytest.mark.parametrize("tflops", [0.0, -1.0, float("nan"), float("inf")])
def test_a_speed_is_a_finite_number_above_0(tflops: float) -> None:
    with pytest.raises(InputError, match=r"--tflops: .* is no speed"):
        run("short", tflops=tflops)


@pytest.mark.parametrize("name", ["NPROC", "NNODES"])
@pytest.mark.parametrize("value", ["0", "-1", "1.5", "two", ""])
def test_devices_are_counted_in_whole_numbers(monkeypatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=f"{name}: '{value}' is no count"):
        run("short", cost=True)


@pytest.mark.parametrize(
    ("words", "options", "said"),
    [
        ([], {"cost": True}, "options without a recipe"),
        ([], {"flags": True}, "options without a recipe"),
        ([], {"data": "."}, "options without a recipe"),
        (["short"], {"show": True, "flags": True}, "--show and --flags each print"),
        (["short"], {"show": True, "tflops": 1.0}, "--show and --cost each print"),
        (["published"], {"data": ""}, "'': --data: not a folder"),
        (["short"], {"data": "."}, "--data: recipe short needs no published data"),
    ],
)
def test_options_that_mean_nothing_are_refused(words, options: dict, said: str) -> None:
    before = PARAMS.read_bytes()
    with pytest.raises(InputError, match=said):
        run(*words, **options)
    assert PARAMS.read_bytes() == before


def test_missing_data_are_listed_with_their_origin(capsys) -> None:
    run("published")
    said = capsys.readouterr().out
    assert "\n  data/raw/ms1mv3: put an InsightFace training pack there" in said
    assert "\n  data/raw/ijbc: " in said
    assert [*params()["datasets"]] == ["ms1mv3", "lfw", "ijbc"]
    assert params()["benchmarks"]["ijbc-1to1"]["pick"] == "nearest"
    assert " cells: btnet a btnet iresnet50 ms1mv3" in said


def test_the_origin_of_a_data_set_stands_before_that_of_its_format(capsys) -> None:
    own = {"note": "a test", "needs": ["lfw_train", "lfw_pairs", "lfw_video", "ijbc"]}
    Path("recipes/own.yaml").write_text(yaml.safe_dump(own | {"params": {"dataset": "lfw_train"}}))
    run("own")
    said = capsys.readouterr().out
    made = "write it from data/raw/lfw by `python -m docs.results.lfw_sets`"
    assert f"\n  data/raw/lfw_pairs.bin, data/raw/lfw_video: {made}\n" in said
    assert "\n  data/raw/ijbc: put " in said


@pytest.mark.parametrize(("name", "model"), [("imported", "far"), ("continued", "near")])
def test_an_absent_model_is_missing_data(name: str, model: str, capsys) -> None:
    run(name, show=True)
    assert f": {model}" in capsys.readouterr().out
    run(name, flags=True)
    assert f"={model}" in capsys.readouterr().out
    run(name)
    told = f"\n  models/{model}: import or copy it there, docs/checkpoints.md\n"
    assert told in capsys.readouterr().out
    run()
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith(name)]
    assert line.endswith(f" [models/{model}]")


def test_the_cost_of_an_absent_trunk_cannot_be_counted() -> None:
    with pytest.raises(InputError, match="--cost: trunk: models/far is absent"):
        run("imported", cost=True)


def test_absent_test_sets_are_left_out_by_name(capsys) -> None:
    Path("data/raw").mkdir(parents=True)
    Path("data/raw/lfw.bin").touch()
    run("published", available=True)
    assert "left out, since their files are absent: ijbc\n" in capsys.readouterr().out
    assert [*params()["benchmarks"]] == params()["test_sets"] == ["lfw"]
    assert [*params()["datasets"]] == ["ms1mv3", "lfw"]


def test_a_recipe_without_any_test_set_is_refused() -> None:
    with pytest.raises(InputError, match=r"published\.yaml: --available: none of .*lfw, ijbc"):
        run("published", available=True)


def test_data_may_lie_elsewhere(place, capsys) -> None:
    (place / "faces/ms1mv3").mkdir(parents=True)
    run("published", data="faces")
    assert params()["datasets"]["ms1mv3"]["root"] == f"{place}/faces/ms1mv3"
    said = capsys.readouterr().out
    assert f"\n  {place}/faces/lfw.bin: put" in said
    assert f"\n  {place}/faces/ms1mv3: put" not in said
    with pytest.raises(InputError, match="nowhere: --data: not a folder"):
        run("published", data="nowhere")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing"], r"'nothing' is none of continued, imported, magface, published, short"),
        (["_small"], r"'_small' is none of"),
        (["short", "seed"], r"KEY=VALUE: seed: not KEY=VALUE"),
        (["short", "losss.arcface=null"], r"losss is not a section.* losses"),
        (["short", "losses.arcfac.scale=1"], r"losses\.arcfac is not a .*of losses: .*arcface"),
        (["short", "sede=1"], r"sede=1: sede: unknown key.*the keys here are .*seed"),
        (["short", "losses.arcface.margn=1"], r"margn: unknown key.*scale, margin, easy"),
        (["short", "loss=a,b"], r"loss=a,b: neither several values"),
        (["short", "recipe=magface"], r"recipe=magface: the tool itself writes this key"),
        (["short", "schema=2"], r"schema=2: the tool itself writes this key"),
        (["short", "~loss"], r"~loss: not KEY=VALUE"),
        (["short", "+backbone.x=1"], r"\+backbone is not a section"),
        (["short", "seed=[1"], r"seed=\[1: cannot be read"),
        (["typing_error"], r"_wrong\.yaml: backbone\.dept: unknown key.*depth"),
    ],
)
def test_what_is_wrong_is_named_and_the_file_stays(words: list[str], said: str) -> None:
    before = PARAMS.read_bytes()
    with pytest.raises(InputError, match=said):
        run(*words)
    assert PARAMS.read_bytes() == before


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("{paper: nope}", r"one\.yaml: reproduces: .* selects no row"),
        ("{papr: scf}", r"one\.yaml: reproduces: 'papr' is not a column"),
        ("{paper: [scf, nope]}", r"one\.yaml: reproduces: no row .* has nope as paper"),
    ],
)
@pytest.mark.parametrize("option", [{}, {"show": True}, {"flags": True}])
def test_rows_that_there_are_not_are_refused_first(rows: str, said: str, option: dict) -> None:
    before = PARAMS.read_bytes()
    Path("recipes/one.yaml").write_text(f"reproduces: {rows}\n")
    with pytest.raises(InputError, match=said):
        run("one", **option)
    assert PARAMS.read_bytes() == before


@pytest.mark.parametrize(
    ("params", "key"),
    [
        ({"datasets": {"orl": None}}, r"datasets\.orl"),
        ({"datasets": None}, "datasets"),
        ({"benchmarks": {"orl_pairs": None}}, r"benchmarks\.orl_pairs"),
        ({"datasets": {"orl": {"root": None}}}, r"datasets\.orl\.root"),
        ({"datasets": {"new": {"format": "bin"}}}, r"datasets\.new\.root"),
    ],
)
@pytest.mark.parametrize("available", [False, True])
def test_an_entry_that_is_none_is_named_with_its_file(params, key: str, available: bool) -> None:
    Path("recipes/one.yaml").write_text(yaml.safe_dump({"note": "a test", "params": params}))
    with pytest.raises(InputError, match=rf"recipes/one\.yaml: {key}: "):
        run("one", available=available)
    run()


@pytest.mark.parametrize("content", [b"", b"- a\n", b"seed: \xff\n", None])
def test_a_file_that_holds_no_parameters_is_named(content: bytes | None, capsys) -> None:
    PARAMS.unlink()
    if content is None:
        PARAMS.mkdir()
    else:
        PARAMS.write_bytes(content)
    said = r"params\.yaml: (line 1: )?(not a mapping|is not UTF-8|is a folder).*git checkout"
    for words, options in ((["short"], {}), (["short"], {"flags": True}), ([], {})):
        with pytest.raises(InputError, match=said):
            run(*words, **options)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not a mapping"),
        ("- a\n", "not a mapping"),
        ("seed: 0\n", r"schema: is old: .*run python -m stages\.tools\.migrate, then commit"),
    ],
)
def test_a_commit_that_recipes_cannot_start_from_is_named(content: str, said: str) -> None:
    good = PARAMS.read_text()
    PARAMS.write_text(content)
    git("commit", "-qam", "other")
    for now in (content, good):
        PARAMS.write_text(now)
        with pytest.raises(InputError, match=rf"params\.yaml at HEAD: {said}"):
            run("short")


def test_values_are_read_as_by_dvc() -> None:
    run("short", "backbone.flavour='magface'", "resolutions=[28,7]", "losses.arcface={scale:8}")
    assert params()["backbone"]["flavour"] == "magface"
    assert params()["resolutions"] == [28, 7]
    assert params()["losses"]["arcface"] == {"scale": 8}


def test_without_a_commit_there_is_nothing_to_start_from(tmp_path, monkeypatch) -> None:
    (tmp_path / "bare").mkdir()
    monkeypatch.chdir(tmp_path / "bare")
    with pytest.raises(InputError, match="not found at HEAD"):
        run("short")


def test_head_with_a_recipe_is_pointed_out(capsys) -> None:
    run("short")
    git("commit", "-qam", "short")
    run("magface")
    assert "HEAD's params.yaml holds recipe short; this is on top of it" in capsys.readouterr().err


def test_the_list_says_what_there_is_and_what_is_absent(capsys) -> None:
    Path("data/raw").mkdir(parents=True)
    Path("data/raw/lfw.bin").touch()
    (Path("recipes") / "broken.yaml").write_text("nots: 1\n")
    (Path("recipes") / "rowless.yaml").write_text("reproduces: {paper: nope}\n")
    run()
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["published"].endswith("  [ms1mv3] lfw [ijbc]")
    assert "btnet a btnet iresnet50 ms1mv3" in lines["published"]
    assert lines["short"].endswith("  embedded faces")
    assert "own: a test" in lines["short"]
    assert "nots: unknown key" in lines["broken"]
    assert "{'paper': ['nope']} selects no row" in lines["rowless"]
    assert "_small" not in lines


def test_options_may_stand_anywhere_on_the_command_line() -> None:
    command = [sys.executable, "-m", "stages.tools.recipe"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for words in (["short", "--flags", "seed=3"], ["--flags", "short", "seed=3"]):
        told = subprocess.run([*command, *words], capture_output=True, text=True, env=environment)
        assert "-S seed=3" in told.stdout, told.stderr
    told = subprocess.run([*command, "nothing"], capture_output=True, text=True, env=environment)
    assert told.returncode == 1
    assert told.stderr.startswith("stages.tools.recipe: recipes: recipe: 'nothing' is none of")


def test_a_reader_that_wants_no_more_ends_it_without_a_traceback() -> None:
    command = f"{sys.executable} -m stages.tools.recipe | sleep 0"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    told = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, env=environment, check=True
    )
    assert told.stderr == ""
