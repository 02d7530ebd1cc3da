"""What every family of networks promises the stages, on small ones of each."""

from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stages.core.params import choices, load
from stages.networks._dropout import Dropout
from stages.networks._staged import IMPLANT, embed_mixed
from tests.weight_rules import fill_by_name

EMBEDDING = 16
WIDTH = 0.125
CHANNELS = (8, 16, 32, 64)
LOW = tuple(IMPLANT)


class Family:
    """The shallowest network of a family, and its branches, weights by name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.module, default = load("networks", name, {}, "backbone")
        settings = {"width": WIDTH, "embedding": EMBEDDING}
        if default.depth is not None:
            settings["depth"] = min(get_args(self.module.Params.model_fields["depth"].annotation))
        self.params = self.module.Params(**settings)
        self.trunk = self.network()

    def network(self, resolution: int = 112) -> nn.Module:
        return _filled(self.module.build(self.params, resolution))

    def branch(self, resolution: int) -> nn.Module:
        return _filled(self.module.build_branch(self.params, resolution))


def _filled(network: nn.Module) -> nn.Module:
    fill_by_name(network)
    return network.eval().requires_grad_(False)


def images(resolution: int, count: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(resolution)
    return torch.rand(count, 3, resolution, resolution, generator=generator) * 2 - 1


@pytest.fixture(scope="module", params=choices("networks"))
def family(request) -> Family:
    return Family(request.param)


@pytest.mark.parametrize(
    ("resolution", "sides"),
    [
        (112, (56, 28, 14, 7)),
        (56, (56, 28, 14, 7)),
        (28, (28, 28, 14, 7)),
        (14, (14, 14, 14, 7)),
        (7, (7, 7, 7, 7)),
    ],
)
def test_sizes_by_resolution(family, resolution, sides):
    network = family.network(resolution)
    embedding, maps = network.pyramid(images(resolution))
    assert embedding.shape == (2, EMBEDDING)
    assert tuple(m.shape[2] for m in maps) == sides
    assert all(m.shape[2] == m.shape[3] for m in maps)
    assert network.body(images(resolution)).shape == (2, CHANNELS[-1], 7, 7)
    assert network.body_size == CHANNELS[-1] * 49


def test_parts_make_the_whole(family):
    whole, x = family.trunk, images(112)
    expected = whole(x)
    embedding, maps = whole.pyramid(x)
    torch.testing.assert_close(embedding, expected)
    torch.testing.assert_close(whole.embed(whole.body(x)), expected)
    for stage, map_ in enumerate(maps, start=1):
        torch.testing.assert_close(whole.resume(map_, stage), expected)
        torch.testing.assert_close(whole.resume_body(map_, stage), whole.body(x))


def test_embedding_is_not_normalised(family):
    lengths = family.trunk(images(112)).norm(dim=1)
    assert (lengths - 1).abs().max() > 0.01


@pytest.mark.parametrize("resolution", LOW)
def test_branch_and_trunk_are_the_whole_network_of_that_resolution(family, resolution):
    """Equal weights under equal names: the student of BTNet's code is branch, then trunk."""
    trunk, student, front = family.trunk, family.network(resolution), family.branch(resolution)
    map_ = front(images(resolution))
    join = IMPLANT[resolution]
    assert front.depth == join
    embedding, maps = student.pyramid(images(resolution))
    assert map_.shape == trunk.pyramid(images(112)).stages[join - 1].shape
    torch.testing.assert_close(map_, maps[join - 1])
    torch.testing.assert_close(trunk.resume(map_, join), embedding)


@pytest.mark.parametrize("resolution", LOW)
def test_branch_starts_from_its_trunk(family, resolution):
    front = family.module.build_branch(family.params, resolution)
    front.load_from_trunk(family.trunk)
    state, theirs = front.state_dict(), family.trunk.state_dict()
    assert all(torch.equal(state[name], theirs[name]) for name in state)
    names, published = family.trunk.published_names(), front.published_names()
    assert all(names[name] == published[name] for name in state)


def test_mixed_resolutions_join_at_their_stages(family):
    trunk, fronts = family.trunk, {r: family.branch(r) for r in LOW}
    batch = {r: images(r, count) for count, r in enumerate((7, 112, 28, 56, 14), start=1)}
    runs = {stage: 0 for stage in (1, 2, 3, 4)}
    hooks = [
        trunk.layer(stage)[1].register_forward_hook(
            lambda *_, k=stage: runs.update({k: runs[k] + 1})
        )
        for stage in runs
    ]
    mixed = embed_mixed(trunk, fronts, batch)
    for hook in hooks:
        hook.remove()
    assert runs == dict.fromkeys(runs, 1)
    assert list(mixed) == list(batch)
    for r, x in batch.items():
        alone = trunk(x) if r == 112 else trunk.resume(fronts[r](x), IMPLANT[r])
        torch.testing.assert_close(mixed[r], alone, rtol=1e-4, atol=1e-4)


def test_mixed_resolutions_without_the_trunks_own(family):
    trunk, fronts = family.trunk, {14: family.branch(14)}
    mixed = embed_mixed(trunk, fronts, {14: images(14)})
    torch.testing.assert_close(mixed[14], trunk.resume(fronts[14](images(14)), 3))
    with pytest.raises(KeyError):
        embed_mixed(trunk, fronts, {28: images(28)})


def test_folding_is_exact(family):
    whole = family.network().double()
    before = {name: value.clone() for name, value in whole.state_dict().items()}
    folded = family.module.fold(whole)
    x = images(112).double()
    torch.testing.assert_close(folded(x), whole(x), rtol=1e-10, atol=1e-10)
    for ours, theirs in zip(folded.pyramid(x).stages, whole.pyramid(x).stages, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    assert all(torch.equal(before[name], value) for name, value in whole.state_dict().items())


def test_folding_leaves_the_batchnorms_before_padding(family):
    folded = family.module.fold(family.trunk)
    norms = (nn.BatchNorm1d, nn.BatchNorm2d)
    left = [name for name, module in folded.named_modules() if isinstance(module, norms)]
    blocks = sum(isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3) for m in folded.modules())
    if family.name == "mobilefacenet":
        assert left == []
    else:
        first = "bn1" if family.name == "iresnet" else "res_layer.0"
        assert all(name.endswith(first) for name in left)
        assert len(left) == (blocks - 1) / 2  # two convolutions a block, one in the stem


def test_folded_embeddings_point_where_the_unfolded_do(family):
    x = images(112, 4)
    cosine = F.cosine_similarity(family.module.fold(family.trunk)(x), family.trunk(x))
    assert cosine.min() >= 1 - 1e-6


def test_folded_branch_and_trunk_agree_with_the_unfolded(family):
    trunk, front, x = family.trunk, family.branch(14), images(14)
    fold = family.module.fold
    folded = embed_mixed(fold(trunk), {14: fold(front)}, {14: x})
    expected = trunk.resume(front(x), 3)
    torch.testing.assert_close(folded[14], expected, rtol=1e-4, atol=1e-4)


def test_folding_to_bfloat16(family):
    """Convolutions run in it; the embedding is in full precision and points the same way."""
    folded = family.module.fold(family.trunk, torch.bfloat16)
    x = images(112, 4)
    embedding, maps = folded.pyramid(x)
    assert embedding.dtype == torch.float32
    assert {map_.dtype for map_ in maps} == {torch.bfloat16}
    assert F.cosine_similarity(embedding, family.trunk(x)).min() > 0.998
    front = family.module.fold(family.branch(14), torch.bfloat16)
    joined = folded.resume(front(images(14)), front.depth)
    expected = family.trunk.resume(family.branch(14)(images(14)), front.depth)
    assert F.cosine_similarity(joined, expected).min() > 0.998


def test_embedding_is_full_precision_under_autocast(family):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        embedding, maps = family.trunk.pyramid(images(112))
    assert embedding.dtype == torch.float32
    assert maps[1].dtype == torch.bfloat16


def test_every_parameter_learns(family):
    network = family.module.build(family.params).train()
    network(images(112)).square().mean().backward()
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    assert all(p.grad is not None for p in trained.values())
    frozen = set(dict(network.named_parameters())) - set(trained)
    assert frozen == ({"features.weight"} if family.name == "iresnet" else set())


def test_dropout_only_while_training(family):
    dropouts = [module for module in family.trunk.modules() if isinstance(module, Dropout)]
    assert len(dropouts) == (0 if family.name == "mobilefacenet" else 1)
    assert {module.p for module in dropouts} <= {0.0, 0.4, 0.6}
    torch.testing.assert_close(family.trunk(images(112)), family.trunk(images(112)))


def test_described_params_build_the_same_network(family):
    described = family.module.describe(family.params)
    assert described.pop("name") == family.name
    assert family.module.Params(**described) == family.params


def test_unknown_resolutions_are_refused(family):
    with pytest.raises(ValueError, match="100 is none of"):
        family.module.build(family.params, 100)
    with pytest.raises(ValueError, match="no branch for 112 px"):
        family.module.build_branch(family.params, 112)
