"""Lists that clean a set: which images a list of names leaves out, however it spells them.

The list and the set seldom come from one place. The names of MegaFace's kit have blanks and .jpg
(`Adam Brody/Adam Brody_1.jpg`) where InsightFace's lists of noise have underscores and .png
(`Adam_Brody_1.png`); others have folders, quotes or %20. Names are therefore compared in a normal
form. How many were found is printed, because a list that finds none cleans nothing, and the figures
of a cleaned set would be reported for one that is not.
"""

from __future__ import annotations

import csv
import json
import re
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from stages.core.errors import InputError
from stages.core.kinds import BRIEF

EXAMPLES = 3
SUFFIX = re.compile(r"\.(jpe?g|jpe|jfif|png|bmp|gif|tiff?|webp|pgm|ppm)$", re.IGNORECASE)
NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")
QUOTES = "\"'`"


class Line(NamedTuple):
    """A line of a list: its number from 1, its text, and the paths it may mean, likeliest first."""

    number: int
    text: str
    readings: tuple[str, ...]


def left_out(listing: Path, text: str, names: Sequence[str], remedy: str) -> set[str]:
    """The images that a list leaves out; how many of its names were found goes to stderr.

    A line means an image if the path of one ends in the path of the other: a folder may be missing
    on either side, and where both have one, it is the same. The comparison is in the normal form,
    and of images that are alike in it the one that is spelled as in the list is meant.

    Args:
        listing: the list, named by errors.
        text: its content: a path a line, alone or in a column beside others, or JSON.
        names: paths of all images of the set.
        remedy: what to do where the list does not belong to the set.

    Returns:
        Those of `names` that are left out.

    Raises:
        InputError: no line means an image of the set, or a line may mean several.
    """
    lines = _lines(text)
    found = _found(listing, lines, names)
    missed = [line.text for line in lines if line not in found]
    if lines and not found:
        problem = (
            f"found 0 of {len(lines)} names: the list has {_examples(missed)}; "
            f"the set has {_examples(names)}"
        )
        raise InputError(listing, problem, remedy)
    images = {name for _, name in found.values()}
    lost = sum(name in images for name in names)
    said = [f"found {len(found)} of {len(lines)} names, leaves out {lost} of {len(names)} images"]
    others = [(p, name) for p, name in found.values() if not _ends_alike(_split, p, name)]
    if others:
        path, name = others[0]
        said.append(
            f"{len(others)} by another spelling, such as {BRIEF.repr(path)} for {BRIEF.repr(name)}"
        )
    if missed:
        said.append(f"not found: {_examples(missed)}")
    print(f"{listing}: {'; '.join(said)}", file=sys.stderr)
    return images


def _found(listing: Path, lines: list[Line], names: Sequence[str]) -> dict[Line, tuple[str, str]]:
    """The path in a line and the image that it means, of the lines that mean one."""
    images = _by_end(names, {tuple(_parts(path)) for line in lines for path in line.readings})
    found = {}
    for line in lines:
        for path in line.readings:
            *folders, stem = _parts(path)
            near = [*images.get((*folders[-1:], stem), ()), *images.get((stem,), ())]
            alike = [n for n in dict.fromkeys(near) if _ends_alike(_parts, n, path)]
            if alike:
                found[line] = path, _nearest(listing, line, path, alike)
                _refuse_second(listing, line, path, images)
                break
    return found


def _refuse_second(
    listing: Path, line: Line, path: str, images: dict[tuple[str, ...], list[str]]
) -> None:
    """Raise InputError if the line names an image with another file name than `path` as well."""
    for other in line.readings:
        *folders, stem = _parts(other)
        if SUFFIX.search(other) and stem != _parts(path)[-1]:
            near = [*images.get((*folders[-1:], stem), ()), *images.get((stem,), ())]
            if any(_ends_alike(_parts, name, other) for name in near):
                problem = f"{line.text!r} names several images, {path!r} and {other!r}"
                raise InputError(listing, problem, "write one name a line", f"line {line.number}")


def _by_end(names: Sequence[str], wanted: set[tuple[str, ...]]) -> dict[tuple[str, ...], list[str]]:
    """Images by the end of their path in the normal form: folder and stem, and for paths of a list
    without a folder, and images without one, the stem alone.

    Args:
        wanted: paths in the list; what none of a million images can mean is passed over.
    """
    stems = {path[-1] for path in wanted}
    bare = {path[-1] for path in wanted if len(path) == 1}
    images: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name in dict.fromkeys(names):
        *folders, file = _split(name)
        if (stem := _normal(file)) in stems:
            if folders:
                images[_tidy(folders[-1]), stem].append(name)
            if stem in bare or not folders:
                images[stem,].append(name)
    return images


def _nearest(listing: Path, line: Line, path: str, alike: list[str]) -> str:
    """Which of the images is spelled most like `path`. Raise InputError if several are."""
    if path in alike:
        return path
    for form in (_split, _plain):
        if exact := [name for name in alike if _ends_alike(form, name, path)]:
            alike = exact
            break
    if len(alike) > 1:
        problem = f"{line.text!r} may mean {len(alike)} images: {_examples(alike)}"
        remedy = "spell the path there as the set does, with its folders"
        raise InputError(listing, problem, remedy, f"line {line.number}")
    return alike[0]


def _ends_alike(form: Callable[[str], list[str]], first: str, second: str) -> bool:
    """Whether one path ends in the other."""
    ours, theirs = form(first), form(second)
    shared = min(len(ours), len(theirs))
    return ours[-shared:] == theirs[-shared:]


def _split(path: str) -> list[str]:
    parts = [part for part in path.replace("\\", "/").split("/") if part not in ("", ".")]
    return parts or [path]


def _plain(path: str) -> list[str]:
    """The same characters whatever their encoding."""
    return [unicodedata.normalize("NFC", unquote(part)) for part in _split(path)]


def _parts(path: str) -> list[str]:
    """The path in the normal form."""
    *folders, file = _split(path)
    return [*(_tidy(folder) for folder in folders), _normal(file)]


def _normal(file: str) -> str:
    return _tidy(SUFFIX.sub("", file))


def _tidy(part: str) -> str:
    """Underscores for blanks, small letters, composed, without %20."""
    if "%" in part:
        part = unquote(part)
    if not part.isascii():
        part = unicodedata.normalize("NFC", part)
    return re.sub(r"[\s_]+", "_", part.strip()).casefold()


def _lines(text: str) -> list[Line]:
    """The lines that name something, each once; blank ones and comments do not."""
    lines: dict[str, Line] = {}
    listed = _json(text)
    for number, line in enumerate(text.splitlines() if listed is None else listed, 1):
        line = line.strip()
        if line and (listed is not None or not line.startswith("#")):
            readings = [path for path in dict.fromkeys(_readings(line)) if _may_name(path)]
            lines.setdefault(line, Line(number, line, tuple(readings)))
    return list(lines.values())


def _json(text: str) -> list[str] | None:
    """The names in a list of JSON, or in its entry `path`; None if the text is not such a list."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        return None
    names = given.get("path") if isinstance(given, dict) else given
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return names if is_list else None


def _readings(line: str) -> Iterator[str]:
    """The whole line, then what is a path among columns between tabs, commas or blanks."""
    yield _unquoted(line)
    if "\t" in line:
        yield from _columns(line.split("\t"))
    if "," in line:
        with suppress(csv.Error):  # a column of more than 128 KiB
            yield from _columns(next(csv.reader([line], skipinitialspace=True), []))
    for text in (line.partition(" #")[0].rstrip(), line):
        if SUFFIX.search(path := _amid_numbers(text)):
            yield _unquoted(path)
    words = line.split()
    if len([word for word in words if not NUMBER.fullmatch(word)]) == 1:  # the rest are numbers
        yield from _columns(words)


def _amid_numbers(line: str) -> str:
    """The line without the numbers before and after a name that may have blanks: rank, score."""
    words = [word for word in re.finditer(r"\S+", line)]
    names = [word for word in words if not NUMBER.fullmatch(word[0])]
    return line[names[0].start() : names[-1].end()] if names else ""


def _columns(columns: list[str]) -> Iterator[str]:
    columns = [column for text in columns if (column := _unquoted(text))]
    paths = [c for c in columns if SUFFIX.search(c)]
    paths = paths or [c for c in columns if not NUMBER.fullmatch(c)]
    others = [column for column in columns if column not in paths]
    folders = [column for column in others if "/" in column or "@" in column]  # @: Flickr's users
    for path in paths:
        if len(_split(path)) == 1:
            yield from (f"{column}/{path}" for column in folders or others)
        if len(_split(path)) > 1 or not folders:
            yield path


def _may_name(path: str) -> bool:
    """Not a bare number: a list of row numbers would find images that are called 7.jpg."""
    return bool(path) and not NUMBER.fullmatch(path)


def _unquoted(text: str) -> str:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in QUOTES:
        return text[1:-1].strip()
    return text


def _examples(names: Sequence[str]) -> str:
    rest = ", .." if len(names) > EXAMPLES else ""
    return ", ".join(BRIEF.repr(name) for name in names[:EXAMPLES]) + rest
