"""Sets of features as extract leaves them, made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stages.core.index import Index, write_index


def write_set(root: Path, image_set: str, names: list[str], embedding: np.ndarray) -> None:
    """The index of `image_set` and its features by the trunk, below `root`."""
    n = len(names)
    zeros = np.zeros(n, np.int64)
    index = Index(
        path=np.array([f"images/{k:08}.png" for k in range(n)], object),
        offset=zeros - 1,
        length=zeros,
        label=zeros,
        width=zeros + 112,
        height=zeros + 112,
        sha1=np.array([""] * n, object),
        source=np.array(names, object),
        record=np.arange(n),
        landmarks=np.full((n, 10), np.nan, np.float32),
    )
    write_index(root / "data/align" / image_set / "index.parquet", index)
    features = root / "data/features" / image_set / "trunk"
    features.mkdir(parents=True)
    np.save(features / "embedding.npy", embedding)
    np.save(features / "norm.npy", np.linalg.norm(embedding, axis=1))


def read_list(path: Path) -> tuple[list[str], np.ndarray]:
    """Paths and vectors of a feature list, read as MagFace's own tools read it."""
    lines = [line.strip().split(" ") for line in path.read_text().split("\n") if line]
    return [words[0] for words in lines], np.array([words[1:] for words in lines], np.float32)
