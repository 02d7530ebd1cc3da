"""MagFace's and Mag-CosFace's settings: the bound of lambda_g, and a proposal for finetuning."""

import math
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from stages.core.params import declared_params
from stages.losses import mag_cosface, magface


@pytest.mark.parametrize(("library", "bound"), [(magface, 22.5867), (mag_cosface, 29.04)])
def test_bound_makes_the_loss_fall_at_the_lower_magnitude(library, bound):
    """s K sin(theta + m) + lambda_g g'(l_a) is 0 at the bound, where the sine is 1."""
    params = library.Params()
    slope = (params.u_m - params.l_m) / 100
    assert params.minimum_lambda_g == pytest.approx(bound, abs=1e-4)
    fall = params.minimum_lambda_g * (1 / 110**2 - 1 / 10**2)
    assert 64 * slope + fall == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("library", [magface, mag_cosface])
def test_a_lambda_g_below_its_bound_is_said(library):
    params = declared_params(Path(library.__file__))  # as check reads it, without torch
    assert params().warning() is None
    assert "lambda_g 20 is below" in params(lambda_g=20).warning()
    with pytest.raises(ValidationError, match="l_a must be below u_a"):
        params(l_a=110, u_a=10)


@pytest.mark.parametrize(
    "magnitudes", [[0.9, 1.2, 1.05], [18.0, 26.0], [11.0], [0.31, 5000.0], np.linspace(20, 40, 9)]
)
def test_proposal_holds_all_magnitudes_and_the_bound(magnitudes):
    given = magface.Params(scale=32, l_m=0.2, u_m=0.5, easy=False)
    proposed = magface.propose(magnitudes, given)
    assert proposed.l_a < min(magnitudes)
    assert proposed.u_a > max(magnitudes)
    assert proposed.lambda_g > proposed.minimum_lambda_g
    assert proposed.warning() is None
    kept = {"scale", "l_m", "u_m", "easy"}
    assert proposed.model_dump(include=kept) == given.model_dump(include=kept)
    # Early in training the magnitudes settle within the bounds, as in the paper's settings.
    slope = 0.3 / (proposed.u_a - proposed.l_a)
    settled = (1 / proposed.u_a**2 + 32 * slope / proposed.lambda_g) ** -0.5
    assert 1.2 < settled / proposed.l_a < 1.3


def test_proposal_for_the_papers_magnitudes_is_the_papers():
    proposed = magface.propose([11.0, 99.0])
    assert (proposed.l_a, proposed.u_a) == (10, 110)
    assert proposed.lambda_g == pytest.approx(magface.Params().lambda_g, rel=0.03)


@pytest.mark.parametrize("magnitudes", [[], [0.0, 1.0], [math.nan], [math.inf]])
def test_magnitudes_that_make_no_sense_are_refused(magnitudes):
    with pytest.raises(ValueError, match="finite and positive"):
        magface.propose(magnitudes)
