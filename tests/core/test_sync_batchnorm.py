"""BatchNorm over ranks against torch's own on the whole batch."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stages.core import ranks
from stages.core.sync_batchnorm import SYNCHRONISED, synchronise
from tests.groups import on_ranks

COUNTS = (4, 0, 3)  # rows by rank; the second of three has none
CHANNELS = 5
FAR = 1e4  # a mean that costs E[x^2] - E[x]^2 all digits of float32
CASES = {
    "vectors": (nn.BatchNorm1d, (CHANNELS,), torch.float64, {}),
    "sequences": (nn.BatchNorm1d, (CHANNELS, 3), torch.float64, {"momentum": None}),
    "maps": (nn.BatchNorm2d, (CHANNELS, 3, 4), torch.float64, {"momentum": 0.9, "eps": 2e-5}),
    "not affine": (nn.BatchNorm2d, (CHANNELS, 3, 4), torch.float64, {"affine": False}),
    "no statistics": (
        nn.BatchNorm2d,
        (CHANNELS, 2, 2),
        torch.float64,
        {"track_running_stats": False},
    ),
    "float32": (nn.BatchNorm2d, (CHANNELS, 3, 4), torch.float32, {}),
    "bfloat16": (nn.BatchNorm2d, (CHANNELS, 3, 4), torch.bfloat16, {}),
}
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-3, torch.bfloat16: 2e-2}


def batch(shape: tuple[int, ...], dtype: torch.dtype, rows: int, draw: int) -> Tensor:
    values = torch.randn(rows, *shape, generator=torch.Generator().manual_seed(draw))
    return (values + (FAR if dtype == torch.float32 else 2)).to(dtype)


def normalise(case: str, rows: slice, total: int) -> dict[str, Any]:
    """Outputs, gradients and statistics after two batches, of which this rank has `rows`."""
    kind, shape, dtype, settings = CASES[case]
    layer = kind(CHANNELS, **settings)
    if layer.affine:
        nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(8))
        nn.init.normal_(layer.bias, generator=torch.Generator().manual_seed(9))
    layer = layer.double() if dtype == torch.float64 else layer
    synchronise(layer)
    result: dict[str, Any] = {"class": type(layer).__name__}
    for draw in (0, 1):
        values = batch(shape, dtype, total, draw)[rows].requires_grad_()
        out = layer(values)
        weights = torch.linspace(-1, 2, total * math.prod(shape), dtype=torch.float64)
        weights = weights.view(total, *shape)[rows]
        (out.double().square() * weights).sum().backward()
        result |= {f"out {draw}": out.detach(), f"gradient {draw}": values.grad, "dtype": out.dtype}
    result |= {f"grad of {name}": value.grad for name, value in layer.named_parameters()}
    return result | {f"state {name}": value for name, value in layer.state_dict().items()}


def on_own_rows() -> dict[str, dict[str, Any]]:
    start = sum(COUNTS[: ranks.rank()])
    own = slice(start, start + COUNTS[ranks.rank()])
    results = {}
    for case in CASES:
        results[case] = normalise(case, own, sum(COUNTS[: ranks.size()]))
    return results | {"evaluation": evaluate(), "one value": one_value()}


def evaluate() -> dict[str, Any]:
    """Of other rows on each rank, by a layer that has stopped to learn."""
    layer = nn.BatchNorm1d(2)
    synchronise(layer)
    layer.running_mean += 1
    layer.running_var *= 4
    out = layer.eval()(torch.full((3, 2), 5.0 + 2 * ranks.rank()))
    return {"out": out.detach(), "mean": layer.running_mean, "batches": layer.num_batches_tracked}


def one_value() -> dict[str, Any]:
    """Statistics after a batch of one row, the first rank's."""
    layer = nn.BatchNorm1d(2)
    synchronise(layer)
    layer(torch.full((int(ranks.rank() == 0), 2), 5.0))
    return layer.state_dict()


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict[int, list[dict[str, Any]]]:
    return on_ranks(on_own_rows, tmp_path_factory.mktemp("ranks"), sizes=(2, 3))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [2, 3])
def test_equals_one_process(results, size: int, case: str) -> None:
    parts = [result[case] for result in results[size]]
    total = sum(COUNTS[:size])
    expected = normalise(case, slice(0, total), total)
    assert parts[0].keys() == expected.keys()
    assert parts[0]["class"].startswith("Synchronised")
    assert parts[0]["dtype"] == expected["dtype"]
    bound = TOLERANCE[CASES[case][2]]
    for name in expected.keys() - {"class", "dtype"}:
        if name.startswith(("out", "gradient")):
            found = torch.cat([part[name] for part in parts])
        elif name.startswith("grad of"):
            found = sum(part[name] for part in parts)
        else:
            assert all(torch.equal(part[name], parts[0][name]) for part in parts)
            found = parts[0][name]
        torch.testing.assert_close(found, expected[name], rtol=bound, atol=bound * 5)


def test_frozen_layers_stay_and_names_too() -> None:
    network = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm2d(2), nn.Sequential(nn.BatchNorm2d(2)))
    network[2].eval()
    names, parameters = list(network.state_dict()), list(network.parameters())
    synchronise(network)
    kinds = [type(network[0]), type(network[1]), type(network[2][0])]
    assert kinds == [*SYNCHRONISED.values(), nn.BatchNorm2d]
    assert list(network.state_dict()) == names
    assert all(a is b for a, b in zip(network.parameters(), parameters, strict=True))


def test_evaluation_uses_the_running_statistics() -> None:
    layer = nn.BatchNorm1d(3)
    synchronise(layer)
    layer.running_mean += 1
    layer.eval()
    torch.testing.assert_close(layer(torch.ones(1, 3)), torch.zeros(1, 3))


@pytest.mark.parametrize("size", [2, 3])
def test_ranks_evaluate_by_the_running_statistics_alone(results, size: int) -> None:
    """(5 + 2 rank - 1) / 2, whatever the others have."""
    for number, result in enumerate(results[size]):
        found = result["evaluation"]
        expected = torch.full((3, 2), 2.0 + number)
        torch.testing.assert_close(found["out"], expected, rtol=1e-5, atol=0)
        assert torch.equal(found["mean"], torch.ones(2))
        assert found["batches"] == 0


@pytest.mark.parametrize("size", [2, 3])
def test_one_value_has_a_variance_of_zero(results, size: int) -> None:
    for result in results[size]:
        torch.testing.assert_close(result["one value"]["running_mean"], torch.full((2,), 0.5))
        torch.testing.assert_close(result["one value"]["running_var"], torch.full((2,), 0.9))
