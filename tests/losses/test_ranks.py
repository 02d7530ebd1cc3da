"""A classifier on 1, 2 and 3 ranks against the definition on one process, in float64."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch

from stages.core.ranks import rank, size
from stages.core.state import load_whole_state, whole_state
from stages.losses import (
    adaface,
    arcface,
    cosface,
    curricularface,
    mag_cosface,
    magface,
    softmax,
)
from stages.losses._classifier import Classifier
from stages.losses._margin import Margin
from tests.groups import on_ranks
from tests.losses.plain import loss_of

LIBRARIES = (softmax, cosface, arcface, curricularface, magface, mag_cosface, adaface)
EMBEDDING, STEPS, SEED = 12, 2, 5
SIZES = (1, 2, 3)
TOLERANCE = 1e-12


class Case(NamedTuple):
    """A kind of classifier and of batch.

    Attributes:
        targets: classes of the batch.
        counts: samples of each rank, by number of ranks.
    """

    targets: tuple[int, ...]
    counts: dict[int, tuple[int, ...]]
    classes: int = 11
    spheres: int = 1
    sample_rate: float = 1.0


MANY = (0, 10, 3, 3, 7, 5, 9)
UNEQUAL = {1: (7,), 2: (5, 2), 3: (4, 0, 3)}
CASES = {
    "full": Case(MANY, UNEQUAL),
    "spheres": Case(MANY, UNEQUAL, spheres=2),
    "sampled": Case((0, 10, 3, 3), {1: (4,), 2: (1, 3), 3: (2, 1, 1)}, 40, sample_rate=0.25),
    "sampled spheres": Case(
        (0, 10, 3, 3), {1: (4,), 2: (1, 3), 3: (2, 1, 1)}, 40, spheres=3, sample_rate=0.25
    ),
    "more positives than sampled": Case(MANY, UNEQUAL, sample_rate=0.1),
    "ranks without a positive": Case((1, 0, 2, 2, 0, 1, 2), UNEQUAL),
    "one sample": Case((6,), {1: (1,), 2: (0, 1), 3: (0, 0, 1)}),
    "ranks without a class": Case((1, 0, 1), {1: (3,), 2: (1, 2), 3: (1, 1, 1)}, classes=2),
}
NAMES = [library.__name__.rpartition(".")[2] for library in LIBRARIES]


def margin_of(name: str) -> Margin:
    library = LIBRARIES[NAMES.index(name)]
    return library.build(library.Params()).double()


def embeddings(case: Case, step: int) -> torch.Tensor:
    """Of lengths below, within and above the bounds of MagFace and AdaFace."""
    generator = torch.Generator().manual_seed(step)
    count = len(case.targets)
    lengths = torch.tensor([30.0, 5, 60, 130, 12, 90, 25], dtype=torch.float64)[:count]
    x = torch.randn(count, EMBEDDING, generator=generator, dtype=torch.float64)
    return x / x.norm(dim=1, keepdim=True) * lengths[:, None]


def classifier_of(name: str, case: Case) -> Classifier:
    torch.manual_seed(3)
    shape = (EMBEDDING, case.classes)
    built = Classifier(*shape, margin_of(name), case.spheres, case.sample_rate, SEED)
    return built.double()


def train(name: str, case: Case) -> list[dict[str, np.ndarray]]:
    """Loss and gradients of this rank's samples and centres, for some steps; no descent."""
    built = classifier_of(name, case)
    start = sum(case.counts[size()][: rank()])
    rows = slice(start, start + case.counts[size()][rank()])
    results = []
    for step in range(STEPS):
        x = embeddings(case, step)[rows].requires_grad_()
        built.centres.grad = None
        loss = built(x, torch.tensor(case.targets)[rows])
        (3 * loss.total).backward()  # the factor of a gradient scaler
        results.append(
            {name: part.detach().numpy() for name, part in loss._asdict().items()}
            | {"embedding": x.grad.numpy(), "centres": built.centres.grad.numpy()}
            | {key: value.numpy().copy() for key, value in built.margin.named_buffers()}
        )
    return results


def train_all() -> dict[tuple[str, str], list[dict[str, np.ndarray]]]:
    return {(name, case): train(name, CASES[case]) for name in NAMES for case in CASES}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return on_ranks(train_all, tmp_path_factory.mktemp("ranks"), SIZES)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("parts", SIZES)
def test_loss_and_gradients_are_those_of_the_definition(trained, parts, name, case):
    results = [result[name, case] for result in trained[parts]]
    margin, settings = margin_of(name), CASES[case]
    centres = classifier_of(name, settings).centres.detach()
    target = torch.tensor(settings.targets)
    for step in range(STEPS):
        ours = [result[step] for result in results]
        gradient = np.concatenate([each["centres"] for each in ours])
        chosen = np.flatnonzero(gradient.any(1))
        assert len(chosen) == expected_count(settings)
        assert set(settings.targets) <= set(chosen)

        x = embeddings(settings, step).requires_grad_()
        kernel = centres[chosen].requires_grad_()
        columns = torch.from_numpy(np.searchsorted(chosen, target.numpy()))
        loss = loss_of(margin, x, kernel, columns, settings.spheres)
        (3 * loss.total).backward()
        near(np.concatenate([each["embedding"] for each in ours]), x.grad)
        near(gradient[chosen], kernel.grad)
        for each in ours:  # equal on every rank
            for key, value in loss._asdict().items():
                near(each[key], value.detach())
            for key, value in margin.named_buffers():
                near(each[key], value)


def expected_count(case: Case) -> int:
    return max(len(set(case.targets)), round(case.sample_rate * case.classes))


def near(actual: np.ndarray, expected: torch.Tensor) -> None:
    scale = float(expected.abs().max()) if expected.numel() else 1
    np.testing.assert_allclose(actual, expected, rtol=0, atol=TOLERANCE * scale)


def test_the_draw_is_another_one_each_step_and_the_same_on_any_ranks(trained):
    chosen = {}
    for parts in SIZES:
        for step in range(STEPS):
            shards = [result["arcface", "sampled"][step]["centres"] for result in trained[parts]]
            chosen[parts, step] = np.flatnonzero(np.concatenate(shards).any(1)).tolist()
    assert chosen[1, 0] != chosen[1, 1]
    for step in range(STEPS):
        assert chosen[1, step] == chosen[2, step] == chosen[3, step]


def save_and_load() -> dict[str, object]:
    """State as a single process has it, taken up again from what another one trained."""
    case = CASES["sampled"]
    built = classifier_of("curricularface", case)
    first = {key: value.clone() for key, value in whole_state(built).items()}
    other = {key: value + 1 for key, value in first.items()}
    load_whole_state(built, other)
    return {
        "first": {key: value.numpy() for key, value in first.items()},
        "second": {key: value.numpy() for key, value in whole_state(built).items()},
        "own": built.own,
        "centres": built.centres.detach().numpy(),
        "other": other["centres"].numpy(),
    }


def test_state_is_that_of_a_single_process(tmp_path):
    results = on_ranks(save_and_load, tmp_path)
    (single,) = results[1]
    case = CASES["sampled"]
    expected = classifier_of("curricularface", case).state_dict()
    assert single["first"].keys() == expected.keys() == {"centres", "step", "margin.t"}
    for parts in SIZES:
        for result in results[parts]:
            for key, value in expected.items():
                np.testing.assert_array_equal(result["first"][key], value)
                np.testing.assert_array_equal(result["second"][key], value + 1)
            np.testing.assert_array_equal(result["centres"], result["other"][result["own"]])
