"""That the bounds on float32 are those of its rounding, and that a wrong formula is outside."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch

from stages.losses import arcface, cosface, magface
from tests.losses.batches import results
from tests.rounding import SIGMAS, Rounding, U, as_array, bounds, hold, within

MARGIN = 0.5


def single_slope(cosine: float, dtype: torch.dtype) -> dict:
    """Derivative of ArcFace's entry by the cosine of a unit vector and (1, 0)."""
    unit = torch.tensor([[cosine, math.sqrt(1 - cosine**2)]], dtype=torch.float32).to(dtype)
    own = (unit @ torch.tensor([[1.0], [0.0]], dtype=dtype)).squeeze(1).requires_grad_()
    margin = arcface.build(arcface.Params(margin=MARGIN))
    margin.target(own, torch.ones(1, dtype=dtype)).sum().backward()
    return {"slope": own.grad}


@pytest.mark.parametrize("cosine", [0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999])
def test_a_margins_slope_is_as_uncertain_as_its_closed_form(cosine: float) -> None:
    """Equation (3), a second derivation: within a factor of 4, over five orders of magnitude."""
    bound = bounds(partial(single_slope, cosine))["slope"]
    exact = bound.exact.item()
    theta = math.acos(cosine)
    slope = math.sin(theta + MARGIN) / math.sin(theta)
    assert exact == pytest.approx(slope, rel=2e-3)
    relative = U * math.sin(MARGIN) / (math.sin(theta + MARGIN) * math.sin(theta) ** 2)
    # Beside that term, the handful of operations of the slope itself round.
    assert 0.25 < bound.allowed.item() / SIGMAS / exact / (relative + U) < 4


@pytest.mark.parametrize("count", [8, 64, 1024])
def test_a_sum_of_products_is_as_uncertain_as_one_added_in_order(count: int) -> None:
    """The mean square error of float32's sum, one product after the other, is sigma^2."""
    random = np.random.default_rng(0)
    left, right = random.normal(size=(2, 300, count)).astype(np.float32)

    def compute(dtype: torch.dtype) -> dict:
        a, b = (torch.tensor(part, dtype=dtype) for part in (left, right))
        return {"dot": torch.bmm(a[:, None], b[:, :, None])[:, 0, 0]}

    bound = bounds(compute)["dot"]
    summed = np.zeros(len(left), np.float32)
    for k in range(count):
        summed += left[:, k] * right[:, k]
    error = np.mean((summed - bound.exact) ** 2)
    assert 0.2 < error / np.mean((bound.allowed / SIGMAS) ** 2) < 2
    within(bound, summed)


def test_cancellation_is_seen() -> None:
    """1 - cos of float32 is off by u, however small it is."""
    bound = bounds(lambda dtype: {"f": 1 - torch.tensor([0.5, 0.999999], dtype=dtype)})["f"]
    assert np.all((bound.allowed / SIGMAS / U > 0.2) & (bound.allowed / SIGMAS / U < 1))


def test_what_an_operation_writes_to_is_written() -> None:
    values = torch.tensor([1.0, 2.0], dtype=torch.float64)
    with Rounding(0):
        values.mul_(3).lerp_(torch.zeros_like(values), 0.5)
        out = torch.empty(1, 1, dtype=torch.float64)
        torch.mm(values[None], values[:, None], out=out)
    torch.testing.assert_close(values, torch.tensor([1.5, 3.0]).double(), rtol=1e-6, atol=0)
    assert (values != torch.tensor([1.5, 3.0])).all()
    torch.testing.assert_close(out.item(), 11.25, rtol=1e-6, atol=0)


def test_in_a_fused_operation_every_step_rounds() -> None:
    """Beside a logit of 30, log(1 + e^-30) is lost in float32."""
    logits = [30.0, 0.0]
    bound = bounds(lambda dtype: {"p": torch.log_softmax(torch.tensor(logits, dtype=dtype), 0)})
    assert bound["p"].allowed[0] > 0.2 * SIGMAS * U
    within(bound["p"], torch.log_softmax(torch.tensor(logits), 0))


def test_a_difference_is_named_with_its_place() -> None:
    bound = bounds(lambda dtype: {"f": torch.tensor([1.0, 2.0], dtype=dtype) * 3})["f"]
    with pytest.raises(AssertionError, match=r"ours: 6.0 and 6.001 at \(1,\)"):
        within(bound, [3.0, 6.001], "ours")
    with pytest.raises(AssertionError, match="shapes"):
        within(bound, [3.0])
    with pytest.raises(AssertionError, match="nan"):
        within(bound, [math.nan, 6.0])


def batch() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings near and far from their centres, one of them at cos 0.9997."""
    random = np.random.default_rng(1)
    x, centres = random.normal(size=(6, 8)), random.normal(size=(10, 8))
    target = np.arange(6)
    x[0] = 3 * centres[0] + 0.02 * random.normal(size=8)
    return x.astype(np.float32), centres.astype(np.float32), target


def changed(library, method: str, new):
    """A margin with one formula changed."""
    margin = library.build(library.Params())
    old = getattr(margin, method)
    setattr(margin, method, lambda *given: new(old, *given))
    return margin


WRONG = {
    "sign of the margin": (arcface, "target", lambda old, c, n: torch.cos(torch.acos(c) - 0.5)),
    "margin on the cosine": (arcface, "target", lambda old, c, n: c - 0.5),
    "margin off by 1e-4": (arcface, "target", lambda old, c, n: torch.cos(torch.acos(c) + 0.5001)),
    "scale of the target": (cosface, "target", lambda old, c, n: old(c, n) * (1 + 1e-5)),
    "negatives moved too": (cosface, "others", lambda old, c, own: c - 0.4),
    "no continuation past pi - m": (
        arcface, "target", lambda old, c, n: torch.cos(torch.acos(c) + 0.5),
    ),
    "no bounds on the magnitude": (magface, "magnitude", lambda old, n: n),
    "penalty without its second term": (magface, "penalty", lambda old, n: n / 110**2),
    "margin without gradient by the norm": (magface, "margin", lambda old, n: old(n).detach()),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_formula_is_outside(what: str) -> None:
    library, method, new = WRONG[what]
    x, centres, target = batch()
    x[1] = -2 * centres[1] + 0.1 * x[1]  # past pi - m
    # Norms within and above MagFace's bounds.
    x[2], x[3] = 8 * (0.4 * centres[2] + x[2]), 50 * x[3]
    right = partial(results, library.build(library.Params()), x, centres, target)
    single = {name: as_array(value) for name, value in right(torch.float32).items()}
    hold(right, single)
    wrong = partial(results, changed(library, method, new), x, centres, target)
    with pytest.raises(AssertionError, match="times the rounding"):
        hold(wrong, single)
