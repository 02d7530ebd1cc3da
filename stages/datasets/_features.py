"""Features that another framework computed: one row an image, read without running anything.

| file | holds |
|---|---|
| .npy | [n, d], or [2, n, d] with the mirror images' |
| .npz | `embedding` (or `features`, `img_feats`); `mirrored`, `norms`, `names` if wanted |
| .pickle, .pkl | FaceCoresetNet's: `img_feats` [n, d] of length 1, `norms` [n, 1] |
| .npz, .pickle, .pkl | or one vector an image, under the image's name |
| .list, .txt | MagFace's: a line `path v1 ... vd` an image |

`_views.py` has the shapes that arrays may have. Where there are `norms` the rows are brought to
those lengths.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import MAGIC_PREFIX

from stages.core.bounded import bounded
from stages.core.errors import InputError
from stages.datasets._columns import OBJECTS, column_kind, other_columns
from stages.datasets._feature_list import read_list
from stages.datasets._pickle import load_plain
from stages.datasets._views import REMEDY, numbers, views

VECTORS = ("embedding", "features", "img_feats")
NAMES = (
    "names", "name", "paths", "path", "filenames", "filename", "files", "file_names",
    "image_names", "image_paths", "img_names", "img_paths", "img_list",
)  # fmt: skip
MOST_NAMED = 8  # keys that a message lists


def read_features(path: Path, dimensions: int | None = None) -> dict[str, Any]:
    """What the file holds of each image; who knows the set must put the rows in its order.

    Args:
        path: the file.
        dimensions: d of the model; None if nobody said.

    Returns:
        `embedding` float32 [n, d]; `mirrored` likewise, where the file has the mirror images';
        `names`, a list of n strings, where it names the rows; otherwise `others`, lists of n
        strings by key that may be names, for whoever knows the set's.

    Raises:
        InputError: the file is missing, damaged or of another kind, arrays do not fit together, or
            numbers are not finite.
    """
    readers: dict[str, Callable[[Path], Mapping[str, Any]]] = {
        ".npy": _npy, ".npz": _npz, ".pickle": _pickle, ".pkl": _pickle, ".list": read_list,
        ".txt": read_list,
    }  # fmt: skip
    ending = path.suffix.lower()
    if ending not in readers:
        remedy = f"save the array as {path.stem}.npy with numpy.save, or {REMEDY}"
        raise InputError(path, f"its name ends in none of {', '.join(readers)}", remedy)
    if not path.is_file():
        raise InputError(path, "file not found", "give the path of a file that is there")
    held = _by_name(readers[ending](path))
    name = next((name for name in VECTORS if name in held), None)
    if name is None:
        there = ", ".join(_brief(key) for key in islice(held, MOST_NAMED)) or "nothing"
        problem = f"holds none of {', '.join(VECTORS)}, but {there}"
        raise InputError(path, problem, REMEDY)
    both = views(path, name, held[name], dimensions)
    if "mirrored" in held:
        both += views(path, "mirrored", held["mirrored"], dimensions)
        if len(both) > 2:
            problem = f"the file has the mirror images' rows in `{name}` or `mirrored`, not in both"
            raise InputError(path, problem, REMEDY, "mirrored")
    arrays: dict[str, Any] = dict(zip(("embedding", "mirrored"), both, strict=False))
    for vectors in both[1:]:
        _require(path, "mirrored", vectors, both[0].shape)
    if "norms" in held:
        norms = numbers(path, "norms", held["norms"]).reshape(-1, 1)
        _require(path, "norms", norms, (len(both[0]), 1))
        for vectors in both:
            length = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors *= norms / np.where(length > 0, length, 1)
    naming = next((name for name in NAMES if name in held), None)
    if naming is not None:
        arrays["names"] = _names(path, naming, held[naming], len(both[0]))
    elif others := other_columns(path, held, len(both[0])):
        arrays["others"] = others
    return arrays


def _names(path: Path, key: str, held: Any, count: int) -> list[str]:
    """The strings `held`, one a row. Raise InputError if they are something else."""
    names = held
    if isinstance(held, np.ndarray) and held.dtype.kind in "US":
        try:
            names = held.reshape(-1).tolist()
        except ValueError:  # numbers that are no characters
            names = None
    is_list = isinstance(names, list | tuple)
    if not is_list or not all(isinstance(name, str | bytes) for name in names):
        remedy = f"save them as text, numpy.array({key}, str), or leave `{key}` out"
        raise InputError(path, "is not a list of names", remedy, key)
    if len(names) != count:
        problem = f"has {len(names)} names for {count} rows"
        raise InputError(path, problem, f"give one name a row, or leave `{key}` out", key)
    return [_printable(name) for name in names]


def _printable(name: str | bytes) -> str:
    encoded = name if isinstance(name, bytes) else name.encode(errors="backslashreplace")
    return encoded.decode(errors="backslashreplace").strip()  # lines of a file keep their ends


def _by_name(held: Mapping[str, Any]) -> Mapping[str, Any]:
    """`held`, or what it holds as one vector a name: these names, and the vectors as one array."""
    vectors = list(held.values())
    if len(held) < 2 or not all(isinstance(vector, np.ndarray) for vector in vectors):
        return held
    flat = [v.reshape(-1) if v.size == max(v.shape, default=0) else v for v in vectors]
    kinds = {(vector.ndim, vector.dtype.kind, vector.size) for vector in flat}
    if len(kinds) > 1 or flat[0].ndim != 1 or any(name in held for name in VECTORS):
        return held
    return {"embedding": np.stack(flat), "names": list(map(str, held))}


def _brief(key: Any) -> str:
    return reprlib.repr(key).strip("'")


def _npy(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        begin = file.read(len(MAGIC_PREFIX))
    if begin and not begin.startswith((MAGIC_PREFIX, b"PK")):
        problem = f"no array of numbers (it begins with {begin!r}, as no .npy does)"
        raise InputError(path, problem, REMEDY)
    try:
        with bounded(path, REMEDY):
            array = np.load(path, allow_pickle=False)
    except InputError:
        raise
    except Exception as fault:  # a damaged header fails in a dozen ways, none of them ours
        raise InputError(path, f"no array of numbers ({_objects(fault)})", REMEDY) from None
    if not isinstance(array, np.ndarray):
        with array:
            raise _of_archive(path, array.files)
    return {"embedding": array}


def _of_archive(path: Path, names: list[str]) -> InputError:
    """What to do about a ZIP archive with the name of a single array: .npz is one as well."""
    if any(name in names for name in VECTORS):
        return InputError(path, "is an archive of arrays (.npz), not one array", "name it .npz")
    there = ", ".join(_brief(name) for name in islice(names, MOST_NAMED)) or "nothing"
    return InputError(path, f"is a ZIP archive of {there}, not an array", REMEDY)


def _npz(path: Path) -> dict[str, Any]:
    wanted = {*VECTORS, *NAMES, "mirrored", "norms"}
    with open(path, "rb") as file:
        if file.read(len(MAGIC_PREFIX)) == MAGIC_PREFIX:
            raise InputError(path, "is one array (.npy), not an archive", "name it .npy")
    try:
        with bounded(path, REMEDY), np.load(path, allow_pickle=False) as archive:
            names = archive.files
            some = set(names) & wanted if {*VECTORS} & {*names} else set(names)
            kinds = {name: column_kind(archive, name) for name in names if name not in some}
            some |= {name for name, kind in kinds.items() if kind not in ("", "O")}
            for member in archive.zip.namelist():
                archive.zip.open(member).close()  # zipfile compares both places of its name
            unread = {name: OBJECTS if kind == "O" else None for name, kind in kinds.items()}
            return {name: archive[name] if name in some else unread[name] for name in names}
    except InputError:
        raise
    except Exception as fault:  # a damaged archive fails in a dozen ways, none of them ours
        problem = f"no archive of arrays of numbers ({_objects(fault)})"
        raise InputError(path, problem, REMEDY) from None


def _objects(fault: Exception) -> str:
    """What is wrong, without NumPy's advice to run what the file holds."""
    if "allow_pickle" in str(fault):
        return "it holds Python objects; save numbers, numpy.stack(vectors), and names as text"
    return str(fault)


def _pickle(path: Path) -> dict[str, Any]:
    held = load_plain(path, REMEDY, texts=True)
    if not isinstance(held, dict):
        raise InputError(path, f"holds a {type(held).__name__}, not a dict", REMEDY)
    return {
        _printable(key) if isinstance(key, bytes | str) else key: _as_array(value)
        for key, value in held.items()
    }


def _as_array(value: Any) -> Any:
    """Lists of numbers, of such lists or of arrays as one array; anything else as it is."""
    if not isinstance(value, list | tuple) or not value:
        return value
    if not all(isinstance(item, int | float | list | tuple | np.ndarray) for item in value):
        return value
    try:
        array = np.array(value)
    except ValueError:  # of different lengths
        return value
    return array if array.dtype.kind in "fiu" else value


def _require(path: Path, name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise InputError(path, f"has the shape {array.shape}, not {shape}", REMEDY, name)
