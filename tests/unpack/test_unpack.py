"""The stage: every format becomes the same kind of image set, bytes untouched."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from stages.core.errors import InputError
from stages.core.index import read_table
from stages.datasets._rec import Writer, pack
from stages.datasets._store import ImageStore
from stages.evaluate.__main__ import read_tables
from stages.unpack.__main__ import main
from tests.datasets.samples import READERS, jpeg, write
from tests.datasets.test_ijb import release
from tests.datasets.test_survface import data_set

SETS = {
    "pack": {"format": "recordio", "root": "raw/pack", "align": "detect"},
    "pairs": {"format": "bin", "root": "raw/pairs.bin", "align": "none"},
    "people": {"format": "folder", "root": "raw/people", "align": "none", "part": "all"},
    "listed": {"format": "list", "root": "raw/train.list", "align": "none"},
    "templates": {"format": "ijb", "root": "raw/ijb", "align": "landmarks"},
    "watch": {"format": "survface", "root": "raw/survface", "align": "none"},
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one image set of every format."""
    monkeypatch.chdir(tmp_path)
    raw = tmp_path / "raw"
    (raw / "pack").mkdir(parents=True)
    with Writer(raw / "pack" / "train.rec", raw / "pack" / "train.idx") as writer:
        writer.write(0, pack(2, [4, 4], 0, 0, b""))
        for n in range(1, 4):
            writer.write(n, pack(0, n % 2, n, 0, jpeg(n)))
    (raw / "pack" / "property").write_text("2,12,16")
    images = [jpeg(n) for n in (0, 1, 0, 2)]
    write(raw / "pairs.bin", pickle.dumps((images, [False, True])))
    for n in range(4):
        write(raw / "people" / f"person {n // 2}" / f"{n}.jpg", jpeg(n))
    write(raw / "train.list", "survface/Face_Identification_Test_Set/gallery/a.jpg 0 3 0\n")
    release(raw / "ijb")
    data_set(raw / "survface")
    settings(tmp_path)
    return tmp_path


def settings(project: Path, **unpack: str) -> None:
    text = yaml.safe_dump({"unpack": unpack, "datasets": SETS})
    (project / "params.yaml").write_text(text)


def tree(folder: Path) -> dict[str, bytes]:
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@pytest.mark.parametrize(
    ("name", "count", "tables"),
    [
        ("pack", 3, set()),
        ("pairs", 3, {"pairs"}),
        ("people", 4, set()),
        ("listed", 1, set()),
        ("templates", 4, {"templates", "template_pairs", "galleries", "probes"}),
        ("watch", 7, {"surveillance"}),
    ],
)
def test_every_format(project: Path, name: str, count: int, tables: set[str]) -> None:
    main(name)
    folder = project / "data" / "unpack" / name
    store = ImageStore(folder)
    assert len(store) == count
    raw = b"".join(tree(project / "raw").values())
    assert all(bytes(store.encoded(row)) in raw for row in range(count))
    assert {file.stem for file in folder.glob("tables/*")} == (tables or {"none"})
    for table in tables:
        columns = read_table(folder / "tables" / f"{table}.parquet")
        assert len({len(column) for column in columns.values()}) == 1
        for column in {"record", "first", "second"} & columns.keys():
            if table != "template_pairs":
                assert columns[column].max() < count


def test_a_pack(project: Path) -> None:
    main("pack")
    store = ImageStore(project / "data" / "unpack" / "pack")
    assert store.index.label.tolist() == [1, 0, 1]
    assert store.index.source.tolist() == ["record 1", "record 2", "record 3"]
    assert [bytes(store.encoded(row)) for row in range(3)] == [jpeg(n) for n in (1, 2, 3)]


def test_types_of_the_tables(project: Path) -> None:
    for name in SETS:
        main(name)
    folder = project / "data" / "unpack"
    pairs = read_table(folder / "pairs" / "tables" / "pairs.parquet")
    assert {name: c.dtype.name for name, c in pairs.items()} == {
        "first": "int64",
        "second": "int64",
        "same": "bool",
    }
    assert pairs["first"].tolist() == [0, 0]
    templates = read_table(folder / "templates" / "tables" / "templates.parquet")
    assert templates["score"].dtype == np.float32
    assert templates["media"].dtype == np.int64
    galleries = read_table(folder / "templates" / "tables" / "galleries.parquet")
    assert galleries["gallery"].tolist() == ["G1", "G2"]
    roles = read_table(folder / "watch" / "tables" / "surveillance.parquet")["role"]
    assert set(roles) == {"gallery", "mated", "unmated"}
    landmarks = ImageStore(folder / "templates").index.landmarks
    assert landmarks[:, 0].tolist() == [30.5, 31.5, 32.5, 33.5]


def test_a_list_that_the_vendor_ships_and_the_set_lacks_is_named_by_its_file(
    project: Path,
) -> None:
    (project / "raw/ijb/meta/ijbc_1N_probe_mixed.csv").unlink()
    main("templates")
    tables = read_tables(project / "data/unpack/templates/tables")
    with pytest.raises(InputError) as caught:
        tables["probes"]
    assert caught.value.file == "raw/ijb/meta/*_1N_probe_mixed.csv"
    assert "the list probes" in caught.value.problem
    assert "insightface" in caught.value.remedy
    with pytest.raises(InputError, match="pairs.parquet: this set has no such list"):
        tables["pairs"]


@pytest.mark.parametrize("reader", READERS)
def test_readers_give_the_same_bytes(project: Path, reader: str) -> None:
    main("pack")
    first = tree(project / "data" / "unpack" / "pack")
    settings(project, reader=reader)
    main("pack")
    assert tree(project / "data" / "unpack" / "pack") == first


def test_what_was_there_is_replaced_and_kept_on_failure(project: Path) -> None:
    write(project / "data" / "unpack" / "pairs" / "stale", "")
    main("pairs")
    whole = tree(project / "data" / "unpack" / "pairs")
    assert "stale" not in whole
    bad = ([jpeg(0), b"no image", jpeg(0), jpeg(2)], [False, True])
    write(project / "raw" / "pairs.bin", pickle.dumps(bad))
    with pytest.raises(InputError) as caught:
        main("pairs")
    assert caught.value.record == "image 1"
    assert caught.value.file == "raw/pairs.bin"
    assert tree(project / "data" / "unpack" / "pairs") == whole
    assert sorted(p.name for p in (project / "data" / "unpack").iterdir()) == ["pairs"]


def test_a_record_that_is_no_jpeg_is_named(project: Path) -> None:
    with Writer(project / "raw/pack/train.rec", project / "raw/pack/train.idx") as writer:
        writer.write(0, pack(0, 0, 0, 0, jpeg(0)))
        writer.write(1, pack(0, 1, 1, 0, b"GIF89a, no JPEG"))
    with pytest.raises(InputError) as caught:
        main("pack")
    assert caught.value.record == "record 1"
    assert caught.value.file == "raw/pack"
    assert "not a JPEG or PNG image" in caught.value.problem


@pytest.mark.parametrize(
    ("entry", "key", "problem"),
    [
        (None, "datasets.pack", "no such section"),
        ({"format": "zip", "root": "raw", "align": "none"}, "datasets.pack.format", "is none of"),
        ({"root": "raw", "align": "none"}, "datasets.pack.format", "required"),
        ({**SETS["people"], "parts": 1}, "datasets.pack.parts", "unknown key"),
        ({**SETS["pack"], "part": "all"}, "datasets.pack.part", "unknown key"),
    ],
)
def test_wrong_params_are_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, entry: dict | None, key: str, problem: str
) -> None:
    monkeypatch.setitem(SETS, "pack", entry)
    settings(project)
    with pytest.raises(InputError) as caught:
        main("pack")
    assert (caught.value.file, caught.value.record) == ("params.yaml", key)
    assert problem in caught.value.problem


@pytest.mark.parametrize("name", SETS)
def test_a_missing_root_says_what_belongs_there(project: Path, name: str) -> None:
    (project / "raw").rename(project / "elsewhere")
    with pytest.raises(InputError) as caught:
        main(name)
    assert caught.value.file.startswith("raw/")
    assert "there" in caught.value.remedy
    assert not (project / "data").exists() or not list((project / "data" / "unpack").iterdir())


def test_a_set_without_images(project: Path) -> None:
    with Writer(project / "raw/pack/train.rec", project / "raw/pack/train.idx") as writer:
        writer.write(0, pack(2, [1, 1], 0, 0, b""))
    with pytest.raises(InputError, match="holds no image"):
        main("pack")


def test_on_the_command_line(project: Path) -> None:
    """Progress on stderr, nothing on stdout; one line and status 1 for bad input."""
    done = run("-m", "stages.unpack", "people")
    assert (done.returncode, done.stdout) == (0, "")
    assert "4/4" in done.stderr
    failed = run("-m", "stages.unpack", "nobody")
    assert failed.returncode == 1
    assert failed.stderr.count("\n") == 1
    assert "datasets.nobody" in failed.stderr


def test_start_up_is_light() -> None:
    loaded = run("-c", "import sys, stages.unpack.__main__; print(*sys.modules)").stdout.split()
    assert "numpy" in loaded
    assert not {"torch", "pandas", "sklearn", "scipy", "mxnet", "cv2", "PIL"} & set(loaded)


def run(*arguments: str) -> subprocess.CompletedProcess:
    environment = {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment)
