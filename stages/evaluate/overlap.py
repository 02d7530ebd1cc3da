"""Which test images and people the models of a benchmark have learnt.

Numbers on images that a model has learnt say nothing about others. An image is the same if the
bytes of its file are, or those of its crop: a copy in another lossless format, or without its
metadata, has other bytes and the same crop. A person is the same if both sets give the same name.
"""

from __future__ import annotations

import re
import unicodedata
from binascii import unhexlify
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.contract import InputContract, TrainingSet
from stages.core.errors import InputError
from stages.core.files import sha256
from stages.core.index import UNKNOWN_LABEL, Index, read_pieces, read_table
from stages.core.params import PARAMS_FILE
from stages.protocols._tables import Tables

ALIGNED, UNPACKED, INDEX = Path("data/align"), Path("data/unpack"), "index.parquet"
SHA1_BYTES = 20
EXAMPLES = 3  # people who are named
PIXELS = "pixels"  # a model that has learnt nothing


def overlaps(
    image_set: str,
    index: Index,
    tables: Tables,
    models: dict[str, dict[str, Any] | None],
    dataset: str,
) -> list[dict[str, Any]]:
    """What a test set shares with each training set of the models whose features were read.

    Only the images of `dataset` are here for sure, so only these are compared.

    Args:
        image_set: name of the test set.
        index: its aligned images.
        tables: its protocol lists.
        models: what model.json says, by model; None for a model without that file.
        dataset: the training set in params.yaml.

    Returns:
        A mapping per training set. `training_set` is its name. Where it cannot be compared,
        `unknown` says why. Otherwise `images` counts the distinct test images, `shared` those of
        them that are training images, `raw` and `crops` those whose file and whose crop is equal;
        `people` counts the people of the test set and `same_name` those of them whose name is in
        both sets, with a few `names`; both are None where a set does not name its people.
    """
    found = []
    for learnt in _training_sets(models):
        entry: dict[str, Any] = {"training_set": learnt.name}
        if reason := _incomparable(learnt, dataset):
            found.append(entry | {"unknown": reason})
        else:
            counts = _shared_images(image_set, index, dataset)
            found.append(entry | counts | _shared_people(index, tables, dataset))
    return found


def refuse_training_images(benchmark: str, image_set: str, found: list[dict[str, Any]]) -> None:
    """Raise InputError if every image of the test set is an image of one training set."""
    for entry in found:
        if entry.get("shared", 0) and entry["shared"] == entry["images"]:
            problem = (
                f"all {entry['images']} images of {image_set} are images of "
                f"{entry['training_set']}, which the model was trained on"
            )
            remedy = (
                "choose a test set of other people; a folder of people is split by "
                "`part: train` and `part: test` (docs/datasets.md)"
            )
            raise InputError(PARAMS_FILE, problem, remedy, f"benchmarks.{benchmark}.dataset")


def sentences(image_set: str, found: list[dict[str, Any]]) -> list[str]:
    """The counts in words, one sentence per training set."""
    return [_sentence(image_set, entry) for entry in found]


def _sentence(image_set: str, entry: dict[str, Any]) -> str:
    learnt = entry["training_set"]
    if reason := entry.get("unknown"):
        return f"unknown whether images of {image_set} are training images of {learnt}: {reason}"
    text = (
        f"{entry['shared']} of {entry['images']} images of {image_set} are training images of "
        f"{learnt} ({entry['raw']} equal files, {entry['crops']} equal crops)"
    )
    if entry["people"] is None:
        return f"{text}; the two sets do not both name their people"
    examples = f" ({', '.join(entry['names'])})" if entry["names"] else ""
    return f"{text}; {entry['same_name']} of {entry['people']} people are in both by name{examples}"


def _training_sets(models: dict[str, dict[str, Any] | None]) -> list[TrainingSet]:
    """What the models have learnt, each set once; what says nothing of itself counts as one."""
    learnt: dict[TrainingSet, None] = {}
    for model, about in models.items():
        if about and "contract" in about:
            sets = InputContract(**about["contract"]).training_sets()
            learnt |= dict.fromkeys(sets or [_unnamed(model)])
        elif model != PIXELS:
            learnt[_unnamed(model)] = None
    return list(learnt)


def _unnamed(model: str) -> TrainingSet:
    return TrainingSet(f"the training set of {model}", None)


def _incomparable(learnt: TrainingSet, dataset: str) -> str | None:
    """Why the images of a training set cannot be compared; None if they can."""
    if learnt.digest is None:
        return "its images are not here"
    if learnt.name != dataset:
        return f"set `dataset` to {learnt.name} to have them compared"
    if sha256(ALIGNED / dataset / INDEX) != learnt.digest:
        return f"{dataset} holds other images now than the model has learnt"
    return None


def _shared_images(image_set: str, index: Index, dataset: str) -> dict[str, int]:
    """Counts of distinct test images, and of those among the training images.

    An image of one set may be a crop of the other, so files and crops are also compared crosswise.
    """
    files = _digests(UNPACKED / image_set / INDEX)[index.record]
    crops = _digests(ALIGNED / image_set / INDEX)
    of_files, of_crops = (np.sort(_digests(root / dataset / INDEX)) for root in (UNPACKED, ALIGNED))
    raw, crop = _among(files, of_files), _among(crops, of_crops)
    either = raw | crop | _among(files, of_crops) | _among(crops, of_files)
    return {
        "images": len(np.unique(files)),
        "shared": len(np.unique(files[either])),
        "raw": len(np.unique(files[raw])),
        "crops": len(np.unique(files[crop])),
    }


def _digests(path: Path) -> np.ndarray:
    """The first 64 bits of the SHA-1 of each image of an index, uint64 [n].

    Two different images of sets of n and m agree by chance with a probability of n m / 2^64: less
    than one in a million for a million test images and five million training images.

    Raise InputError if the index holds anything else.
    """
    parts = [np.empty(0, np.uint64)]
    for texts in read_pieces(path, "sha1"):
        try:
            data = unhexlify(texts.data)
            if len(data) != SHA1_BYTES * len(texts):
                raise ValueError("other lengths")
            parts.append(np.ndarray(len(texts), ">u8", data, strides=(SHA1_BYTES,)).astype("=u8"))
        except (AttributeError, ValueError, TypeError) as fault:
            problem = f"its column sha1 holds no SHA-1 ({fault})"
            raise InputError(path, problem, "run the stage that wrote it again") from None
    return np.concatenate(parts)


def _among(digests: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which of `digests` are in `known`, which is sorted and not empty; bool [n]."""
    order = np.argsort(digests)  # a search for sorted values is several times as fast
    place = np.empty(len(digests), np.intp)
    place[order] = np.searchsorted(known, digests[order])
    return known[np.minimum(place, len(known) - 1)] == digests


def _shared_people(index: Index, tables: Tables, dataset: str) -> dict[str, Any]:
    theirs = people(index.source, _subjects(index, tables))
    ours = None
    if theirs:
        columns = read_table(ALIGNED / dataset / INDEX, ["source", "label"])
        ours = people(columns["source"], columns["label"])
    if not (theirs and ours):
        return {"people": None, "same_name": None, "names": []}
    same = sorted(theirs & ours)
    return {"people": len(theirs), "same_name": len(same), "names": same[:EXAMPLES]}


def _subjects(index: Index, tables: Tables) -> np.ndarray:
    """Who is on each image, by its label or by a protocol list; UNKNOWN_LABEL where nobody says."""
    subject = np.array(index.label)
    for name in tables.lists:
        columns = tables[name]
        if {"record", "subject"} <= columns.keys():
            of_record = np.full(1 + max(columns["record"].max(), index.record.max()), UNKNOWN_LABEL)
            of_record[columns["record"]] = columns["subject"]
            subject = np.where(subject == UNKNOWN_LABEL, of_record[index.record], subject)
    return subject


def people(source: Iterable[str], subject: np.ndarray) -> set[str] | None:
    """Names of people in a normal form, where the folder of an image is its person.

    That is so where each folder is of one person and each person of one folder.

    Args:
        source: `Ann_Lee/3.jpg` of each image.
        subject: number of the person on each image; below 0 where unknown.

    Returns:
        The names; None where folders are not people, or have numbers instead of names.
    """
    known = set()
    before: tuple[int, str] = UNKNOWN_LABEL, ""
    for path, number in zip(source, subject.tolist(), strict=True):
        here = number, path.rpartition("/")[0]
        if number >= 0 and here != before:  # images of a person mostly follow one another
            if not here[1]:
                return None
            known.add((number, here[1].rpartition("/")[2]))
            before = here
    numbers, folders = {number for number, _ in known}, {folder for _, folder in known}
    if not len(known) == len(numbers) == len(folders):
        return None
    return {name for folder in folders if (name := normal(folder))} or None


def normal(name: str) -> str:
    """A person's name without case, accents and kind of separator; "" for a number.

    Two sets may number their people alike and mean different ones.
    """
    letters = unicodedata.normalize("NFKD", name).casefold()
    letters = "".join(letter for letter in letters if not unicodedata.combining(letter))
    words = re.sub(r"[\W_]+", " ", letters).strip()
    return words if any(letter.isalpha() for letter in words) else ""
