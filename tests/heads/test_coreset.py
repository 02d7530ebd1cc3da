from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from stages.heads import coreset
from tests.heads.recipes import RECIPE

D = 16


def network(**settings) -> coreset.Coreset:
    torch.manual_seed(4)
    return coreset.build(coreset.Params(**RECIPE, **settings), None, D).eval()


def made(sets: int, size: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(sets, size, D, generator=generator)
    norm = 5 + 30 * torch.rand(sets, size, generator=generator)
    return torch.nn.functional.normalize(vectors, dim=2), norm


def flat(unit: torch.Tensor, norm: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    return unit.reshape(-1, D).numpy(), norm.reshape(-1).numpy()


@torch.no_grad()
def test_ragged_sets_are_described_as_if_alone() -> None:
    """No image of one set reaches another; a set of none has a row of zeros."""
    net, sizes = network(), np.array([3, 1, 0, 2, 7, 3, 50])
    parts = [made(1, size, seed) for seed, size in enumerate(sizes.tolist())]
    vectors = [flat(*part) for part in parts]
    rows = net.describe(
        np.concatenate([v[0] for v in vectors]), np.concatenate([v[1] for v in vectors]), sizes
    )
    for row, size, (unit, norm) in zip(rows, sizes, parts, strict=True):
        expected = net(unit, norm)[0] if size else torch.zeros(D)
        np.testing.assert_allclose(row, expected, atol=1e-5)


@torch.no_grad()
def test_order_of_the_images_does_not_matter() -> None:
    net, (unit, norm) = network(), made(1, 9)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(net(unit, norm), net(unit[:, order], norm[:, order]))


@torch.no_grad()
def test_one_image_passes_the_attention_too() -> None:
    net, (unit, norm) = network(), made(1, 1)
    descriptor = net(unit, norm)
    assert torch.isfinite(descriptor).all()
    assert torch.cosine_similarity(descriptor, unit[0]).item() < 0.999


def test_norm_zero_leaves_values_and_gradients_finite() -> None:
    for gamma in (0.01, -0.5):
        net, (unit, norm) = network(gamma=gamma), made(2, 4)
        unit[0, 1], norm[0, 1] = 0, 0
        unit[1], norm[1] = 0, 0  # nothing was seen at all
        unit.requires_grad_(), norm.requires_grad_()
        noise = coreset.gumbel((3, 2, 4), torch.Generator().manual_seed(0))
        for given in (None, noise):
            loss = net(unit, norm, given).square().sum()
            assert torch.isfinite(loss)
        loss.backward()
        for tensor in (unit, norm, *net.parameters()):
            assert torch.isfinite(tensor.grad).all()


def test_choices_of_training_follow_norms_then_distances() -> None:
    """Frequencies against the softmax they are drawn from."""
    unit, norm = made(1, 4, seed=5)
    norm = norm / 10
    features, gamma, count = (norm[..., None] * unit), torch.tensor(0.5), 20_000
    noise = coreset.gumbel((2, count, 4), torch.Generator().manual_seed(2))
    many = features.expand(count, 4, D)
    first, second = coreset.sample_points(many, norm.expand(count, 4), gamma, noise)
    which = torch.cdist(first[:, None], many)[:, 0].argmin(1)
    expected = torch.softmax(norm[0], 0)
    found = torch.bincount(which, minlength=4) / count
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0)
    after = torch.cdist(second[which == 0][:, None], many[which == 0])[:, 0].argmin(1)
    distance = norm[0] ** 0.5 * (1 - unit[0] @ unit[0, 0]) / 2
    found = torch.bincount(after, minlength=4) / len(after)
    torch.testing.assert_close(found, torch.softmax(distance, 0), atol=0.03, rtol=0)


def test_gumbel_noise_is_its_generators() -> None:
    noise = coreset.gumbel((50_000,), torch.Generator().manual_seed(3))
    assert noise.mean().item() == pytest.approx(0.5772, abs=0.02)
    assert noise.std().item() == pytest.approx(1.2825, abs=0.02)
    torch.manual_seed(99)
    again = coreset.gumbel((50_000,), torch.Generator().manual_seed(3))
    assert torch.equal(noise, again)


def test_gamma_may_stay() -> None:
    assert network().gamma.requires_grad
    assert not network(learn_gamma=False).gamma.requires_grad


def test_clips_fill_the_set() -> None:
    draw = random.Random(0)
    lengths = []
    for size in range(1, 21):
        clips = coreset.draw_clips(draw, range(5), size, 3)
        assert sum(clip.frames for clip in clips) == size
        assert all(1 <= clip.frames <= 3 and 0 <= clip.image < 5 for clip in clips)
        lengths += [clip.frames for clip in clips]
    assert set(lengths) == {1, 2, 3}
