"""Lists that are text: IJB's, MagFace's, MegaFace's, and features as MagFace writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random

import numpy as np

from faults._cases import (
    BOMBS,
    COUNTS,
    FLIPS,
    MAGIC,
    PICKLES,
    SIZES,
    TRAVERSAL,
    TRUNCATION,
    Case,
    Damage,
    Format,
    becomes,
    digest_of,
    hostile_pickles,
)
from faults.formats._sets import describe, picture, read_set
from stages.datasets._features import read_features
from tests.datasets.test_ijb import release

LINE = r"line \d+"
IMAGES = 6
PATHS = ("../../secret.jpg", "/etc/passwd", "a/../../../x.jpg", "nowhere.jpg", "\0.jpg")
META = "ijb/meta/ijbc_"


def make_ijb(folder: Path, damaged: str) -> Path:
    describe(folder, "ijb", "ijb")
    release(folder / "ijb")
    return folder / f"{META}{damaged}"


def with_word(file: Path, row: int, column: int, word: str, delimiter: str = " ") -> Damage:
    """Another word in a line (from 0)."""
    lines = file.read_text().splitlines()
    words = lines[row].split(delimiter)
    words[column] = word
    changed = [*lines[:row], delimiter.join(words), *lines[row + 1 :]]
    return becomes("\n".join(changed) + "\n")


def table_cases(
    file: Path, numbers: dict[int, str], row: int, delimiter: str = " "
) -> Iterator[Case]:
    """Faults of any table: `numbers` are columns of numbers, `row` is the line that is damaged."""
    lines = file.read_text().splitlines()
    record = f"line {row + 1}"
    less = delimiter.join(lines[row].split(delimiter)[:-1])
    join = "\n".join
    yield Case(
        COUNTS, "a column less", becomes(join([*lines[:row], less, *lines[row + 1 :]])), record
    )
    more = lines[row] + delimiter + "3"
    yield Case(
        COUNTS, "a column more", becomes(join([*lines[:row], more, *lines[row + 1 :]])), record
    )
    yield Case(COUNTS, "no lines", becomes(""))
    yield Case(COUNTS, "empty lines alone", becomes("\n" * 100))
    for column in numbers:
        for value in (
            "",
            "nan!",
            "1e999x",
            "0x10",
            "9" * 400,
            "1,5" if delimiter == " " else "1 5",
        ):
            damage = with_word(file, row, column, value, delimiter)
            yield Case(SIZES, f"{value[:8]!r} for {numbers[column]}", damage, LINE)
    yield Case(BOMBS, "a line of eight megabytes", becomes(join([*lines, "x" * (8 << 20)])))
    yield Case(BOMBS, "a million columns", becomes((f"1{delimiter}" * 10**6) + "1\n"))
    yield Case(BOMBS, "eight megabytes of line ends", becomes("\n" * (8 << 20)))
    for number, content in enumerate(hostile_pickles()[:6]):
        damage = with_word(file, row, 0, content.decode("latin1").replace("\n", ""), delimiter)
        yield Case(PICKLES, f"pickle {number} in a line", damage)


def points_cases(file: Path, draw: Random) -> Iterator[Case]:
    for path in PATHS:
        yield Case(TRAVERSAL, f"{path!r}", with_word(file, 2, 0, path), LINE)
    doubled = with_word(file, 2, 0, "1.jpg")
    yield Case(COUNTS, "an image twice", doubled, "line 1")
    yield from table_cases(file, {1: "a landmark", 11: "a score"}, 2)


def members_cases(file: Path, draw: Random) -> Iterator[Case]:
    for path in PATHS:
        yield Case(TRAVERSAL, f"{path!r}", with_word(file, 2, 0, path), "line 3")
    yield from table_cases(file, {1: "a template", 2: "a medium"}, 2)


def gallery_cases(file: Path, draw: Random) -> Iterator[Case]:
    for value in ("12345", "-1"):
        yield Case(TRAVERSAL, f"template {value}", with_word(file, 2, 0, value, ","), "line 3")
    yield Case(TRAVERSAL, "a second subject", with_word(file, 2, 1, "77", ","), "line 3")
    yield from table_cases(file, {0: "a template", 1: "a subject"}, 2, ",")


def make_list(folder: Path) -> Path:
    describe(folder, "list", "list.txt", images="images")
    (folder / "images").mkdir()
    for number in range(IMAGES):
        (folder / f"images/{number}.jpg").write_bytes(picture(number))
    file = folder / "list.txt"
    file.write_text("".join(f"{number}.jpg 0 {number // 2} 0\n" for number in range(IMAGES)))
    return file


def list_cases(file: Path, draw: Random) -> Iterator[Case]:
    for path in PATHS:
        yield Case(TRAVERSAL, f"{path!r}", with_word(file, 2, 0, path), "line 3")
    for value in ("-1", "1.5", "x", "9" * 400, "\N{SUPERSCRIPT TWO}"):
        yield Case(SIZES, f"label {value[:8]!r}", with_word(file, 2, 2, value), "line 3")
    lines = file.read_text().splitlines()
    yield Case(COUNTS, "a word less", becomes("\n".join([*lines, "5.jpg 0 1"])), "line 7")
    yield Case(COUNTS, "a word more", becomes("\n".join([*lines, "5.jpg 0 1 0 0"])), "line 7")
    yield Case(COUNTS, "no lines", becomes(""))
    yield Case(COUNTS, "empty lines alone", becomes("\n" * 100))
    yield Case(BOMBS, "a line of eight megabytes", becomes("x" * (8 << 20)), "line 1")
    yield Case(BOMBS, "a million columns", becomes("1 " * 10**6), "line 1")
    yield Case(BOMBS, "a label of a million digits", with_word(file, 2, 2, "9" * 10**6), "line 3")
    yield Case(BOMBS, "eight megabytes of line ends", becomes("\n" * (8 << 20)))


def make_megaface(folder: Path) -> Path:
    describe(folder, "megaface", "megaface", clean=False, distractors="megaface.json")
    root = folder / "megaface"
    for part in ("facescrub", "megaface"):
        (root / f"{part}_images/someone").mkdir(parents=True)
        for number in range(3):
            (root / f"{part}_images/someone/{number}.jpg").write_bytes(picture(number))
    paths = [f"someone/{number}.jpg" for number in range(3)]
    (root / "facescrub_lst").write_text("\n".join(paths))
    file = root / "megaface.json"
    file.write_text(json.dumps({"path": paths}))
    return file


def json_cases(file: Path, draw: Random) -> Iterator[Case]:
    paths = json.loads(file.read_text())["path"]
    for path in PATHS:
        damage = becomes(json.dumps({"path": [paths[0], path, paths[2]]}))
        yield Case(TRAVERSAL, f"{path!r}", damage, "entry 2")
    for name, value in {
        "no paths": {"path": []},
        "no list": {"path": "someone/0.jpg"},
        "a list of lists": {"path": [[]]},
        "numbers": {"path": [1]},
        "another key": {"paths": paths},
        "empty names": {"path": [""]},
        "null": {"path": None},
    }.items():
        yield Case(COUNTS, name, becomes(json.dumps(value)))
    for text in ('{"path": ["a', '{"path": 1e999999}', '{"path": [1' + "0" * 5000 + "]}", "{}x"):
        yield Case(SIZES, f"{text[:14]}", becomes(text))
    yield Case(BOMBS, "a million brackets", becomes('{"path": ' + "[" * 10**6))
    yield Case(BOMBS, "a million objects", becomes('{"a":' * 10**6))
    yield Case(
        BOMBS,
        "a name of eight megabytes",
        becomes(json.dumps({"path": ["x" * (8 << 20)]})),
        "entry 1",
    )
    yield Case(BOMBS, "eight megabytes of line ends", becomes("\n" * (8 << 20)))
    for number, content in enumerate(hostile_pickles()[:6]):
        damage = becomes(json.dumps({"path": [content.decode("latin1")]}))
        yield Case(PICKLES, f"pickle {number} for a name", damage, "entry 1")


def make_features(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    file = folder / "features.list"
    lines = [
        f"{n}.jpg {' '.join(f'{v:.4f}' for v in rng.standard_normal(4))}" for n in range(IMAGES)
    ]
    file.write_text("\n".join(lines) + "\n")
    return file


def read_list_of_features() -> str:
    return digest_of(read_features(Path("features.list")))


def feature_cases(file: Path, draw: Random) -> Iterator[Case]:
    for value in ("nan", "inf", "-inf"):
        damage = with_word(file, 2, 3, value)
        yield Case(TRAVERSAL, value, damage, "embedding")
    yield Case(COUNTS, "no numbers", becomes("0.jpg\n1.jpg\n"), "line 1")
    for case in table_cases(file, {1: "a number", 4: "the last number"}, 2):
        any_record = replace_record(case, None if case.kind in (COUNTS, SIZES) else case.record)
        yield any_record


def replace_record(case: Case, record: str | None) -> Case:
    return Case(case.kind, case.name, case.damage, record, case.harmless)


TEXT = (FLIPS, TRUNCATION, COUNTS, PICKLES)  # text has no end and no checksum
FORMATS = (
    Format("IJB landmarks (.txt)", partial(make_ijb, damaged="name_5pts_score.txt"), read_set,
           points_cases, TEXT),
    Format("IJB templates (.txt)", partial(make_ijb, damaged="face_tid_mid.txt"), read_set,
           members_cases, TEXT),
    Format("IJB gallery (.csv)", partial(make_ijb, damaged="1N_gallery_G1.csv"), read_set,
           gallery_cases, TEXT, (MAGIC,), {TRAVERSAL: "missing templates"}),
    Format("image list", make_list, read_set, list_cases, TEXT),
    Format("MegaFace list (JSON)", make_megaface, read_set, json_cases, TEXT),
    Format("feature list", make_features, read_list_of_features, feature_cases,
           TEXT, (), {TRAVERSAL: "non-numeric values"}),
)  # fmt: skip
