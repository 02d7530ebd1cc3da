"""Rows of a file of features, in the order of the images of a set.

Where the file names its rows, the names decide. Where it does not, or where the set has no names to
compare with, the order is taken on trust, and `Placed.notes` says so.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stages.core.errors import InputError
from stages.datasets._matching import IMAGES, NUMBERED, Match, match, match_numbers, numbered_order

TRUST = "the order of the rows is taken on trust"
REMEDY = "give one row an image, in the order of the data set's list"
EXAMPLES = 3
SAME = 0.9  # cosine of two embeddings of one image, at least: rounding and batches change little


class Placed(NamedTuple):
    """Features of the wanted images.

    Attributes:
        arrays: `embedding`, and `mirrored` where the file has it, float32 [wanted, d].
        notes: by topic (`order`, `zeros`), what a person should know of them.
    """

    arrays: dict[str, np.ndarray]
    notes: dict[str, str]


class _File(NamedTuple):
    """A file of features and the images that need them; fields as the arguments of `place`."""

    path: Path
    given: dict[str, Any]
    known: Sequence[str]
    pack: np.ndarray | None
    wanted: np.ndarray


def place(
    path: Path,
    given: dict[str, Any],
    known: Sequence[str],
    pack: np.ndarray | None = None,
    wanted: np.ndarray | None = None,
) -> Placed:
    """Put the rows of `given` in the order of the set, and print the notes on stderr.

    Args:
        path: the file, for errors.
        given: as `read_features` gives it.
        known: name of each image of the set.
        pack: of a set of pairs, the image at each place of the pack: places 2k and 2k + 1 are
            pair k. None for other sets.
        wanted: images that need features; the others may be in the file or not. None: all.

    Raises:
        InputError: the file names other images than the set has, or only some of them; it names an
            image twice; or it has another number of rows than there are images.
    """
    wanted = np.arange(len(known)) if wanted is None else wanted
    arrays = {name: given[name] for name in ("embedding", "mirrored") if name in given}
    given = given | _named(given, known)
    placing = _by_name if "names" in given else _by_count
    if len(set(given.get("names", []))) == 1 < len(given["names"]):
        problem = f"every row has the same name, {given['names'][0]!r}"
        raise InputError(path, problem, "write paths without blanks, one image a row")
    rows, order = placing(_File(path, given, known, pack, wanted))
    if not np.array_equal(rows, np.arange(len(given["embedding"]))):
        arrays = {name: values[rows] for name, values in arrays.items()}
    notes = {"order": order} | _zeros(arrays, [known[image] for image in wanted])
    for note in notes.values():
        print(f"{path}: {note}", file=sys.stderr)
    return Placed(arrays, notes)


def _named(given: dict[str, Any], known: Sequence[str]) -> dict[str, Any]:
    """`names`, if one of the `others` that the file holds names images of the set.

    It does if most of its strings differ, as labels do not, and if one of them means an image or
    most are file names of images; of a pack, if they number its images.
    """
    is_pack = all(NUMBERED.fullmatch(name) for name in known)
    for names in given.get("others", {}).values():
        if 2 * len(set(names)) <= len(names):
            continue
        if is_pack:
            fits = match_numbers(names, known) is not None or numbered_order(names) is not None
        else:
            files = sum(name.lower().rpartition(".")[2] in IMAGES for name in names)
            fits = 2 * files > len(names) or np.any(match(names, known).image >= 0)
        if fits:
            return {"names": [name.strip() for name in names]}
    return {}


def interleaved(pairs: dict[str, np.ndarray] | None) -> np.ndarray | None:
    """Image at each place of a pack, from its table `pairs`; None without the table."""
    if pairs is None:
        return None
    return np.stack([np.asarray(pairs[side]) for side in ("first", "second")], axis=1).reshape(-1)


def _by_count(file: _File, reason: str = "the file names no images") -> tuple[np.ndarray, str]:
    """Rows of the wanted images in the order of the set, or of the pack, or of `wanted` itself."""
    path, given, known, pack, wanted = file
    embedding = given["embedding"]
    count = len(embedding)
    told = [f"`{key}` names none" if names else f"`{key}` holds Python objects, which are not read"
            for key, names in given.get("others", {}).items()]  # fmt: skip
    if told and "names" not in given:
        reason = f"the file has no `names`, and {', '.join(told)}"
    order = f"{TRUST}: {reason}"
    if count == len(known):
        return wanted, order
    if pack is not None and count == len(pack):
        return _first_places(pack, len(known))[wanted], order + _recurring(embedding, pack)
    if count == len(wanted):
        return np.arange(count), order
    images = len(known) if pack is None else f"{len(known)} distinct or {len(pack)}"
    turned = f"; the array looks like [d, n]: transpose it, and {REMEDY}"
    remedy = turned[2:] if embedding.shape[1] == len(known) else REMEDY
    raise InputError(path, f"{count} rows for {images} images", remedy)


def _by_name(file: _File) -> tuple[np.ndarray, str]:
    known, pack, names = file.known, file.pack, file.given["names"]
    if not all(NUMBERED.fullmatch(name) for name in known):
        found = match(names, known)
    elif (found := match_numbers(names, known)) is None or _of_places(names, found, pack):
        return _by_numbers(file)
    rows = _one_to_one(file, found)
    moved = int(np.sum(np.diff(rows) < 0))
    how = "and were put in its order" if moved else "and are in its order"
    return rows, f"the rows name the images of the set by their {found.by} {how}"


def _of_places(names: Sequence[str], found: Match, pack: np.ndarray | None) -> bool:
    """Whether `image_17` is a place of the pack, one of them all, not a distinct image's first."""
    every = pack is not None and len(names) == len(pack) and bool(np.any(found.image < 0))
    return every and numbered_order(names) is not None


def _by_numbers(file: _File) -> tuple[np.ndarray, str]:
    """Of a pack, whose images have no names: by the numbers in the file's names, if they have any.

    Consecutive numbers can only be those of the places in the pack, or of its distinct images.
    """
    names, pack = file.given["names"], file.pack
    order = numbered_order(names)
    if order is None:
        _refuse_numbers(file.path, names)
        reason = f"the images of a pack have no names to compare with those here, {names[0]!r}, .."
        return _by_count(file, reason)
    sorted_rows = {"embedding": file.given["embedding"][order]}
    rows, _ = _by_count(file._replace(given=sorted_rows))
    moved = np.any(order != np.arange(len(order)))
    how = "put in the order of" if moved else "in the order of"
    note = f"the rows are {how} the numbers in their names, {names[order[0]]!r}, .."
    repeated = pack is not None and len(order) == len(pack)
    return order[rows], note + (_recurring(sorted_rows["embedding"], pack) if repeated else "")


def _one_to_one(file: _File, found: Match) -> np.ndarray:
    """Row of each wanted image. Raise InputError if names and images are not one to one."""
    path, given, known, pack, wanted = file
    names, image = given["names"], found.image
    count = len(known)
    first = _first_places(np.where(image < 0, count, image), count + 1)[:count]
    twin = _twins(known)
    first = np.where(first < 0, first[twin], first)
    missing, unknown = wanted[first[wanted] < 0], np.flatnonzero(image < 0)
    if len(unknown) == len(names):
        _refuse_numbers(path, names)
    if found.unclear:
        name, *both = found.unclear
        problem = f"the image {name!r} of a row may be {both[0]!r} or {both[1]!r} of the set"
        raise InputError(path, problem, "name the images with their folders")
    again = np.flatnonzero((image >= 0) & (first[image] != np.arange(len(image))))
    may_recur = pack is not None or len(np.unique(twin)) < count
    if may_recur:
        again = again[_cosines(given["embedding"], again, first[image[again]]) < SAME]
    told = [f"the rows name {np.sum(first >= 0)} of the {count} images"]
    if len(missing):
        told.append(f"without a row: {len(missing)} ({_some(known, missing)})")
    if len(unknown):
        told.append(f"not of the set: {len(unknown)} ({_some(names, unknown)})")
    if len(again):
        rows = f"rows {first[image[again[0]]]} and {again[0]}, from 0"
        what = "named again with other features" if may_recur else "named again"
        told.append(f"{what}: {len(again)} ({_some(names, again)}; {rows})")
    if len(told) > 1:
        remedy = "name each row by the path of its image in the data set, and give each image a row"
        raise InputError(path, "; ".join(told), remedy)
    return first[wanted]


def _twins(known: Sequence[str]) -> np.ndarray:
    """First image of the same name: a list may have a line twice."""
    first: dict[str, int] = {}
    return np.array([first.setdefault(name, image) for image, name in enumerate(known)], np.int64)


def _first_places(image: np.ndarray, count: int) -> np.ndarray:
    """First place of each of `count` images in `image`; -1 for those that do not occur."""
    places = np.full(count, -1)
    places[image[::-1]] = np.arange(len(image))[::-1]
    return places


def _recurring(embedding: np.ndarray, pack: np.ndarray) -> str:
    """A warning where rows of one image differ, as they do in an order that is not the pack's."""
    first = _first_places(pack, int(pack.max()) + 1)[pack]
    again = np.flatnonzero(first != np.arange(len(pack)))
    differ = again[_cosines(embedding, again, first[again]) < SAME]
    if not len(differ):
        return ""
    return (
        f"; WARNING: {len(differ)} of {len(again)} rows differ from an earlier row of the same "
        f"image (row {differ[0]} from row {first[differ[0]]}, from 0): this is not the order of "
        "the pack, or the images were not embedded alike"
    )


def _cosines(embedding: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Cosine of rows `left` with rows `right`; 1 where one is zeros, which tells nothing."""
    x, y = embedding[left].astype(np.float64), embedding[right].astype(np.float64)
    lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    product = np.einsum("ij,ij->i", x, y)
    return np.where(lengths > 0, product / np.where(lengths > 0, lengths, 1), 1)


def _zeros(arrays: dict[str, np.ndarray], names: Sequence[str]) -> dict[str, str]:
    """A note on rows of zeros, which many programs write for images without a face."""
    notes = []
    for name, values in arrays.items():
        rows = np.flatnonzero(~values.any(axis=1))
        if len(rows):
            notes.append(f"{len(rows)} of {len(values)} rows of {name} are zeros ("
                         f"{_some(names, rows)})")  # fmt: skip
    return {"zeros": f"{'; '.join(notes)}: they are similar to nobody"} if notes else {}


def _refuse_numbers(path: Path, names: Sequence[str]) -> None:
    """Raise InputError if the names of the rows are numbers: the first dimension of vectors."""
    try:
        for name in names:
            float(name)
    except ValueError:
        return
    problem = f"the first word of each line is a number ({names[0]}), not the path of an image"
    remedy = (
        "numpy.savetxt writes no paths: save the array with numpy.save as .npy, or write the path "
        "of the image before its numbers"
    )
    raise InputError(path, problem, remedy, "line 1")


def _some(names: Sequence[str], rows: np.ndarray) -> str:
    more = ", .." if len(rows) > EXAMPLES else ""
    return ", ".join(repr(names[row]) for row in rows[:EXAMPLES]) + more
