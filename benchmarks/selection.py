"""FaceCoresetNet's farthest-point selection, one set at a time and over the templates of IJB-C."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from threadpoolctl import threadpool_limits

from benchmarks._measure import Row, alternate
from stages.heads._selection import farthest_points

POINTS, DIMENSIONS, GAMMA = 3, 512, 0.01
EVAL_SCALE, EVAL_TAU = 1e4, 1e-10  # the published code's, in evaluation
SINGLE = {64: 3.8, 256: 3.5, 512: 3.1, 2048: 3.2}  # images of a set: best ratio known
TEMPLATES, TIMED = 23_124, 4_000  # of IJB-C; drawn here, so that their features fit in memory
MEDIAN, LARGEST = 4, 2048  # images of a template
TAIL = 1.8  # spread of the logarithm of their sizes: a mean of 20, as in IJB-C


def rows() -> list[Row]:
    # One thread on both sides: the products of small sets would measure the second one's wake-up.
    torch.set_num_threads(1)
    threadpool_limits(1)
    random = np.random.default_rng(0)
    torch.manual_seed(0)
    single = [_row(f"FPS, a set of {size:,}", np.array([size]), random, 3.0, best, 20)
              for size, best in SINGLE.items()]  # fmt: skip
    sizes = np.exp(random.normal(np.log(MEDIAN), TAIL, TIMED)).round().clip(1, LARGEST)
    note = f"{TIMED:,} of {TEMPLATES:,} templates timed and scaled"
    name = f"FPS, {TEMPLATES:,} ragged templates"
    ragged = _row(name, sizes.astype(int), random, 5.0, 6.7, 1, TEMPLATES / TIMED, note)
    return [*single, ragged]


def _row(
    name: str,
    sizes: np.ndarray,
    random: np.random.Generator,
    target: float,
    best: float,
    calls: int,
    scale: float = 1.0,
    note: str = "",
) -> Row:
    unit, norm = _features(int(sizes.sum()), random)
    sets = list(zip(torch.from_numpy(unit).split(sizes.tolist()),
                    torch.from_numpy(norm).split(sizes.tolist()), strict=True))  # fmt: skip
    _require_equal_picks(sets, unit, norm, sizes)

    def ours() -> None:
        for _ in range(calls):
            farthest_points(unit, norm, sizes, GAMMA, POINTS)

    @torch.inference_mode()
    def published() -> None:
        for _ in range(calls):
            for one in sets:
                loop(*one, noise=True)

    def limit() -> None:
        for _ in range(calls):
            np.einsum("ij,ij->i", unit, unit)

    seconds, reference, least = (t * scale / calls for t in alternate(ours, published, limit))
    said = f"{note + '; ' if note else ''}theirs: one set at a time, one-hot products in torch"
    return Row(name, seconds, reference, target, best, least / seconds, said)


def _features(count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    unit = random.standard_normal((count, DIMENSIONS), np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    return unit, random.uniform(5, 40, count).astype(np.float32)


def loop(unit: torch.Tensor, norm: torch.Tensor, noise: bool) -> torch.Tensor:
    """Images chosen from one set [1, T, D], as the published code does it in evaluation."""
    features = (norm[:, None] * unit)[None]
    normalised = F.normalize(features, dim=2)
    weight = norm[None, :, None] ** GAMMA
    logits, distance, chosen = norm[None, :, None], None, []
    for _ in range(min(POINTS, features.shape[1])):
        scaled = logits * EVAL_SCALE
        if noise:
            scaled = scaled - torch.empty_like(scaled).exponential_().log()
        soft = torch.softmax(scaled / EVAL_TAU, dim=1)
        index = soft.argmax(dim=1, keepdim=True)
        hard = torch.zeros_like(soft).scatter_(1, index, 1.0)
        choice = hard - soft.detach() + soft
        point = choice.transpose(1, 2) @ features
        chosen.append(index.flatten())
        cosine = normalised @ F.normalize(point, dim=2).transpose(1, 2)
        new = weight * (1 - cosine) / 2
        logits = distance = new if distance is None else torch.minimum(distance, new)
    return torch.cat(chosen)


@torch.inference_mode()
def _require_equal_picks(sets: list, unit: np.ndarray, norm: np.ndarray, sizes: np.ndarray) -> None:
    """The loop's choices, without its noise, are ours in every set."""
    picks = farthest_points(unit, norm, sizes, GAMMA, POINTS)
    for start, row, one in zip(np.cumsum(sizes) - sizes, picks, sets, strict=True):
        expected = loop(*one, noise=False).numpy() + start
        if not np.array_equal(row[: len(expected)], expected):
            raise AssertionError(f"the set from row {start} on: {row}, not {expected}")
