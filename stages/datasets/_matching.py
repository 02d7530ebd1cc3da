"""Names of images that were written down elsewhere, matched one to one with those of a set.

People name an image by its path on their machine, by a part of that path, by the file's name or by
its stem, with the separators of their system. All are one image as long as only one image of the
set can be meant.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

IMAGES = {
    "jpg", "jpeg", "jpe", "jfif", "png", "bmp", "gif", "webp", "tif", "tiff", "ppm", "pgm",
}  # fmt: skip
# Endings of images, and of files that hold the features of one image each.
ENDINGS = IMAGES | {"npy", "npz", "mat", "bin", "txt", "feat", "pt"}
NUMBERED = re.compile(r"(?:image|record)[ _](\d+)")  # images of packs, which have no path
DIGITS = re.compile(r"(\d+)")
LONGEST_NUMBER = 18  # digits; longer ones number nothing and do not fit into 64 bits


class Match(NamedTuple):
    """Which image of the set each name means.

    Attributes:
        image: position of the image in the set, int64 [names]; -1 where none is meant.
        by: what told, in words.
        unclear: an example of a name that may mean several images, and two of these; or None.
    """

    image: np.ndarray
    by: str
    unclear: tuple[str, str, str] | None = None


def match(names: Sequence[str], known: Sequence[str]) -> Match:
    """Match `names` with the names `known` of a set, by as much of the path as both have.

    The level (how much of the path, with or without the ending of the file) is one for all names:
    the deepest at which most of them are found. A level at which two images of the set have the
    same name tells nothing.
    """
    asked, there = [_parts(name) for name in names], [_parts(name) for name in known]
    depth = max(map(len, there), default=0)
    below = [parts[1:] or parts for parts in there]  # paths relative to the set's own folders
    levels = [(there, depth), (below, depth), *((there, k) for k in range(depth - 1, 0, -1))]
    first: dict[str, int] = {}
    same = [first.setdefault(name, image) for image, name in enumerate(known)]
    best = Match(np.full(len(asked), -1), "")
    for paths, folders in levels:
        for with_ending in (True, False):
            found = _at_level(asked, paths, same, folders, with_ending)
            if found is not None and np.sum(found >= 0) > np.sum(best.image >= 0):
                best = Match(found, _level(folders, with_ending))
                if (found >= 0).all():
                    return best
    if (best.image < 0).all():
        return best._replace(unclear=_unclear(names, asked, known, there))
    return best


def match_numbers(names: Sequence[str], known: Sequence[str]) -> Match | None:
    """Match `names` such as `image_17` with the images `known` of a pack, which have numbers alone.

    None where the names are of another form, or where the set's names are no numbers.
    """
    own = [NUMBERED.fullmatch(name) for name in known]
    asked = [NUMBERED.fullmatch(_stem(_split(name)[-1])) for name in names]
    if not all(own) or not all(asked):
        return None
    image_of = {int(m[1]): image for image, m in enumerate(own)}
    return Match(np.array([image_of.get(int(m[1]), -1) for m in asked], np.int64), "number")


def numbered_order(names: Sequence[str]) -> np.ndarray | None:
    """Rows in the order of the numbers in their names, int64; None where these number nothing.

    The names must differ in numbers alone, which must be consecutive: `0.jpg`, `1.jpg`, .. or two
    for each pair, `0_1.jpg`, `0_2.jpg`, `1_1.jpg`, .., or `1/0.jpg`, `2/0.jpg`, `1/1.jpg`, ..;
    or the last number is consecutive by itself: `7/0.jpg`, `7/1.jpg`, `3/2.jpg`, ..
    """
    split = [DIGITS.split("/".join(_parts(name, with_ending=False))) for name in names]
    skeletons = {tuple(words[::2]) for words in split}
    if len(skeletons) != 1 or max(len(d) for w in split for d in w[1::2] or [""]) > LONGEST_NUMBER:
        return None
    numbers = np.array([[int(word) for word in words[1::2]] for words in split], np.int64)
    numbers = numbers[:, [len(np.unique(column)) > 1 for column in numbers.T]]
    order = np.lexsort(numbers.T[::-1]) if numbers.shape[1] else np.arange(0)
    count = len(names)
    if numbers.shape[1] == 1 and np.all(np.diff(numbers[order, 0]) == 1):
        return order
    if numbers.shape[1] > 1:  # `label/number`, say: the last number alone tells all images apart
        order = np.argsort(numbers[:, -1], kind="stable")
        if np.all(np.diff(numbers[order, -1]) == 1):
            return order
    if numbers.shape[1] == 2 and count % 2 == 0:
        for pair, side in ((0, 1), (1, 0)):
            order = np.lexsort((numbers[:, side], numbers[:, pair]))
            if _are_pairs(numbers[order, pair], numbers[order, side]):
                return order
    return None


def _are_pairs(pair: np.ndarray, side: np.ndarray) -> bool:
    """Whether consecutive pairs have two consecutive sides each, the same ones."""
    pair, side = pair.reshape(-1, 2), side.reshape(-1, 2)
    both = np.all(pair[:, 0] == pair[:, 1]) and np.all(np.diff(pair[:, 0]) == 1)
    return bool(both and np.all(side == side[0]) and side[0, 1] - side[0, 0] == 1)


def _split(name: str) -> list[str]:
    """Folders and file of a path; both separators count, `.` and empty parts do not.

    A blank is an underscore, as which it is written into lists whose words blanks separate.
    """
    normal = unicodedata.normalize("NFC", name).replace("\\", "/").replace(" ", "_")
    words = normal.split("/")
    return [word for word in words if word not in ("", ".")] or [""]


def _parts(name: str, with_ending: bool = True) -> tuple[str, ...]:
    *folders, file = _split(name)
    return (*folders, file if with_ending else _stem(file))


def _stem(file: str) -> str:
    stem, _, ending = file.rpartition(".")
    return _stem(stem) if stem and ending.lower() in ENDINGS else file


def _at_level(
    asked: list[tuple[str, ...]],
    there: list[tuple[str, ...]],
    same: list[int],
    folders: int,
    with_ending: bool,
) -> np.ndarray | None:
    """Image of each name by its last `folders` parts; None where two images have the same.

    `same` is the first image of the same full name: a list may name one twice.
    """

    def key(parts: tuple[str, ...]) -> tuple[str, ...]:
        last = parts[-folders:]
        return last if with_ending else (*last[:-1], _stem(last[-1]))

    image_of: dict[tuple[str, ...], int] = {}
    for image, parts in enumerate(there):
        before = image_of.setdefault(key(parts), image)
        if same[before] != same[image]:
            return None
    found = np.array([image_of.get(key(parts), -1) for parts in asked], np.int64)
    parents = {parts[-folders - 1] for parts in there if len(parts) > folders}
    for row in np.flatnonzero(found >= 0):
        mine, its = asked[row], there[found[row]]
        if len(mine) > folders and len(its) > folders:
            above = mine[-folders - 1]
            if above != its[-folders - 1] and above in parents:
                found[row] = -1  # the same file name in the folder of somebody else
    return found


def _level(folders: int, with_ending: bool) -> str:
    if folders > 1:
        return "path" if with_ending else "path without its ending"
    return "file name" if with_ending else "stem"


def _unclear(
    names: Sequence[str],
    asked: list[tuple[str, ...]],
    known: Sequence[str],
    there: list[tuple[str, ...]],
) -> tuple[str, str, str] | None:
    first: dict[str, int] = {}
    several: dict[str, tuple[int, int]] = {}
    for image, parts in enumerate(there):
        file = _stem(parts[-1])
        if file in first:
            several.setdefault(file, (first[file], image))
        first.setdefault(file, image)
    for name, parts in zip(names, asked, strict=True):
        if both := several.get(_stem(parts[-1])):
            return name, known[both[0]], known[both[1]]
    return None
