import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from stages.losses import arcface, cosface, magface, softmax

MARGINS = {
    "softmax": softmax.build(softmax.Params()),
    "cosface": cosface.build(cosface.Params()),
    "arcface": arcface.build(arcface.Params()),
    "arcface easy": arcface.build(arcface.Params(easy=True)),
    "magface": magface.build(magface.Params()),
    "magface hard": magface.build(magface.Params(easy=False)),
}
CLASSES = 7


def naive_target(name: str, angle: float, norm: float) -> float:
    """The target's entry before the scale, from the angle itself."""
    if name == "softmax":
        return math.cos(angle)
    if name == "cosface":
        return math.cos(angle) - 0.35
    a = min(max(norm, 10), 110)
    m = 0.45 + (0.8 - 0.45) * (a - 10) / (110 - 10) if "magface" in name else 0.5
    if name in ("arcface easy", "magface"):
        return math.cos(angle + m) if angle < math.pi / 2 else math.cos(angle)
    if angle < math.pi - m:
        return math.cos(angle + m)
    return math.cos(angle) - m * math.sin(math.pi - m)


@pytest.mark.parametrize("name", MARGINS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_logits_from_the_angle(name, dtype):
    generator = np.random.default_rng(0)
    angles = generator.uniform(0.02, math.pi - 0.02, (40, CLASSES))
    norms = generator.uniform(1, 130, 40)
    target = generator.integers(0, CLASSES, 40)
    expected = 64 * np.cos(angles)
    rows = np.arange(40)
    own = zip(angles[rows, target], norms, strict=True)
    expected[rows, target] = [64 * naive_target(name, angle, norm) for angle, norm in own]
    actual = MARGINS[name](
        torch.from_numpy(np.cos(angles)).to(dtype),
        torch.from_numpy(norms).to(dtype),
        torch.from_numpy(target),
    )
    assert actual.dtype == dtype
    np.testing.assert_allclose(actual, expected, atol=1e-12 if dtype == torch.float64 else 1e-3)


@pytest.mark.parametrize("name", MARGINS)
def test_other_entries_are_untouched_and_the_input_too(name):
    cosine = torch.rand(3, CLASSES) * 2 - 1
    before, target = cosine.clone(), torch.tensor([0, 3, 6])
    actual = MARGINS[name](cosine, torch.full((3,), 20.0), target)
    assert torch.equal(cosine, before)
    others = torch.ones(3, CLASSES, dtype=torch.bool).scatter_(1, target[:, None], False)
    assert torch.equal(actual[others], 64 * cosine[others])


@pytest.mark.parametrize("name", MARGINS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_finite_value_and_gradient_at_the_ends(name, dtype):
    """|cos| = 1 on the target and beside it, also after rounding to half precision."""
    ends = torch.tensor([1.0, -1.0, 0.9999, -0.9999, 0.0], dtype=torch.float64)
    cosine = torch.cartesian_prod(ends, ends).to(dtype).requires_grad_()
    norm = torch.full((len(cosine),), 20.0, dtype=dtype, requires_grad=True)
    target = torch.zeros(len(cosine), dtype=torch.int64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = MARGINS[name](cosine, norm, target)
        loss = torch.nn.functional.cross_entropy(logits, target)
    assert logits.dtype in (torch.float32, torch.float64)
    loss.backward()
    assert torch.isfinite(logits).all()
    assert torch.isfinite(cosine.grad).all()
    assert norm.grad is None or torch.isfinite(norm.grad).all()


@pytest.mark.parametrize("name", MARGINS)
def test_gradient_is_the_difference_quotient(name):
    generator = torch.Generator().manual_seed(1)
    cosine = torch.rand(6, CLASSES, generator=generator, dtype=torch.float64) * 1.9 - 0.95
    norm = torch.tensor([5.0, 11, 40, 80, 109, 200], dtype=torch.float64)
    target = torch.arange(6)
    torch.autograd.gradcheck(
        lambda c, n: MARGINS[name](c, n, target), (cosine.requires_grad_(), norm.requires_grad_())
    )


def test_a_margin_without_penalty_says_so():
    assert MARGINS["arcface"].penalty(torch.ones(2)) is None
    assert MARGINS["arcface"].penalty_weight == 0


def test_magface_penalty_and_its_slope():
    """g = a / u^2 + 1 / a, g' = 1 / u^2 - 1 / a^2 within the bounds and 0 outside."""
    norm = torch.tensor([2.0, 10, 30, 110, 150], dtype=torch.float64, requires_grad=True)
    penalty = MARGINS["magface"].penalty(norm)
    a = np.array([10.0, 10, 30, 110, 110])
    np.testing.assert_allclose(penalty.detach(), a / 110**2 + 1 / a)
    penalty.sum().backward()
    slope = 1 / 110**2 - 1 / a**2
    np.testing.assert_allclose(norm.grad, np.where([0, 1, 1, 1, 0], slope, 0), atol=1e-18)


def test_magface_settles_where_its_early_equilibrium_is():
    """With p_y = 0 and sin(theta + m) = 1: a* = (1 / u_a^2 + s K / lambda_g)^(-1/2) = 12.42.

    That is the magnitude which published training logs show after the first thousand steps.
    """
    margin = MARGINS["magface"]
    norm = torch.linspace(10, 20, 10001, dtype=torch.float64, requires_grad=True)
    angle = 0.45 + 0.35 / 100 * (norm.detach() - 10)
    entry = margin.target(torch.cos(torch.pi / 2 - angle), norm)
    (margin.penalty_weight * margin.penalty(norm) - margin.scale * entry).sum().backward()
    settled = norm.detach()[norm.grad.abs().argmin()].item()
    assert settled == pytest.approx((1 / 110**2 + 64 * 0.0035 / 35) ** -0.5, abs=1e-3)
    assert settled == pytest.approx(12.42, abs=0.005)


def test_magface_bound_makes_the_loss_fall_at_the_lower_bound():
    """s K sin(theta + m) + lambda_g g'(l_a) is 0 at the bound, where the sine is 1."""
    bound = MARGINS["magface"].minimum_lambda_g
    assert 64 * 0.35 / 100 + bound * (1 / 110**2 - 1 / 10**2) == pytest.approx(0, abs=1e-12)
    assert bound == pytest.approx(22.5867, abs=1e-4)


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValidationError, match="l_a must be below u_a"):
        magface.Params(l_a=110, u_a=10)
    with pytest.raises(ValidationError):
        arcface.Params(margin=4)
    with pytest.raises(ValidationError):
        softmax.Params(scale=0)
