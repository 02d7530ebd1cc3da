"""The stage on a made-up project: what it reads, what it writes, what it refuses."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from stages.core.errors import InputError
from stages.core.index import write_index, write_table
from stages.evaluate.__main__ import main
from tests.protocols import made

ROOT = Path(__file__).resolve().parents[2]
RESOLUTIONS = [28, 7]
PEOPLE, IMAGES = 8, 6
PERSON = np.repeat(np.arange(PEOPLE), IMAGES)
BRANCHES = [f"trunk/{k}_{r}" for k in ("branch", "upsampled") for r in RESOLUTIONS]
MODELS = ["trunk", "pixels", *BRANCHES]
PARAMS = {
    "dataset": "people",
    "resolutions": RESOLUTIONS,
    "heads": ["scf"],
    "evaluate": {"bootstrap": 100},
    "benchmarks": {
        "pack": {"protocol": "pairs", "dataset": "pack", "folds": 5},
        "every": {"protocol": "all_pairs", "dataset": "ijb"},
        "one": {"protocol": "templates", "dataset": "ijb"},
        "many": {"protocol": "identification", "dataset": "ijb", "ranks": [1]},
        "cameras": {"protocol": "surveillance", "dataset": "cameras"},
        "trust": {"protocol": "quality", "dataset": "pack"},
        "tiny": {"protocol": "lowres", "dataset": "cameras"},
        "mega": {"protocol": "distractors", "dataset": "cameras", "sizes": [10], "far": [0.01]},
    },
}
SETTINGS = ["112&112", "112&28", "112&7", "28&28", "7&7"]
PAIR_CURVES = ["det", "failures", "hardest", "roc", "scores"]
UPSAMPLED = [f"upsampled {row}" for row in SETTINGS[1:]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml, three image sets of eight people, and their features."""
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path)
    random = np.random.default_rng(0)
    count = len(PERSON)
    width, height = random.integers(4, 130, (2, count))
    for image_set in ("pack", "ijb", "cameras"):
        index = made.index(count, width=width, height=height)
        write_index(tmp_path / f"data/align/{image_set}/index.parquet", index)
        for model in MODELS:
            noise = 3.0 if model == "pixels" else 0.9
            write_features(tmp_path / "data/features" / image_set / model, random, noise)
        head = tmp_path / "data/features" / image_set / "heads/scf"
        head.mkdir(parents=True)
        for name in ("kappa", *(f"kappa_{r}" for r in RESOLUTIONS)):
            np.save(head / f"{name}.npy", random.uniform(1, 9, count).astype(np.float32))
        np.save(head / "descriptor_kappa.npy", made.faces(random, PERSON[::2], 0.9))
        np.save(head / "fused_kappa.npy", np.append(0, random.uniform(1, 9, count // 2 - 1)))
        for name, columns in lists(image_set, random).items():
            write_table(tmp_path / f"data/unpack/{image_set}/tables/{name}.parquet", columns)
    return tmp_path


def write_params(folder: Path, **changes) -> None:
    (folder / "params.yaml").write_text(yaml.safe_dump(PARAMS | changes))


def write_features(folder: Path, random: np.random.Generator, noise: float) -> None:
    folder.mkdir(parents=True)
    arrays = {name: made.faces(random, PERSON, noise) for name in ("embedding", "mirrored")}
    arrays["norm"] = np.linalg.norm(arrays["embedding"], axis=1)
    for name in ("mean", "norm"):
        arrays[f"descriptor_{name}"] = made.faces(random, PERSON[::2], noise)
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values.astype(np.float32))


def lists(image_set: str, random: np.random.Generator) -> dict[str, dict[str, np.ndarray]]:
    count = len(PERSON)
    first, second = random.integers(0, count, (2, 100))
    if image_set == "pack":
        same = PERSON[first] == PERSON[second]
        return {"pairs": {"first": first, "second": second, "same": same}}
    if image_set == "cameras":
        shot = np.arange(count) % IMAGES
        role = np.where(PERSON >= 5, "unmated", np.where(shot < 2, "gallery", "mated"))
        subject = np.where(PERSON >= 5, -1, PERSON)
        lists = {"surveillance": {"record": np.arange(count), "role": role, "subject": subject}}
        for name, known in (("lowres", ["gallery", "probe"]), ("distractors", ["probe"] * 2)):
            role = np.where(PERSON >= 5, "distractor", np.where(shot < 3, *known))
            lists[name] = {"record": np.arange(count), "role": role, "subject": subject}
        return lists
    template, person = np.arange(count // 2) + 5, PERSON[::2]  # two images each, three a person
    enrolled = np.arange(len(template)) % 3 == 0
    left, right = first % len(template), second % len(template)
    return {
        "templates": {"record": np.arange(count), "template": np.repeat(template, 2),
                      "media": np.zeros(count, int), "score": np.ones(count, np.float32)},
        "template_pairs": {"first": left + 5, "second": right + 5,
                           "same": person[left] == person[right]},
        "galleries": {"gallery": np.where(person[enrolled] % 2, "G2", "G1"),
                      "template": template[enrolled], "subject": person[enrolled]},
        "probes": {"template": template[~enrolled], "subject": person[~enrolled]},
    }  # fmt: skip


def metrics(benchmark: str, kind: str = "json", *beside: str) -> dict:
    content = json.loads(Path(f"metrics/evaluate/{benchmark}.{kind}").read_text())
    assert set(content) == {benchmark, *beside}
    return content[benchmark]


@pytest.mark.parametrize(
    ("benchmark", "rows", "names", "curves"),
    [
        ("pack", [*SETTINGS, *UPSAMPLED, "pixels"], ["accuracy", "auc", "eer", "tar@far=1e-1",
         "val@far=1e-3", "val_std@far=1e-3"], PAIR_CURVES),
        ("every", [*SETTINGS, *UPSAMPLED, "pixels"], ["auc", "eer", "tar@far=1e-1"],
         PAIR_CURVES),
        ("one", ["mean", "norm", "kappa", *SETTINGS, *UPSAMPLED], ["auc", "eer", "tar@far=1e-1"],
         PAIR_CURVES),
        ("many", ["mean", "norm", "kappa", *SETTINGS, *UPSAMPLED], ["rank1"], ["cmc", "open_set"]),
        ("cameras", ["trunk", "max+ceil", "avg+floor"], ["auc", "tpir20@fpir=0.1"], ["open_set"]),
        ("tiny", [*SETTINGS, *UPSAMPLED, "pixels"], ["rank1", "rank5", "rank20"], ["cmc"]),
        ("mega", [*SETTINGS, *UPSAMPLED, "pixels"], ["rank1@n=10", "rank1@n=18", "tar@far=1e-2"],
         ["cmc"]),
        ("trust", ["kappa", "norm"], ["auc@px=28", "auc@px=7", "fnmr@discard=0"], ["edc"]),
    ],
)  # fmt: skip
def test_every_protocol(project, benchmark, rows, names, curves) -> None:
    main(benchmark)
    values = metrics(benchmark)
    assert set(rows) <= set(values)
    if benchmark != "cameras":
        assert set(values) == set(rows)
    intervals = metrics(benchmark, "intervals.json", "provenance")
    for row, cells in values.items():
        assert set(names) <= set(cells)
        assert set(intervals[row]) == set(cells)
        for name, value in cells.items():
            cell = intervals[row][name]
            assert set(cell) == {"value", "low", "high", "count", "method"}
            assert cell["value"] == value
            lowest = -1 if name.startswith("gain") else 0  # discarding may do worse than chance
            assert lowest <= cell["low"] <= value <= cell["high"] <= 1
    folder = Path("plots/evaluate") / benchmark
    assert sorted(file.stem for file in folder.iterdir()) == curves
    for kind in curves:
        with (folder / f"{kind}.csv").open() as file:
            table = list(csv.DictReader(file))
        assert set(rows) <= {line["row"] for line in table} or kind == "failures"


def test_replicates_and_provenance_lie_beside_the_numbers(project) -> None:
    for benchmark, folds in (("every", False), ("pack", True)):
        main(benchmark)
        cells = metrics(benchmark)
        with np.load(f"metrics/evaluate/{benchmark}.replicates.npz") as file:
            about = json.loads(str(file["about"]))
            assert set(file.files) - {"about"} == set(about["drawn"])
            assert set(about["drawn"]) == {f"{r}/{m}" for r, c in cells.items() for m in c}
            keys = {}
            for cell, (key, _, in_folds) in about["drawn"].items():
                keys.setdefault(in_folds, set()).add(key)
                metric = cell.rpartition("/")[2]
                assert in_folds == (metric == "accuracy" or metric.startswith("val_std@"))
            assert list(map(len, keys.values())) == [1] * (1 + folds)  # rows redraw the same people
            name = "112&7/accuracy" if folds else "112&7/auc"
            assert file[name].shape == (5 if folds else 100,)
            row, metric = name.split("/")
            assert np.mean(file[name]) == pytest.approx(cells[row][metric], abs=0.05)
        given = json.loads(Path(f"metrics/evaluate/{benchmark}.intervals.json").read_text())
        assert given["provenance"] == about["provenance"]
    index = hashlib.sha256(Path("data/align/pack/index.parquet").read_bytes()).hexdigest()
    assert about["provenance"]["images"] == f"pack, index sha256 {index}"
    assert about["provenance"]["options"]["folds"] == 5
    assert set(about["provenance"]["lists"]) == {"pairs"}


def test_columns_have_the_names_of_the_field(project) -> None:
    for benchmark in ("pack", "many"):
        main(benchmark)
    heads = {
        file.stem: file.read_text().splitlines()[0]
        for file in Path("plots/evaluate").glob("*/*.csv")
    }
    assert heads == {
        "roc": "row,fmr,tmr",
        "det": "row,fmr,fnmr",
        "scores": "row,score,kind,count",
        "hardest": "row,kind,score,first,second",
        "failures": "row,person,missed,pairs,image",
        "cmc": "row,rank,rate",
        "open_set": "row,fpir,tpir",
    }


def test_equal_inputs_give_equal_bytes_in_sorted_order(project) -> None:
    files = []
    for _ in range(2):
        main("every")
        files.append({
            path: path.read_bytes() for folder in ("metrics", "plots")
            for path in sorted(Path(folder).rglob("*.*"))
        })  # fmt: skip
    assert files[0] == files[1]
    text = Path("metrics/evaluate/every.json").read_text()
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"
    values = [value for cells in metrics("every").values() for value in cells.values()]
    assert all(value == round(value, 6) for value in values)


def test_the_lists_in_params_decide_not_the_folders(project) -> None:
    """Features of a resolution or head that was taken out of the lists are not scored."""
    write_params(project, resolutions=[7], heads=[], evaluate={"baselines": ["pixels"]})
    main("one")
    assert set(metrics("one")) == {"mean", "norm", "112&112", "112&7", "7&7"}
    main("trust")
    assert set(metrics("trust")) == {"norm"}
    write_params(project, evaluate={"settings": ["112&7"], "descriptors": ["norm"]})
    main("one")
    assert set(metrics("one")) == {"norm", "112&7", "upsampled 112&7"}


def test_the_second_head_has_its_name_in_its_row(project) -> None:
    features = project / "data/features/ijb"
    (features / "heads/pfe").mkdir()
    for name in ("kappa", "descriptor_kappa"):
        array = np.load(features / f"heads/scf/{name}.npy")
        np.save(features / f"heads/pfe/{name}.npy", array[::-1])
    write_params(project, heads=["scf", "pfe"])
    main("one")
    assert {"kappa", "kappa pfe"} <= set(metrics("one"))


@pytest.mark.parametrize("confidence", ["kappa", "sigma2"])
def test_the_likelihood_score_of_a_head_is_a_row(project, confidence: str) -> None:
    for image_set in ("pack", "ijb"):
        head = project / "data/features" / image_set / "heads/scf"
        if confidence == "sigma2":
            sigma2 = 1 / np.load(head / "kappa.npy")
            np.save(head / "sigma2.npy", np.repeat(sigma2[:, None], 16, axis=1))
            fused = sigma2[: len(PERSON) // 2, None]
            np.save(head / "fused_sigma2.npy", fused.astype(np.float32))
            (head / "descriptor_kappa.npy").rename(head / "descriptor_precision.npy")
            (head / "kappa.npy").unlink()
    write_params(project, evaluate={"bootstrap": 100, "likelihoods": ["scf", "unlisted"]})
    for benchmark, metric in (("pack", "accuracy"), ("one", "auc")):
        main(benchmark)
        cells = metrics(benchmark)
        assert 0.5 < cells["likelihood scf"][metric] <= 1
        assert not [row for row in cells if "unlisted" in row]


def test_a_head_without_confidence_has_no_likelihood(project) -> None:
    (project / "data/features/pack/heads/scf/kappa.npy").unlink()
    write_params(project, evaluate={"likelihoods": ["scf"]})
    with pytest.raises(InputError, match="neither kappa nor sigma2 is there"):
        main("pack")


def test_fused_rows_sum_the_embedding_and_the_other_model_s_mirror_image(project) -> None:
    one = {"protocol": "templates", "dataset": "ijb", "fused": True}
    descriptors = {"mean": {}, "norm": {}}
    write_params(project, benchmarks={"one": one}, descriptors=descriptors)
    main("one")
    fused = metrics("one")
    settings = {"mean": {"flip": False}}
    write_params(project, benchmarks={"one": one}, descriptors=settings)
    with pytest.raises(InputError, match="which `flip: false` drops"):
        main("one")
    write_params(project)
    main("one")
    apart = metrics("one")
    assert fused["112&112"] == apart["112&112"]
    assert fused["112&7"] != apart["112&7"]


def test_a_missing_or_unfit_array_is_named(project) -> None:
    path = project / "data/features/pack/trunk/branch_7/mirrored.npy"
    array = np.load(path)
    np.save(path, array[:-1])
    with pytest.raises(InputError, match=r"branch_7/mirrored.npy: 47 rows, not 48. Remedy: run"):
        main("pack")
    array[3, 2] = np.nan
    np.save(path, array)
    with pytest.raises(InputError, match=r"mirrored.npy: holds values that are not finite"):
        main("pack")
    path.unlink()
    with pytest.raises(InputError, match=r"mirrored.npy: file not found. Remedy: run the stage"):
        main("pack")
    assert not Path("metrics").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"evaluate": {"settings": ["112-7"]}}, "evaluate.settings.0"),
        ({"evaluate": {"descriptors": ["median"]}}, "'median' is none of "),
        ({"evaluate": {"bootstraps": 5}}, "evaluate.bootstraps: unknown key"),
        ({"benchmarks": {"one": {"protocol": "templates", "dataset": "ijb", "x": 1}}},
         "benchmarks.one.x: unknown key"),
        ({"benchmarks": {"one": {"protocol": "temples", "dataset": "ijb"}}},
         "'temples' is none of all_pairs, "),
        ({"benchmarks": {}}, "benchmarks.one: no such entry"),
    ],
)  # fmt: skip
def test_wrong_settings_are_named(project, changes, message) -> None:
    write_params(project, **changes)
    with pytest.raises(InputError) as fault:
        main("one")
    assert message in str(fault.value)


@pytest.mark.parametrize(
    ("benchmark", "changes"),
    [
        ("many", {"benchmarks": {"many": {"protocol": "identification", "dataset": "ijb",
                                          "ranks": [500], "fpir": [1e-5]}}}),
        ("pack", {"evaluate": {"settings": [], "baselines": []}}),
    ],
)  # fmt: skip
def test_a_benchmark_that_gives_no_number_is_refused(project, benchmark, changes) -> None:
    write_params(project, **changes)
    with pytest.raises(InputError, match=r"gives no number.*evaluate\.settings"):
        main(benchmark)
    assert not Path("metrics").exists()


def test_the_command_says_one_line_and_loads_no_network_library(project) -> None:
    code = "import sys; from stages.evaluate.__main__ import main; main('pack'); "
    code += "print({'torch', 'sklearn', 'scipy'} & set(sys.modules))"
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout == "set()\n"
    (project / "data/align/pack/index.parquet").unlink()
    run = subprocess.run(
        [sys.executable, "-m", "stages.evaluate", "pack"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    assert "data/align/pack/index.parquet: file not found" in run.stderr
