import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stages.networks import iresnet
from tests.weight_rules import fill_by_name

TINY = iresnet.Params(depth=18, width=0.125, embedding=16)
LOW = (56, 28, 14, 7)


def network(params=TINY, resolution=112) -> iresnet.IResNet:
    built = iresnet.build(params, resolution).eval().requires_grad_(False)
    fill_by_name(built)
    return built


def branch(resolution: int) -> iresnet.Branch:
    built = iresnet.build_branch(TINY, resolution).eval().requires_grad_(False)
    fill_by_name(built)
    return built


def images(resolution: int, count: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(resolution)
    return torch.rand(count, 3, resolution, resolution, generator=generator) * 2 - 1


def naive(state: dict[str, torch.Tensor], x: torch.Tensor, eps: float) -> torch.Tensor:
    """The network of 112 px from its tensors alone, by the layer table."""

    def norm(x, name):
        shape = (1, -1, *(1,) * (x.ndim - 2))
        mean, var, gamma, beta = (
            state[f"{name}.{part}"].view(shape)
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / torch.sqrt(var + eps) * gamma + beta

    def prelu(x, name):
        return torch.where(x > 0, x, x * state[f"{name}.weight"].view(1, -1, 1, 1))

    x = prelu(norm(F.conv2d(x, state["conv1.weight"], padding=1), "bn1"), "prelu")
    for stage in (1, 2, 3, 4):
        block = 0
        while (name := f"layer{stage}.{block}") + ".bn1.weight" in state:
            stride = 2 if block == 0 else 1
            out = F.conv2d(norm(x, f"{name}.bn1"), state[f"{name}.conv1.weight"], padding=1)
            out = prelu(norm(out, f"{name}.bn2"), f"{name}.prelu")
            out = F.conv2d(out, state[f"{name}.conv2.weight"], stride=stride, padding=1)
            if block == 0:
                x = F.conv2d(x, state[f"{name}.downsample.0.weight"], stride=stride)
                x = norm(x, f"{name}.downsample.1")
            x = x + norm(out, f"{name}.bn3")
            block += 1
    flat = norm(x, "bn2").flatten(1)
    return norm(flat @ state["fc.weight"].T + state["fc.bias"], "features")


@pytest.mark.parametrize(("flavour", "eps"), [("insightface", 1e-5), ("magface", 2e-5)])
def test_forward_is_the_layer_table(flavour, eps):
    whole = network(TINY.model_copy(update={"flavour": flavour})).double()
    x = images(112).double()
    torch.testing.assert_close(whole(x), naive(whole.state_dict(), x, eps))


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
def test_sizes_by_resolution(resolution, sides):
    embedding, maps = network(resolution=resolution).pyramid(images(resolution))
    assert embedding.shape == (2, 16)
    assert [tuple(m.shape) for m in maps] == [
        (2, c, s, s) for c, s in zip((8, 16, 32, 64), sides, strict=True)
    ]


@pytest.mark.parametrize(
    ("depth", "resolution", "count"),
    [(50, 112, 43_590_848), (50, 28, 43_586_624), (18, 112, 24_025_600), (18, 7, 24_021_376)],
)
def test_published_parameter_counts(depth, resolution, count):
    with torch.device("meta"):
        built = iresnet.build(iresnet.Params(depth=depth), resolution)
    assert sum(p.numel() for p in built.parameters()) == count


def test_parts_make_the_whole():
    whole, x = network(), images(112)
    expected = whole(x)
    embedding, maps = whole.pyramid(x)
    torch.testing.assert_close(embedding, expected)
    torch.testing.assert_close(whole.embed(whole.body(x)), expected)
    for stage, map_ in enumerate(maps, start=1):
        torch.testing.assert_close(whole.resume(map_, stage), expected)
        torch.testing.assert_close(whole.resume_body(map_, stage), whole.body(x))


@pytest.mark.parametrize("resolution", LOW)
def test_branch_and_trunk_are_the_whole_network_of_that_resolution(resolution):
    """Equal weights under equal names: the student of BTNet's code is branch, then trunk."""
    trunk, student, front = network(), network(resolution=resolution), branch(resolution)
    map_ = front(images(resolution))
    join = iresnet.IMPLANT[resolution]
    embedding, maps = student.pyramid(images(resolution))
    assert map_.shape == trunk.pyramid(images(112)).stages[join - 1].shape
    torch.testing.assert_close(map_, maps[join - 1])
    torch.testing.assert_close(trunk.resume(map_, join), embedding)


@pytest.mark.parametrize("resolution", LOW)
def test_branch_starts_from_its_trunk(resolution):
    trunk, front = network(), iresnet.build_branch(TINY, resolution)
    front.load_from_trunk(trunk)
    state, theirs = front.state_dict(), trunk.state_dict()
    assert all(torch.equal(state[name], theirs[name]) for name in state)
    join = iresnet.IMPLANT[resolution]
    front_of_trunk = {
        name
        for name in theirs
        if name.startswith(("conv1", "bn1", "prelu", f"layer{join}.0."))
        or any(name.startswith(f"layer{stage}.") for stage in range(1, join))
    }
    lacking = {name for name in front_of_trunk if name.startswith("layer1.0.downsample")}
    assert set(state) == front_of_trunk - lacking


def test_mixed_resolutions_join_at_their_stages():
    trunk, fronts = network(), {r: branch(r) for r in LOW}
    batch = {r: images(r, count) for count, r in enumerate((7, 112, 28, 56, 14), start=1)}
    runs = {stage: 0 for stage in (1, 2, 3, 4)}
    hooks = [
        trunk.layer(stage)[1].register_forward_hook(
            lambda *_, k=stage: runs.update({k: runs[k] + 1})
        )
        for stage in runs
    ]
    mixed = iresnet.embed_mixed(trunk, fronts, batch)
    assert runs == dict.fromkeys(runs, 1)
    for hook in hooks:
        hook.remove()
    assert list(mixed) == list(batch)
    for r, x in batch.items():
        alone = trunk(x) if r == 112 else trunk.resume(fronts[r](x), iresnet.IMPLANT[r])
        torch.testing.assert_close(mixed[r], alone, rtol=1e-5, atol=1e-5)


def test_mixed_resolutions_without_the_trunks_own():
    trunk, fronts = network(), {14: branch(14)}
    mixed = iresnet.embed_mixed(trunk, fronts, {14: images(14)})
    torch.testing.assert_close(mixed[14], trunk.resume(fronts[14](images(14)), 3))
    with pytest.raises(KeyError):
        iresnet.embed_mixed(trunk, fronts, {28: images(28)})


@pytest.mark.parametrize("flavour", ["insightface", "magface"])
def test_folding_is_exact(flavour):
    whole = network(TINY.model_copy(update={"flavour": flavour})).double()
    before = {name: value.clone() for name, value in whole.state_dict().items()}
    folded = iresnet.fold(whole)
    x = images(112).double()
    torch.testing.assert_close(folded(x), whole(x), rtol=1e-11, atol=1e-11)
    for ours, theirs in zip(folded.pyramid(x).stages, whole.pyramid(x).stages, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)
    assert all(torch.equal(before[name], value) for name, value in whole.state_dict().items())
    # What is left: the BatchNorm before each block's padded convolution.
    left = [n for n, m in folded.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert sorted(left) == [f"layer{k}.{block}.bn1" for k in (1, 2, 3, 4) for block in (0, 1)]


def test_folded_branch_and_trunk_agree_with_the_unfolded():
    trunk, front = network(), branch(14)
    x = images(14)
    folded = iresnet.embed_mixed(iresnet.fold(trunk), {14: iresnet.fold(front)}, {14: x})
    torch.testing.assert_close(folded[14], trunk.resume(front(x), 3), rtol=1e-4, atol=1e-4)


def test_magface_drops_whole_channels_and_insightface_elements():
    x = torch.ones(4, 64, 7, 7)
    for flavour, channelwise in (("magface", True), ("insightface", False)):
        params = TINY.model_copy(update={"flavour": flavour, "dropout": 0.5})
        whole = iresnet.build(params).train()
        whole.bn2 = nn.Identity()
        seen = []
        whole.fc.register_forward_hook(lambda _, inputs, __, seen=seen: seen.append(inputs[0]))
        whole.embed(x)
        dropped = seen[0].view(4, 64, 49) == 0
        assert dropped.any()
        assert (dropped.all(2) == dropped.any(2)).all() == channelwise


def test_flavours_differ_as_documented():
    insightface = iresnet.build(iresnet.Params(depth=18, width=0.5, embedding=8))
    magface = iresnet.build(iresnet.Params(depth=18, width=0.5, embedding=8, flavour="magface"))
    for built, eps, momentum, p in ((insightface, 1e-5, 0.1, 0.0), (magface, 2e-5, 0.9, 0.4)):
        norms = [m for m in built.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
        assert {(m.eps, m.momentum) for m in norms} == {(eps, momentum)}
        assert built.dropout.p == p
    assert not insightface.features.weight.requires_grad
    assert magface.features.weight.requires_grad
    weight = "layer4.1.conv1.weight"  # 256 x 256 x 3 x 3
    assert insightface.state_dict()[weight].std().item() == pytest.approx(0.1, rel=0.01)
    kaiming = (2 / (256 * 9)) ** 0.5
    assert magface.state_dict()[weight].std().item() == pytest.approx(kaiming, rel=0.01)


def test_embedding_is_full_precision_under_autocast():
    whole = network()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        embedding, maps = whole.pyramid(images(112))
    assert embedding.dtype == torch.float32
    assert maps[1].dtype == torch.bfloat16


def test_described_params_build_the_same_network():
    described = iresnet.describe(TINY)
    assert described.pop("name") == "iresnet"
    assert iresnet.Params(**described) == TINY


def test_unknown_resolutions_are_refused():
    with pytest.raises(ValueError, match="100 is none of"):
        iresnet.build(TINY, 100)
    with pytest.raises(ValueError, match="no branch for 112 px"):
        iresnet.build_branch(TINY, 112)
