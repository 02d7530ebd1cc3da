import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from stages.losses import (
    adaface,
    arcface,
    cosface,
    curricularface,
    mag_cosface,
    magface,
    softmax,
)

MARGINS = {
    "softmax": softmax.build(softmax.Params()),
    "cosface": cosface.build(cosface.Params()),
    "arcface": arcface.build(arcface.Params()),
    "arcface easy": arcface.build(arcface.Params(easy=True)),
    "magface": magface.build(magface.Params()),
    "magface hard": magface.build(magface.Params(easy=False)),
    "mag_cosface": mag_cosface.build(mag_cosface.Params()),
    "curricularface": curricularface.build(curricularface.Params()),
    "adaface": adaface.build(adaface.Params()),
}
CLASSES = 7
T = 0.3  # of CurricularFace
MEAN, STD = 30.0, 15.0  # of AdaFace
STATE = {"t": T, "mean": MEAN, "std": STD}
MOVES_OTHERS = {"curricularface", "adaface"}


@pytest.fixture(autouse=True)
def state():
    """Every test meets margins that have seen some batches, in float64."""
    for margin in MARGINS.values():
        margin.double()
        for name, buffer in margin.named_buffers():
            buffer.fill_(STATE[name])


def naive_target(name: str, angle: float, norm: float) -> float:
    """The target's entry before the scale, from the angle itself."""
    if name == "softmax":
        return math.cos(angle)
    if name == "cosface":
        return math.cos(angle) - 0.35
    if name == "adaface":
        k = min(max(0.333 * (min(norm, 100) - MEAN) / (STD + 1e-3), -1), 1)
        clipped = min(max(angle, math.acos(0.999)), math.acos(-0.999))
        return math.cos(min(max(clipped - 0.4 * k, 1e-3), math.pi - 1e-3)) - 0.4 - 0.4 * k
    a = min(max(norm, 10), 110)
    if name == "mag_cosface":
        return math.cos(angle) - (0.35 + (0.8 - 0.35) * (a - 10) / (110 - 10))
    m = 0.45 + (0.8 - 0.45) * (a - 10) / (110 - 10) if "magface" in name else 0.5
    if name in ("arcface easy", "magface"):
        return math.cos(angle + m) if angle < math.pi / 2 else math.cos(angle)
    if angle < math.pi - m:
        return math.cos(angle + m)
    return math.cos(angle) - m * math.sin(math.pi - m)


def naive_other(name: str, angle: float, own: float) -> float:
    """Another class's entry before the scale, from its angle and that of the target."""
    c = math.cos(angle)
    if name == "adaface":
        return min(max(c, -0.999), 0.999)
    if name == "curricularface" and c > math.cos(own + 0.5):
        return c * (T + c)
    return c


@pytest.mark.parametrize("name", MARGINS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_logits_from_the_angle(name, dtype):
    generator = np.random.default_rng(0)
    angles = generator.uniform(0.02, math.pi - 0.02, (40, CLASSES))
    norms = generator.uniform(1, 130, 40)
    target = generator.integers(0, CLASSES, 40)
    rows = np.arange(40)
    own = angles[rows, target]
    expected = np.array(
        [
            [64 * naive_other(name, angle, y) for angle in row]
            for row, y in zip(angles, own, strict=True)
        ]
    )
    moved = [naive_target(name, angle, norm) for angle, norm in zip(own, norms, strict=True)]
    expected[rows, target] = 64 * np.array(moved)
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
    if name not in MOVES_OTHERS:
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
    norm.requires_grad_(name != "adaface")  # a constant there
    torch.autograd.gradcheck(
        lambda c, n: MARGINS[name](c, n, target), (cosine.requires_grad_(), norm)
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


def test_curricularface_t_and_adaface_statistics_follow_the_batch():
    cosine = torch.tensor([0.1, 0.6, -0.2], dtype=torch.float64)
    norm = torch.tensor([5.0, 20, 140], dtype=torch.float64)
    MARGINS["curricularface"].observe(cosine, norm)
    assert MARGINS["curricularface"].t.item() == pytest.approx(0.99 * T + 0.01 * 0.5 / 3)
    clipped = np.array([5.0, 20, 100])
    MARGINS["adaface"].observe(cosine, norm)
    mean, std = MARGINS["adaface"].mean.item(), MARGINS["adaface"].std.item()
    assert mean == pytest.approx(0.99 * MEAN + 0.01 * clipped.mean())
    assert std == pytest.approx(0.99 * STD + 0.01 * clipped.std(ddof=1))
    MARGINS["adaface"].observe(cosine[:1], norm[:1])
    assert MARGINS["adaface"].std.item() == std
    assert MARGINS["adaface"].mean.item() == pytest.approx(0.99 * mean + 0.01 * 5)


def test_adaface_ranges_from_arcface_to_cosface():
    margin, norm = MARGINS["adaface"], torch.tensor([1e-3, MEAN, 100], dtype=torch.float64)
    margin.std.fill_(1)  # so that the norms lie at k = -1, 0, 1
    angle = torch.full((3,), 1.1, dtype=torch.float64)
    expected = [math.cos(1.1 + 0.4), math.cos(1.1) - 0.4, math.cos(1.1 - 0.4) - 0.8]
    np.testing.assert_allclose(margin.target(angle.cos(), norm), expected, rtol=1e-12)


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValidationError):
        arcface.Params(margin=4)
    with pytest.raises(ValidationError):
        softmax.Params(scale=0)
