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
    ("depth", "resolution", "count"),
    [(50, 112, 43_590_848), (50, 28, 43_586_624), (18, 112, 24_025_600), (18, 7, 24_021_376)],
)
def test_published_parameter_counts(depth, resolution, count):
    with torch.device("meta"):
        built = iresnet.build(iresnet.Params(depth=depth), resolution)
    assert sum(p.numel() for p in built.parameters()) == count


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


def test_folding_heeds_the_flavour():
    whole = network(TINY.model_copy(update={"flavour": "magface"})).double()
    x = images(112).double()
    torch.testing.assert_close(iresnet.fold(whole)(x), whole(x), rtol=1e-11, atol=1e-11)
