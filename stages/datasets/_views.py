"""Arrays of features in the shapes that people save them in, as [n, d] of one or two views.

| shape | read as |
|---|---|
| [n, d] | one row an image |
| [n, 1, d], [n, d, 1, 1], [1, n, d] | the same with axes of length 1, which are dropped |
| [2, n, d] | the images' rows, then those of their mirror images |
| [n, 2, d], and [n, 2d] of a model of d dimensions | refused, with the line that saves [2, n, d] |
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from stages.core.bounded import bounded
from stages.core.errors import InputError

REMEDY = "write it as docs/features.md says"
# Two views side by side are told by their cosine. A mirror image's embedding has one of 0.8 and
# more with the image's; halves of one embedding are unrelated, unless all rows are alike.
FEWEST_ROWS = 10
NARROWEST = 64  # numbers a row: chance makes short halves alike
ALIKE = 0.5  # mean cosine of the halves of a row, at least
NEARER = 0.3  # by which it exceeds that of halves of different rows
LEAST_SQUARE = 1e-30  # of a row's length that is not 0: below it float32 loses digits
MOSTLY = 0.5  # of the other numbers are not whole where a column of whole ones is a label
SAMPLE = 1000  # rows looked at


def views(path: Path, name: str, values: Any, dimensions: int | None) -> list[np.ndarray]:
    """One or two writable float32 arrays [n, d]: of the images, and of their mirror images.

    Args:
        path, name: file and array, for errors.
        values: what the file holds.
        dimensions: d of the model; None if nobody said.

    Raises:
        InputError: not an array of finite real numbers, or of another shape than those above.
    """
    array = _dense(numbers(path, name, values))
    if array.ndim == 3 and len(array) == 2:
        split = [np.require(view, requirements="W") for view in array]
    else:
        split = [array]
    for view in split:
        _require_rows(path, name, view)
        _require_lengths(path, name, view)
        _require_width(path, name, view, dimensions, len(split) == 1)
    return split


def numbers(path: Path, name: str, values: Any) -> np.ndarray:
    """As float32. Raise InputError that names the first row that is not finite."""
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu" or not values.ndim:
        kind = values.dtype if isinstance(values, np.ndarray) else type(values).__name__
        raise InputError(path, f"is not an array of real numbers, but {kind}", REMEDY, name)
    with bounded(path, REMEDY), np.errstate(over="ignore"):
        values = np.require(values, np.float32, "W")
    is_finite = np.isfinite(values)
    if not is_finite.all():
        problem = f"row {np.argwhere(~is_finite)[0, 0]} (from 0) has a number that is not finite"
        raise InputError(path, problem, "compute that image's features anew", name)
    return values


def _dense(array: np.ndarray) -> np.ndarray:
    """Without axes of length 1, as far as [n, d] or [2, n, d]."""
    if array.ndim > 2:
        single = [axis for axis in range(1, array.ndim) if array.shape[axis] == 1]
        array = array.squeeze(tuple(single))
    return array[0] if array.ndim == 3 and len(array) == 1 else array


def _require_rows(path: Path, name: str, array: np.ndarray) -> None:
    shape = list(array.shape)
    if array.ndim == 3 and shape[1] == 2:
        problem = f"has the shape {shape}, two views beside each other for each image"
        line = _saved(path, name, "a.swapaxes(0, 1)")
        raise InputError(path, problem, f"if the second is the mirror image's, {line}", name)
    if array.ndim != 2 or 0 in shape:
        raise InputError(path, f"has the shape {shape}, not [images, d]", REMEDY, name)
    if shape[1] == 1:
        problem = f"has the shape {shape}: one number for each image is not an embedding"
        raise InputError(path, problem, REMEDY, name)


def _require_lengths(path: Path, name: str, array: np.ndarray) -> None:
    """Raise InputError if the square of a row's length does not fit into float32."""
    with np.errstate(over="ignore", under="ignore"):
        squares = np.einsum("ij,ij->i", array, array)
    is_off = ~np.isfinite(squares) | ((squares < LEAST_SQUARE) & array.any(axis=1))
    if is_off.any():
        row = int(np.argmax(is_off))
        length = np.linalg.norm(array[row].astype(np.float64))
        problem = (
            f"row {row} (from 0) has the length {length:.3g}, whose square float32 cannot hold"
        )
        remedy = "multiply all rows by one number that brings them near 1; cosines stay as they are"
        raise InputError(path, problem, remedy, name)


def _require_width(
    path: Path, name: str, array: np.ndarray, dimensions: int | None, single: bool
) -> None:
    """Raise InputError if rows are not of `dimensions` numbers, or hold two views each."""
    width = array.shape[1]
    if width == dimensions:
        return
    line = _saved(path, name, "numpy.stack(numpy.split(a, 2, axis=1))")
    two_views = f"save those of the images and of their mirror images as [2, n, d]: {line}"
    if dimensions is not None:
        problem = f"has {width} numbers for each image, and `dimensions` is {dimensions}"
        remedy = two_views if width == 2 * dimensions else "correct `dimensions`, or the file"
        raise InputError(path, problem, remedy, name)
    for place, column in (("first", array[:, 0]), ("last", array[:, -1])):
        if _is_label(array, column):
            some = ", ".join(f"{value:g}" for value in column[:3])
            problem = (
                f"the {place} number of every row is whole ({some}, ..) and the others are not: a "
                "label or a row number, not a part of the embedding"
            )
            remedy = f"leave it out; or, if it is, say so: `dimensions: {width}` (--dimensions)"
            raise InputError(path, problem, remedy, name)
    own, other = _alike(array) if single else (0.0, 0.0)
    if own >= ALIKE and own - other >= NEARER:
        problem = (
            f"has {width} numbers for each image, and their two halves are alike (mean cosine "
            f"{own:.2f}; of halves of different images {other:.2f}), as embeddings of an image and "
            "of its mirror image side by side are"
        )
        remedy = f"{two_views}; or say that d is {width}: `dimensions: {width}` (--dimensions)"
        raise InputError(path, problem, remedy, name)


def _is_label(array: np.ndarray, column: np.ndarray) -> bool:
    """Whether `column` alone is of whole numbers, and not of zeros, as a dead dimension is."""
    if len(array) < FEWEST_ROWS or not column.any() or np.any(column != np.rint(column)):
        return False
    inner = array[:, 1:-1]
    return bool(np.mean(inner != np.rint(inner)) > MOSTLY) if inner.size else False


def _saved(path: Path, name: str, views: str) -> str:
    """The line that saves `views` of the array `a`, which is `name` in the file."""
    loaded = {".npy": f"numpy.load({str(path)!r})", ".npz": f"numpy.load({str(path)!r})[{name!r}]"}
    if path.suffix not in loaded:
        return f"numpy.save(FILE, {views}), where a is the array [n, ..]"
    saved = f"numpy.save({str(path.with_suffix('.npy'))!r}, {views})"
    return f'python -c "import numpy; a = {loaded[path.suffix]}; {saved}"'


def _alike(array: np.ndarray) -> tuple[float, float]:
    """Mean cosine of the two halves of a row, and of halves of different rows."""
    rows = array[:: max(1, len(array) // SAMPLE)].astype(np.float64)
    rows = rows[rows.any(axis=1)]
    if array.shape[1] % 2 or array.shape[1] < NARROWEST or len(rows) < FEWEST_ROWS:
        return 0.0, 0.0
    halves = np.stack(np.split(rows, 2, axis=1))
    lengths = np.linalg.norm(halves, axis=2, keepdims=True)
    first, second = halves / np.where(lengths > 0, lengths, 1)
    others = np.roll(second, len(rows) // 2, axis=0)  # far away in the file: of other people
    return tuple(float(np.mean(np.sum(first * x, axis=1))) for x in (second, others))
