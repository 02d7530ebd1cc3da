"""The iResNet that a golden file was made with, read off the file itself."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from stages.networks import iresnet


def depth_of(names: list[str]) -> int:
    """The depth whose blocks are those in a state dict's names."""
    blocks = tuple(
        len({m[1] for n in names if (m := re.match(rf"layer{stage}\.(\d+)\.", n))})
        for stage in (1, 2, 3, 4)
    )
    return next(depth for depth, counts in iresnet.BLOCKS.items() if counts == blocks)


def from_state(names: list[str], shapes: list[tuple[int, ...]], **more) -> iresnet.Params:
    shape = dict(zip(names, shapes, strict=True))
    return iresnet.Params(
        depth=depth_of(names),
        width=shape["conv1.weight"][0] / iresnet.CHANNELS[0],
        embedding=shape["fc.weight"][0],
        **more,
    )


def from_file_name(file: Path) -> tuple[iresnet.Params, int]:
    """(params, resolution) of names such as net_r18_reso7_train.npz."""
    match = re.search(r"_r(\d+)_reso(\d+)", file.name)
    return iresnet.Params(depth=int(match[1])), int(match[2])


def embedding_of(params: iresnet.Params, embedding: np.ndarray) -> iresnet.Params:
    """The same network with as many dimensions as a stored embedding [n, d]."""
    return params.model_copy(update={"embedding": embedding.shape[1]})


def shapes_of(texts: np.ndarray) -> list[tuple[int, ...]]:
    """Shapes written as text: "(64, 3, 3, 3)", "[64]", "64,3"."""
    return [tuple(map(int, re.findall(r"\d+", str(text)))) for text in texts]


def assert_near(actual, expected, relative: float = 1e-4) -> None:
    """Every element within `relative` of itself plus `relative` of the array's spread."""
    np.testing.assert_allclose(actual, expected, rtol=relative, atol=relative * np.std(expected))


def assert_gradient(actual, expected, relative: float = 1e-2) -> None:
    """Distance of two gradients within `relative` of their length.

    Loose, because small batches in train mode amplify the rounding of both sides.
    """
    assert np.linalg.norm(actual - expected) <= relative * np.linalg.norm(expected)
