"""What every reader gives: images with a name each, and the protocol lists that come with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np


class Record(NamedTuple):
    """One encoded image.

    Attributes:
        name: the record as one would name it to a person (`record 17`, `loose_crop/3.jpg`).
        label: class of a training set (0..C-1), or core's UNKNOWN_LABEL.
        payload: the encoded image, byte for byte as it was found.
        landmarks: float32 [10], x1 y1 .. x5 y5 in pixels; None if unknown.
    """

    name: str
    label: int
    payload: bytes | memoryview
    landmarks: np.ndarray | None = None


class Records:
    """A known number of records, loaded one by one while they are iterated.

    Args:
        count: number of records.
        load: gives them, in the order of the set.
        names: gives the names alone, where they are known without reading the images.
    """

    def __init__(
        self,
        count: int,
        load: Callable[[], Iterator[Record]],
        names: Callable[[], Iterable[str]] | None = None,
    ) -> None:
        self._count = count
        self._load = load
        self._names = names

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Record]:
        return self._load()

    def names(self) -> list[str]:
        """Name of each record; the images are read only if the reader gives no names itself."""
        return [record.name for record in self] if self._names is None else list(self._names())


@dataclass(frozen=True)
class Source:
    """An image set as its vendor ships it.

    Attributes:
        records: the images, sized and iterable, read lazily.
        tables: protocol lists by name (pairs, templates, ..), each a dict of equal-length columns;
            their `record` columns count the images in the order of `records`.
        absent: lists that a set of this format may have and this one has not, by the name of the
            table: the vendor's file that was not found, and how to come by it.
    """

    records: Records
    tables: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    absent: dict[str, tuple[str, str]] = field(default_factory=dict)
