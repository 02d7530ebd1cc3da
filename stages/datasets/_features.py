"""Features that another framework computed: one row an image, read without running anything.

| file | holds |
|---|---|
| .npy | [n, d], or [2, n, d] with the mirror images' |
| .npz | `embedding` (or `features`, `img_feats`) [n, d]; `mirrored` [n, d], `norms` if wanted |
| .pickle, .pkl | FaceCoresetNet's: `img_feats` [n, d] of length 1, `norms` [n, 1] |
| .list, .txt | MagFace's: a line `path v1 ... vd` an image |

Where there are `norms` the rows are brought to those lengths.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import MAGIC_PREFIX

from stages.core.bounded import bounded
from stages.core.errors import InputError
from stages.datasets._pickle import load_plain

VECTORS = ("embedding", "features", "img_feats")
REMEDY = "write it as docs/features.md says"
MOST_NAMED = 8  # keys that a message lists
WIDEST = 1 << 16  # numbers a line: a reader of columns takes kilobytes for each


def read_features(path: Path) -> dict[str, np.ndarray]:
    """`embedding` float32 [n, d], and `mirrored` [n, d] where the file has the mirror images'.

    Raise InputError for a file that is missing, damaged or of another kind, for arrays that do not
    fit together, and for numbers that are not finite.
    """
    readers: dict[str, Callable[[Path], Mapping[str, Any]]] = {
        ".npy": _npy, ".npz": _npz, ".pickle": _pickle, ".pkl": _pickle, ".list": _text,
        ".txt": _text,
    }  # fmt: skip
    if path.suffix not in readers:
        raise InputError(path, f"its name ends in none of {', '.join(readers)}", REMEDY)
    if not path.is_file():
        raise InputError(path, "file not found", "give the path of a file that is there")
    held = readers[path.suffix](path)
    name = next((name for name in VECTORS if name in held), None)
    if name is None:
        there = ", ".join(_brief(key) for key in islice(held, MOST_NAMED)) or "nothing"
        problem = f"holds none of {', '.join(VECTORS)}, but {there}"
        raise InputError(path, problem, REMEDY)
    arrays = {"embedding": _vectors(path, name, held[name])}
    if "mirrored" in held:
        arrays["mirrored"] = _vectors(path, "mirrored", held["mirrored"])
        _require(path, "mirrored", arrays["mirrored"], arrays["embedding"].shape)
    if "norms" in held:
        norms = _numbers(path, "norms", held["norms"]).reshape(-1, 1)
        _require(path, "norms", norms, (len(arrays["embedding"]), 1))
        for vectors in arrays.values():
            length = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors *= norms / np.where(length > 0, length, 1)
    return arrays


def distinct_images(names: Iterable[str]) -> list[int]:
    """Rows of the distinct images of a pack among all its images, by their names, `image 17`."""
    return [int(name.split()[1]) for name in names]


def _brief(key: Any) -> str:
    return reprlib.repr(key).strip("'")


def _npy(path: Path) -> dict[str, Any]:
    try:
        with bounded(path, REMEDY):
            array = np.load(path, allow_pickle=False)
    except InputError:
        raise
    except Exception as fault:  # a damaged header fails in a dozen ways, none of them ours
        raise InputError(path, f"no array of numbers ({fault})", REMEDY) from None
    if not isinstance(array, np.ndarray):
        with array:
            raise _of_archive(path, array.files)
    if array.ndim == 3 and len(array) == 2:
        return {"embedding": array[0], "mirrored": array[1]}
    return {"embedding": array}


def _of_archive(path: Path, names: list[str]) -> InputError:
    """What to do about a ZIP archive with the name of a single array: .npz is one as well."""
    if any(name in names for name in VECTORS):
        return InputError(path, "is an archive of arrays (.npz), not one array", "name it .npz")
    there = ", ".join(_brief(name) for name in islice(names, MOST_NAMED)) or "nothing"
    return InputError(path, f"is a ZIP archive of {there}, not an array", REMEDY)


def _npz(path: Path) -> dict[str, Any]:
    wanted = (*VECTORS, "mirrored", "norms")
    with open(path, "rb") as file:
        if file.read(len(MAGIC_PREFIX)) == MAGIC_PREFIX:
            raise InputError(path, "is one array (.npy), not an archive", "name it .npy")
    try:
        with bounded(path, REMEDY), np.load(path, allow_pickle=False) as archive:
            names = archive.files
            return {name: archive[name] if name in wanted else None for name in names}
    except InputError:
        raise
    except Exception as fault:  # a damaged archive fails in a dozen ways, none of them ours
        raise InputError(path, f"no archive of arrays of numbers ({fault})", REMEDY) from None


def _pickle(path: Path) -> dict[str, Any]:
    held = load_plain(path, REMEDY)
    if not isinstance(held, dict):
        raise InputError(path, f"holds a {type(held).__name__}, not a dict", REMEDY)
    return {key.decode() if isinstance(key, bytes) else key: value for key, value in held.items()}


def _text(path: Path) -> dict[str, Any]:
    from pyarrow import ArrowException, csv

    with open(path, "rb") as file:
        width = len(file.readline().split()) - 1
    if not 1 <= width <= WIDEST:
        problem = f"{width} numbers after the path, not 1 to {WIDEST}"
        raise InputError(path, problem, REMEDY, "line 1")
    columns = [f"f{k}" for k in range(1, width + 1)]
    try:
        table = csv.read_csv(
            path,
            csv.ReadOptions(autogenerate_column_names=True),
            csv.ParseOptions(delimiter=" ", quote_char=False),
            csv.ConvertOptions(
                column_types=dict.fromkeys(columns, "float32"), include_columns=columns
            ),
        )
    except ArrowException as fault:
        problem = f"no feature list of paths without spaces ({fault})"
        raise InputError(path, problem, REMEDY) from None
    return {"embedding": np.stack([table[name].to_numpy() for name in columns], axis=1)}


def _vectors(path: Path, name: str, values: Any) -> np.ndarray:
    vectors = _numbers(path, name, values)
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise InputError(path, f"has the shape {vectors.shape}, not [images, d]", REMEDY, name)
    return vectors


def _numbers(path: Path, name: str, values: Any) -> np.ndarray:
    """As float32. Raise InputError that names the first row that is not finite."""
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu" or not values.ndim:
        raise InputError(path, "is no array of numbers", REMEDY, name)
    with bounded(path, REMEDY), np.errstate(over="ignore"):
        values = np.require(values, np.float32, "W")
    is_finite = np.isfinite(values)
    if not is_finite.all():
        problem = f"row {np.argwhere(~is_finite)[0, 0]} (from 0) has a number that is not finite"
        raise InputError(path, problem, "compute that image's features anew", name)
    return values


def _require(path: Path, name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise InputError(path, f"has the shape {array.shape}, not {shape}", REMEDY, name)
