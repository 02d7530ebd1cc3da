"""MagFace's feature list: a line `path v1 ... vd` an image, blanks or tabs between them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.errors import InputError

REMEDY = (
    "write a line `path v1 ... vd` an image, without a header, comments or other columns; blanks "
    "in a path may be written as underscores; or save names and vectors as .npz (docs/features.md)"
)
WIDEST = 1 << 16  # numbers a line: a reader of columns takes kilobytes for each
MARK = b"\xef\xbb\xbf"  # UTF-8's byte order mark, which editors of Windows put first


def read_list(path: Path) -> dict[str, Any]:
    """`embedding` float32 [n, d] and `names` [n], the first word of each line.

    Whether these words are names at all, the file cannot tell: whoever knows the set's names must
    compare them, or the first dimension of a file without names would be lost.

    Raises:
        InputError: a line has another number of words than the first, or a word that is not a
            number; the line is named.
    """
    from pyarrow import ArrowException

    width = _width(path)
    try:
        table = _table(path, width)
        simple = not any(table["rest"].to_pylist()) and _complete(table)
    except ArrowException:
        simple = False
    if not simple:
        table = _table_of_words(path, width)
    names = table["f0"].to_pylist()
    vectors = np.stack([table[f"f{k}"].to_numpy() for k in range(1, width + 1)], axis=1)
    return {"embedding": vectors, "names": [name.decode(errors="backslashreplace")
                                            for name in names]}  # fmt: skip


def _width(path: Path) -> int:
    """How many numbers follow the name in the first line."""
    with open(path, "rb") as file:
        marked = (line.removeprefix(MARK) for line in file)
        line = next((line for line in marked if line.strip()), b"")
    if line.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(path, "it is UTF-16", "save it as UTF-8")
    words = line.split()
    if not words:
        raise InputError(path, "the file is empty", REMEDY)
    width = len(words) - 1
    if not 1 <= width <= WIDEST:
        problem = f"{max(width, 0)} numbers after the path, not 1 to {WIDEST}"
        is_apart = b"," in line or b";" in line
        problem += "; blanks or tabs separate them, not commas or semicolons" if is_apart else ""
        raise InputError(path, problem, REMEDY, "line 1")
    _require_numbers(path, 1, words[1:])
    return width


def _table(source: Path | io.BytesIO, width: int) -> Any:
    """Columns f0 (bytes) to f<width> of lines whose words have single blanks between them.

    A column `rest` is what follows the blank at the end of lines that have one: nothing, or another
    word.
    """
    from pyarrow import csv

    columns = [f"f{k}" for k in range(width + 2)]
    types = dict.fromkeys(columns, "float32") | dict.fromkeys([columns[0], columns[-1]], "binary")
    table = csv.read_csv(
        source,
        csv.ReadOptions(autogenerate_column_names=True),
        csv.ParseOptions(delimiter=" ", quote_char=False),
        csv.ConvertOptions(
            column_types=types, include_columns=columns, include_missing_columns=True
        ),
    )
    return table.rename_columns([*columns[:-1], "rest"])


def _complete(table: Any) -> bool:
    """Every line has a number in every column; blanks together, and words like `NA`, leave none."""
    return not any(table[name].null_count for name in table.column_names[1:-1])


def _table_of_words(path: Path, width: int) -> Any:
    """The same of lines with tabs or several blanks. Raise InputError that names a faulty line."""
    from pyarrow import ArrowException

    try:
        table, fault = _table(io.BytesIO(b"\n".join(_lines(path, width))), width), None
    except ArrowException as problem:
        table, fault = None, problem
    if table is None or not _complete(table):
        for number, line in enumerate(_lines(path, width), 1):
            _require_numbers(path, number, line.split()[1:])
    if table is None:
        raise InputError(path, f"no feature list ({fault})", REMEDY)
    return table


def _lines(path: Path, width: int) -> Iterator[bytes]:
    """Lines with single blanks between their words."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            words = (line.removeprefix(MARK) if number == 1 else line).split()
            if len(words) not in (0, width + 1):
                _require_numbers(path, number, words[1:])
                problem = f"no feature list: {len(words) - 1} numbers, not {width} as in line 1"
                raise InputError(path, problem, REMEDY, f"line {number}")
            yield b" ".join(words)


def _require_numbers(path: Path, number: int, words: list[bytes]) -> None:
    for word in words:
        try:
            float(word)
        except ValueError:
            text = word.decode(errors="backslashreplace")
            problem = f"no feature list: {text!r} is not a number (a path may have no blank)"
            raise InputError(path, problem, REMEDY, f"line {number}") from None
