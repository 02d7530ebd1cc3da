import numpy as np
import pytest
import torch

from stages.losses import adaface, arcface, curricularface, magface, softmax
from stages.losses._classifier import Classifier
from stages.losses._cross_entropy import BLOCK
from stages.losses._margin import Margin
from tests.losses.plain import cosines, loss_of

EMBEDDING, CLASSES, BATCH = 12, 5, 6


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    embedding = torch.randn(BATCH, EMBEDDING, generator=generator, dtype=torch.float64) * 8
    return embedding, torch.arange(BATCH) % CLASSES


def classifier(margin: Margin, spheres: int = 1) -> Classifier:
    torch.manual_seed(3)
    return Classifier(EMBEDDING, CLASSES, margin, spheres).double()


@pytest.mark.parametrize("spheres", [1, 2, 3])
def test_loss_is_the_sum_of_the_spheres_cross_entropies(spheres):
    built = classifier(softmax.build(softmax.Params()), spheres)
    x, y = batch()
    unit = x.numpy() / np.linalg.norm(x.numpy(), axis=1, keepdims=True)
    centres = built.centres.detach().numpy()
    expected, size = 0.0, EMBEDDING // spheres
    for i in range(spheres):
        part = slice(i * size, (i + 1) * size)
        kernel = centres[:, part] / np.linalg.norm(centres[:, part], axis=1, keepdims=True)
        z = 64 * unit[:, part] @ kernel.T
        own = z[np.arange(BATCH), y.numpy()]
        expected += np.mean(np.log(np.exp(z).sum(1)) - own)
    loss = built(x, y)
    np.testing.assert_allclose(loss.total.detach(), expected)
    np.testing.assert_allclose(loss.classification.detach(), expected)
    assert loss.penalty == 0


def test_penalty_enters_the_total_with_its_weight():
    built = classifier(magface.build(magface.Params(lambda_g=20)))
    x, y = batch()
    loss = built(x, y)
    a = x.norm(dim=1).clamp(10, 110)
    torch.testing.assert_close(loss.penalty, (a / 110**2 + 1 / a).mean())
    torch.testing.assert_close(loss.total, loss.classification + 20 * loss.penalty)


@pytest.mark.parametrize("spheres", [1, 3])
def test_cosine_is_that_of_the_joined_unit_parts(spheres):
    built = classifier(arcface.build(arcface.Params()), spheres)
    x, y = batch()
    parts = built.centres.detach().view(CLASSES, spheres, -1)
    joined = (parts / parts.norm(dim=2, keepdim=True)).reshape(CLASSES, EMBEDDING)[y]
    expected = torch.nn.functional.cosine_similarity(x, joined)
    torch.testing.assert_close(built(x, y).cosine.detach(), expected)


def test_loss_is_computed_in_float32_under_autocast():
    built = classifier(arcface.build(arcface.Params())).float()
    x, y = batch()
    plain = built(x.float(), y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = built(x.float(), y)
        from_half = built(x.to(torch.bfloat16), y)
    assert torch.equal(plain.total, mixed.total)
    assert from_half.total.dtype == torch.float32


def test_zero_embedding_has_a_finite_loss_and_gradient():
    built = classifier(magface.build(magface.Params()))
    x, y = torch.zeros(BATCH, EMBEDDING, dtype=torch.float64, requires_grad=True), batch()[1]
    built(x, y).total.backward()
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(built.centres.grad).all()


def test_centres_start_small_and_random():
    centres = Classifier(512, 400, softmax.build(softmax.Params())).centres
    assert centres.shape == (400, 512)
    assert centres.std().item() == pytest.approx(0.01, rel=0.02)


def test_spheres_must_divide_the_embedding():
    with pytest.raises(ValueError, match="5 spheres do not divide an embedding of 12"):
        Classifier(12, CLASSES, softmax.build(softmax.Params()), spheres=5)


class Hardest(Margin):
    """A margin with state that changes the other entries, in the manner of CurricularFace."""

    def __init__(self) -> None:
        super().__init__(scale=1.0)
        self.register_buffer("t", torch.zeros((), dtype=torch.float64))

    def target(self, cosine, norm):
        return cosine - 0.25

    def others(self, cosine, own):
        return torch.where(cosine > own[:, None] - 0.25, cosine * (self.t + cosine), cosine)

    def observe(self, cosine, norm):
        self.t.mul_(0.99).add_(0.01 * cosine.mean())


def test_a_margin_may_keep_statistics_and_move_the_other_entries():
    built = classifier(Hardest())
    x, y = batch()
    built.eval()(x, y)
    assert built.margin.t == 0
    with torch.no_grad():
        (cosine,) = cosines(x / x.norm(dim=1, keepdim=True), built.centres)
    loss = built.train()(x, y)
    t = 0.01 * loss.cosine.mean().item()
    assert built.state_dict()["margin.t"] == pytest.approx(t)
    own = cosine.gather(1, y[:, None]) - 0.25
    z = torch.where(cosine > own, cosine * (t + cosine), cosine).scatter(1, y[:, None], own)
    torch.testing.assert_close(loss.total.detach(), torch.nn.functional.cross_entropy(z, y))


def test_centres_may_start_at_length_1_in_each_sphere():
    margin = softmax.build(softmax.Params())
    centres = Classifier(12, 3000, margin, spheres=3, initial="unit").centres.detach()
    torch.testing.assert_close(centres.view(3000, 3, 4).norm(dim=2), torch.ones(3000, 3))
    assert centres.mean().abs() < 0.01


def test_centres_are_those_of_one_draw_of_the_whole():
    torch.manual_seed(1)
    built = Classifier(EMBEDDING, 2500, softmax.build(softmax.Params()))
    torch.manual_seed(1)
    assert torch.equal(built.centres, torch.nn.init.normal_(torch.empty(2500, EMBEDDING), 0, 0.01))


def test_evaluation_takes_all_centres_and_draws_nothing():
    margin = arcface.build(arcface.Params())
    built = Classifier(EMBEDDING, 100, margin, sample_rate=0.1).double().eval()
    x, y = batch()
    loss = built(x, y)
    assert built.step == 0
    expected = loss_of(margin, x, built.centres, y)
    torch.testing.assert_close(loss.total, expected.total)


@pytest.mark.parametrize("sample_rate", [1.0, 0.8])
@pytest.mark.parametrize("spheres", [1, 2])
@pytest.mark.parametrize("library", [arcface, curricularface])
def test_classes_block_by_block_are_those_at_once(library, spheres, sample_rate, monkeypatch):
    """Seven classes three at a time: the own ones are a block's first, its last and the odd one."""
    y, x = torch.tensor([0, 6, 3, 4, 2]), batch()[0][:5]
    results = []
    for block in (7, 3):
        monkeypatch.setitem(BLOCK, "cpu", block)
        torch.manual_seed(3)
        margin = library.build(library.Params())
        built = Classifier(EMBEDDING, 7, margin, spheres, sample_rate).double()
        leaf = x.clone().requires_grad_()
        loss = built(leaf, y)
        loss.total.backward()
        results.append((loss.total.detach(), loss.cosine, leaf.grad, built.centres.grad))
    torch.testing.assert_close(results[1], results[0], rtol=1e-12, atol=1e-12)


def test_lengths_of_centres_and_embeddings_are_nothing_to_the_loss():
    built = classifier(softmax.build(softmax.Params()))
    x, y = batch()
    expected = built(x, y).total.detach()
    with torch.no_grad():
        built.centres *= 1e-8
    torch.testing.assert_close(built(x * 1e-8, y).total.detach(), expected)


def test_adaface_has_no_gradient_along_the_embedding():
    """The norm sets the margin, but is a constant there: no image is made longer or shorter."""
    built = classifier(adaface.build(adaface.Params(t_alpha=1)))
    x, y = batch()
    x.requires_grad_()
    built(x, y).total.backward()
    assert x.grad.norm() > 0.1
    torch.testing.assert_close((x.grad * x).sum(1), torch.zeros(BATCH).double())


def test_the_drawn_centres_follow_the_seed():
    def drawn(seed: int) -> list[int]:
        torch.manual_seed(3)
        margin = arcface.build(arcface.Params())
        built = Classifier(EMBEDDING, 100, margin, sample_rate=0.3, seed=seed).double()
        built(*batch()).total.backward()
        return built.centres.grad.any(1).nonzero().squeeze(1).tolist()

    assert drawn(1) == drawn(1) != drawn(2)


def test_the_number_of_centres_is_the_nearest_to_the_share():
    """A tenth of 18 is 2, not 1."""
    built = Classifier(EMBEDDING, 18, arcface.build(arcface.Params()), sample_rate=0.1).double()
    x, _ = batch()
    built(x, torch.full((BATCH,), 4)).total.backward()
    assert built.centres.grad.any(1).sum() == 2
