"""IJB-B and IJB-C as InsightFace and MagFace use them: loose crops, landmarks, protocol lists.

In loose_crop/ the images; in meta/ the lists, {x} being ijbb or ijbc (any name will do).
Separated by single spaces: `{x}_name_5pts_score.txt` image x1 y1 .. x5 y5 score,
`{x}_face_tid_mid.txt` image template media; for 1:1, `{x}_template_pair_label.txt` template
template 0|1. For 1:N, comma separated with a header, template and subject first, a line an image:
`{x}_1N_gallery_G1.csv`, `{x}_1N_gallery_G2.csv` (S1, S2 in IJB-B), `{x}_1N_probe_mixed.csv`. A
gallery whose name ends in 1 or 2 is one of a pair; a set of one gallery calls it otherwise. Either
the list for 1:1 or those for 1:N may be missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path

import numpy as np

from stages.core.errors import InputError
from stages.core.index import UNKNOWN_LABEL
from stages.core.params import Section
from stages.datasets._files import read_image, refuse_outside
from stages.datasets._source import Record, Records, Source

ORIGIN = (
    "put the IJB-B or IJB-C release of InsightFace there (meta/, loose_crop/): "
    "github.com/deepinsight/insightface, recognition/_evaluation_/ijb"
)
# lists, and what is known of its images
GIVES = ("landmarks", "templates", "template_pairs", "galleries")
LANDMARKS = 10
POINTS = "*_name_5pts_score.txt"
OPTIONAL = {  # table -> its lists
    "template_pairs": "*_template_pair_label.txt",
    "galleries": "*_1N_gallery_*.csv",
    "probes": "*_1N_probe_mixed.csv",
}
SEARCHES = {"galleries", "probes"}
PARTNER = {"1": "2", "2": "1"}


class Params(Section):
    """The layout is fixed: no options."""


def read(root: Path, params: Params, reader: str = "native") -> Source:
    """The loose crops in the order of the landmark list, and the protocol's tables.

    Tables: `templates`, and where their lists are there `template_pairs`, `galleries` (one row a
    template of each gallery) and `probes`.

    Args:
        reader: of no consequence here.

    Raises:
        InputError: the root is meta/ itself, a mandatory list or one gallery of a pair is missing,
            a line is malformed, lists do not fit together, or a name leads out of loose_crop; while
            iterating, loose_crop or an image is missing.
    """
    meta, crops = root / "meta", root / "loose_crop"
    if not meta.exists() and any(root.glob(POINTS)):
        remedy = "give the folder that holds meta/, with the lists in it, and loose_crop/"
        raise InputError(root, "holds the lists itself, and no folder meta/", remedy)
    points = _only(meta, POINTS, "landmarks and detector scores")
    members = _only(meta, "*_face_tid_mid.txt", "template and media of each image")

    names, *numbers, score = _columns(points, ["string", *["float32"] * (LANDMARKS + 1)])
    _refuse(points, ~np.isfinite(score), score, "is no score")
    for number in numbers:
        _refuse(points, np.isinf(number), number, "is no place of a landmark")
    row_of = _rows_by_name(points, names)
    for row, name in enumerate(names, 1):
        refuse_outside(crops, name, points, f"line {row}")
    templates = _templates(members, row_of, score)
    searches = _identification(meta, templates["template"])
    pairs = _verification(meta, templates["template"], needed=not searches.keys() >= SEARCHES)
    tables = {"templates": templates} | pairs | searches
    landmarks = np.stack(numbers, axis=1)

    def record(row: int) -> Record:
        image = read_image(crops / names[row], points, f"line {row + 1}")
        return Record(f"loose_crop/{names[row]}", UNKNOWN_LABEL, image, landmarks[row])

    def records() -> Iterator[Record]:
        if not crops.is_dir():
            raise InputError(crops, "folder not found (the images)", ORIGIN)
        return map(record, range(len(names)))

    lists = OPTIONAL.items()
    absent = {name: (str(meta / file), ORIGIN) for name, file in lists if name not in tables}

    def paths() -> Iterator[str]:
        return (f"{crops.name}/{name}" for name in names)

    return Source(Records(len(names), records, paths), tables, absent)


def _only(meta: Path, pattern: str, what: str) -> Path:
    """The one file of `pattern`."""
    found = sorted(meta.glob(pattern))
    if not found:
        raise InputError(meta / pattern, f"file not found ({what})", ORIGIN)
    if len(found) > 1:
        problem = f"there are {len(found)} such files: {', '.join(f.name for f in found)}"
        raise InputError(meta / pattern, problem, "keep one data set a folder")
    return found[0]


def _rows_by_name(path: Path, names: np.ndarray) -> dict[str, int]:
    row_of = {name: row for row, name in enumerate(names)}
    if len(row_of) < len(names):
        first = next(row for row, name in enumerate(names) if row_of[name] != row)
        problem = f"{names[first]} comes again in line {row_of[names[first]] + 1}"
        raise InputError(path, problem, "keep one line an image", f"line {first + 1}")
    return row_of


def _templates(path: Path, row_of: dict[str, int], score: np.ndarray) -> dict[str, np.ndarray]:
    names, template, media = _columns(path, ["string", "int64", "int64"])
    record = np.fromiter((row_of.get(name, -1) for name in names), np.int64, len(names))
    if (record < 0).any():
        row = int((record < 0).argmax())
        problem = f"{names[row]} has no line in the landmark list"
        raise InputError(path, problem, "get both lists of one release", f"line {row + 1}")
    return {"record": record, "template": template, "media": media, "score": score[record]}


def _verification(
    meta: Path, templates: np.ndarray, needed: bool
) -> dict[str, dict[str, np.ndarray]]:
    """Table `template_pairs`, where its list is there. Raise InputError if not, and `needed`."""
    if not needed and not any(meta.glob(OPTIONAL["template_pairs"])):
        return {}
    what = "pairs of templates to compare, which a set without all lists for 1:N needs"
    return {"template_pairs": _pairs(_only(meta, OPTIONAL["template_pairs"], what), templates)}


def _pairs(path: Path, templates: np.ndarray) -> dict[str, np.ndarray]:
    first, second, same = _columns(path, ["int64", "int64", "int64"])
    _refuse(path, (same != 0) & (same != 1), same, "is no label: 0 or 1")
    for column in (first, second):
        _refuse(path, ~np.isin(column, templates), column, "is a template without images")
    return {"first": first, "second": second, "same": same == 1}


def _identification(meta: Path, templates: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Tables `galleries` and `probes`, each where its lists are there."""
    tables = {}
    galleries = _galleries(meta)
    if galleries:
        columns = [_subjects(path, templates) for path in galleries]
        tables["galleries"] = {
            "gallery": np.repeat(
                [path.stem.rpartition("_")[2] for path in galleries],
                [len(template) for template, _ in columns],
            ),
            "template": np.concatenate([template for template, _ in columns]),
            "subject": np.concatenate([subject for _, subject in columns]),
        }
    if any(meta.glob(OPTIONAL["probes"])):
        path = _only(meta, OPTIONAL["probes"], "templates to search for")
        tables["probes"] = dict(
            zip(("template", "subject"), _subjects(path, templates), strict=True)
        )
    return tables


def _galleries(meta: Path) -> list[Path]:
    """The lists of the galleries. Raise InputError if one of a pair is there without the other."""
    found = sorted(meta.glob(OPTIONAL["galleries"]))
    for path in found:
        if name := re.fullmatch(r"(.*\D)([12])", path.stem):
            partner = path.with_stem(name[1] + PARTNER[name[2]])
            if partner not in found:
                problem = f"file not found (the gallery that goes with {path.name})"
                remedy = f"{ORIGIN}; a gallery that is the only one needs a name without 1 or 2"
                raise InputError(partner, problem, remedy)
    return found


def _subjects(path: Path, templates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Templates by first appearance, and their subjects; the list has a line an image."""
    template, subject = _columns(path, ["int64", "int64"], delimiter=",", header=1)
    _refuse(path, ~np.isin(template, templates), template, "is a template without images", 1)
    unnamed = "is no number of a person, who has one from 0 on, also where nobody enrolled them"
    _refuse(path, subject < 0, subject, unnamed, 1, "number them")
    _, first, which = np.unique(template, return_index=True, return_inverse=True)
    other = subject != subject[first][which]
    _refuse(path, other, subject, "is a second subject of its template", 1)
    first.sort()
    return template[first], subject[first]


def _refuse(
    path: Path,
    wrong: np.ndarray,
    values: np.ndarray,
    what: str,
    header: int = 0,
    remedy: str = "get the list again",
) -> None:
    """Raise InputError at the first line that is wrong."""
    if wrong.any():
        row = int(wrong.argmax())
        record = f"line {row + 1 + header}"
        raise InputError(path, f"{values[row]} {what}", remedy, record)


def _columns(
    path: Path, kinds: list[str], delimiter: str = " ", header: int = 0
) -> list[np.ndarray]:
    """The first columns of a text table, of the Arrow types `kinds`."""
    from pyarrow import ArrowInvalid, ArrowKeyError, csv

    names = [f"f{number}" for number in range(len(kinds))]
    convert = csv.ConvertOptions(
        column_types=dict(zip(names, kinds, strict=True)), include_columns=names, null_values=[]
    )
    parse = csv.ParseOptions(delimiter=delimiter, quote_char='"' if delimiter == "," else False)

    def table(use_threads: bool):
        read = csv.ReadOptions(
            autogenerate_column_names=True, skip_rows=header, use_threads=use_threads
        )
        return csv.read_csv(path, read, parse, convert)

    try:
        try:
            columns = table(use_threads=True)
        except ArrowInvalid:
            columns = table(use_threads=False)  # fails again, but then says in which line
    except (ArrowInvalid, ArrowKeyError) as fault:
        line = re.search(r"Row #(\d+)", str(fault))
        problem = re.sub(r"^.*Row #\d+: ", "", str(fault))
        record = f"line {line[1]}" if line else None
        raise InputError(path, problem, "get the list again", record) from None
    _refuse_hexadecimal(path, kinds, delimiter, header)
    return [columns[name].to_numpy() for name in names]


def _refuse_hexadecimal(path: Path, kinds: list[str], delimiter: str, header: int) -> None:
    """Arrow takes 0x10 for 16, which no list means."""
    with open(path, "rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as text:
        if text.find(b"0x") < 0 and text.find(b"0X") < 0:
            return
    with open(path, "rb") as file:
        for number, line in enumerate(file):
            words = line.split(delimiter.encode())[: len(kinds)] if number >= header else []
            for word, kind in zip(words, kinds, strict=False):
                if kind != "string" and b"x" in word.lower():
                    problem = f"{word.decode(errors='replace')!r} is no decimal number"
                    raise InputError(path, problem, "get the list again", f"line {number + 1}")
