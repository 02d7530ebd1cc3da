"""More than the network in a file: what changes the embedding ends the import, the rest is said."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.prune import random_unstructured

from stages.core.errors import InputError
from stages.networks._files import load_trunk
from stages.train import import_checkpoint
from tests.train.published import EMBEDDING, centres, network, published, save

BLOCK = "layer1.0."
LORA = {"conv1.lora_A": torch.ones(4, 12), "conv1.lora_B": torch.ones(12, 4)}


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return published(network("iresnet", depth=18))


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def numbers(*shape: int) -> Tensor:
    return torch.linspace(-1, 1, torch.Size(shape).numel()).view(shape)


@pytest.mark.parametrize(
    ("more", "what"),
    [
        (under(BLOCK, LORA), r"holds 2 tensors .*layer1.0.conv1.lora_A.*adapters.*merge"),
        ({"fc.lora_down.weight": numbers(2, 8)}, "holds 1 tensor that changes.*adapters"),
        ({"lora.layer1.0.conv1.A": numbers(2, 8)}, "adapters"),
        ({f"{BLOCK}adapter.up.weight": numbers(2, 8)}, "adapters"),
        ({f"{BLOCK}conv1.ia3_l": numbers(4)}, "adapters"),
        ({f"{BLOCK}se.fc1.weight": numbers(1, 4, 1, 1)}, "squeeze-and-excitation"),
        ({f"{BLOCK}ca.fc.0.weight": numbers(2, 4)}, "CBAM"),
        ({f"{BLOCK}eca.conv1d.weight": numbers(1, 1, 3)}, "ECA"),
        ({"se.fc1.weight": numbers(1, 32, 1, 1)}, "squeeze-and-excitation"),
        ({"layer4.2.conv1.weight": numbers(2, 2)}, "layer4 has 3 blocks, and 2 in the nearest"),
        ({"layer5.0.conv1.weight": numbers(2, 2, 3, 3)}, "another architecture"),
        ({"conv1.bias": numbers(4), f"{BLOCK}conv2.bias": numbers(4)}, "biases of convolutions"),
        ({f"{BLOCK}conv1.weight_mask": numbers(4, 4, 3, 3)}, "pruning.*prune.remove"),
        ({f"{BLOCK}conv1.scale": torch.tensor(0.1)}, "quantised network"),
        ({f"{BLOCK}conv1.zero_point": 0}, r"conv1.zero_point \(a int\).*quantised network"),
        ({"bn3.weight": numbers(EMBEDDING)}, "another architecture"),
        ({"proj.weight": numbers(8, EMBEDDING)}, "another architecture"),
        ({"mlp.0.weight": numbers(99, EMBEDDING), "mlp.2.weight": numbers(EMBEDDING, 99)}, "mlp"),
        ({"neck.weight": numbers(99, EMBEDDING)}, "neck.weight"),
    ],
)
def test_what_changes_the_network_ends_the_import(tmp_path, weights, more, what) -> None:
    for prefix in ("", "module.backbone."):
        path = save(tmp_path / "a.pth", under(prefix, weights | more))
        with pytest.raises(InputError, match=what):
            import_checkpoint.main(path, "insightface", [])
    assert not Path("models").exists()


def test_a_neck_or_an_adapter_beside_the_backbone_ends_the_import_too(tmp_path, weights) -> None:
    for more in ({"neck.fc.weight": numbers(8, EMBEDDING)}, under("adapters.0.", LORA)):
        path = save(tmp_path / "a.pth", under("backbone.", weights) | more)
        with pytest.raises(InputError, match=r"holds \d tensors? that change"):
            import_checkpoint.main(path, "insightface", [])


@pytest.mark.parametrize(
    "more",
    [
        under("delta.", {"layer1.0.conv1.weight": numbers(4, 4, 3, 3)}),
        under("low_rank.layer1.0.conv1.", {"down": numbers(2, 4), "up": numbers(4, 2)}),
        {"layer1.0.conv1.extra": numbers(4)},
        {"bn_neck.weight": numbers(EMBEDDING), "bn_neck.running_mean": numbers(EMBEDDING)},
        {"after.running_mean": numbers(EMBEDDING), "after.running_var": numbers(EMBEDDING)},
        {"localization.0.weight": numbers(8, 3, 7, 7), "fc_loc.0.weight": numbers(32, 90)},
        {"attention.qkv.weight": numbers(99, EMBEDDING)},
        {"pool.p": numbers(1)},
        {"peft.layer1.rank_down": numbers(2, 4)},
    ],
)
def test_what_changes_the_network_from_beside_it_ends_the_import(tmp_path, weights, more) -> None:
    path = save(tmp_path / "a.pth", {"state_dict": under("backbone.", weights)} | more)
    with pytest.raises(InputError, match=r"holds \d tensors? that change"):
        import_checkpoint.main(path, "magface", [])


def test_gradients_and_states_by_name_are_listed_and_left_out(tmp_path, weights, capsys) -> None:
    some = {name: tensor for name, tensor in weights.items() if "layer1" in name}
    more = {
        "grads": some,
        "optimizer": {"state": {name: {"exp_avg": 0.1 * t} for name, t in some.items()}},
    }
    import_checkpoint.main(save(tmp_path / "a.pth", {"model": weights} | more), "magface", [], "m")
    assert "unused in a.pth: grads.layer1.0.conv1.weight" in capsys.readouterr().out
    assert_weights("m", weights)


def test_a_quantised_tensor_of_the_network_is_named(tmp_path, weights) -> None:
    for name in ("layer1.0.conv1.weight", "layer4.0.conv2.weight", "fc.weight"):
        quantised = torch.quantize_per_tensor(weights[name], 0.1, 0, torch.qint8)
        path = save(tmp_path / "a.pth", weights | {name: quantised})
        with pytest.raises(InputError, match="a quantised tensor.*before it was quantised"):
            import_checkpoint.main(path, "insightface", [])


@pytest.mark.parametrize("module", ["layer1.0.conv1", "layer4.0.conv2", "fc"])
@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        (nn.utils.parametrizations.weight_norm, "remove_parametrizations"),
        (nn.utils.parametrizations.spectral_norm, "remove_parametrizations"),
        (nn.utils.spectral_norm, "remove_spectral_norm"),
        (lambda part: random_unstructured(part, "weight", 0.5), "prune.remove"),
    ],
)
def test_a_reparametrised_layer_is_named(tmp_path, module: str, change, remedy: str) -> None:
    made = network("iresnet", depth=18)
    change(made.get_submodule(module))
    path = save(tmp_path / "a.pth", made.state_dict())
    with pytest.raises(InputError, match=f"{module}.*{remedy}"):
        import_checkpoint.main(path, "insightface", [])


def test_adapters_of_peft_are_named_where_no_weight_has_its_name(tmp_path, weights) -> None:
    wrapped = {
        f"base_model.model.{name.replace('conv2.weight', 'conv2.base_layer.weight')}": tensor
        for name, tensor in weights.items()
    }
    path = save(tmp_path / "a.pth", wrapped)
    with pytest.raises(InputError, match="adapters.*merge_and_unload"):
        import_checkpoint.main(path, "insightface", [])


@pytest.mark.parametrize("family", ["ir", "scf_resnet"])
def test_the_last_norm_s_scale_ends_the_import_and_can_be_folded(tmp_path, family: str) -> None:
    """The lines of docs/checkpoints.md, against torch's BatchNorm with the scale and the shift."""
    settings = {"ir": {"depth": 18}, "scf_resnet": {"depth": 50, "se": False}}[family]
    system = {"ir": "adaface", "scf_resnet": "scf"}[family]
    made = network(family, **settings)
    norm = made.output_layer[4]
    affine = nn.BatchNorm1d(EMBEDDING).eval()
    affine.load_state_dict(norm.state_dict() | under("", _scale_and_shift()))
    c = published(made) | under("output_layer.4.", _scale_and_shift())
    with pytest.raises(InputError, match="scale and shift of the last BatchNorm.*fold"):
        import_checkpoint.main(save(tmp_path / "a.pth", c), system, [])
    images = torch.linspace(-1, 1, 2 * 3 * 112 * 112).sin().view(2, 3, 112, 112)
    made.output_layer[4] = affine
    with torch.inference_mode():
        expected = made(images)
    exec(_lines_of_the_docs(), {"c": c, "torch": torch})
    import_checkpoint.main(save(tmp_path / "folded.pth", c), system, [])
    with torch.inference_mode():
        found = load_trunk(Path("models") / system).network(images)
    scale = expected.abs().max().item()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * scale)


def _scale_and_shift() -> dict[str, Tensor]:
    return {"weight": numbers(EMBEDDING) * 2, "bias": numbers(EMBEDDING).flip(0)}


def _lines_of_the_docs() -> str:
    text = Path(__file__).parents[2].joinpath("docs/checkpoints.md").read_text()
    part = text[text.index("with `c` the state dict:") :].partition("The embeddings")[0]
    return "\n".join(line[4:] for line in part.splitlines() if line.startswith("    "))


@pytest.mark.parametrize(
    "more",
    [
        {"head.kernel": numbers(EMBEDDING, 99), "head.t": numbers(1)},
        {"head.weight": numbers(99, EMBEDDING), "head.bias": numbers(99)},
        {"classifier.0.weight": numbers(9, EMBEDDING), "classifier.2.weight": numbers(99, 9)},
        {"id_head.weight": numbers(99, EMBEDDING), "aux_head.weight": numbers(5, EMBEDDING)},
        {"fc7.weight": numbers(99, EMBEDDING)},
        {"ArcMarginProduct.weight": numbers(99, EMBEDDING)},
        {"identities.weight": numbers(99, EMBEDDING), "identities.bias": numbers(99)},
        {"t": numbers(1), "batch_mean": numbers(1), "margin.batch_std": numbers(1)},
        {"n_averaged": torch.tensor(3), "rng": torch.zeros(99, dtype=torch.uint8)},
    ],
)
def test_heads_and_counters_are_listed_and_left_out(tmp_path, weights, capsys, more) -> None:
    for number, prefix in enumerate(("", "module.backbone.")):
        path = save(tmp_path / "a.pth", under(prefix, weights) | more)
        import_checkpoint.main(path, "insightface", [], f"m{number}")
        said = capsys.readouterr().out
        for name in more:
            assert f"unused in a.pth: {name} " in said or f"centres <- a.pth: {name} " in said
        assert_weights(f"m{number}", weights)


def assert_weights(name: str, weights: dict[str, Tensor]) -> None:
    found = load_trunk(Path("models") / name).network.state_dict()
    assert all(torch.equal(found[key], tensor) for key, tensor in weights.items())


def test_the_state_of_an_optimiser_is_listed_and_left_out(tmp_path, weights, capsys) -> None:
    parameter = nn.Parameter(numbers(3))
    optimiser = torch.optim.Adam([parameter])
    parameter.sum().backward()
    optimiser.step()
    content = {"state_dict": weights, "optimizer": optimiser.state_dict(), "epoch": 3}
    import_checkpoint.main(save(tmp_path / "a.pth", content), "insightface", [])
    said = capsys.readouterr().out
    assert "unused in a.pth: optimizer (no weights)" in said
    assert "unused in a.pth: epoch (no weights)" in said


@pytest.mark.parametrize(
    "prefix",
    ["ema.", "model_ema.", "state_dict_ema.", "ema_model.module.", "shadow.", "averaged_model."],
)
def test_a_moving_average_is_listed_and_left_out(tmp_path, weights, capsys, prefix: str) -> None:
    other = {name: tensor + 1 for name, tensor in weights.items()}
    for number, content in enumerate(
        (
            under(prefix, other) | weights,
            under("model.", weights) | under(prefix, other) | {"head.weight": centres()},
        )
    ):
        import_checkpoint.main(save(tmp_path / "a.pth", content), "insightface", [], f"m{number}")
        assert capsys.readouterr().out.count("(a moving average of the weights;") == len(weights)
        assert_weights(f"m{number}", weights)
    alone = save(tmp_path / "alone.pth", under(prefix, other))
    import_checkpoint.main(alone, "insightface", [], "alone")
    assert_weights("alone", other)


def test_moving_averages_beside_each_tensor_are_left_out(tmp_path, weights) -> None:
    more = {f"{name}_ema": tensor + 1 for name, tensor in weights.items()}
    import_checkpoint.main(save(tmp_path / "a.pth", weights | more), "insightface", [])
    assert_weights("insightface", weights)


@pytest.mark.parametrize(
    "prefixes", [("models.0.", "models.1."), ("encoder_q.", "encoder_k."), ("", "teacher.")]
)
def test_two_networks_are_refused_whatever_they_are_called(tmp_path, weights, prefixes) -> None:
    other = {name: tensor + 1 for name, tensor in weights.items()}
    path = save(tmp_path / "a.pth", under(prefixes[0], weights) | under(prefixes[1], other))
    with pytest.raises(InputError, match="two networks that differ"):
        import_checkpoint.main(path, "insightface", [])


def test_arguments_that_speak_of_adapters_are_no_adapters(tmp_path, weights) -> None:
    content = {"state_dict": weights, "args": {"use_lora": False, "adapter": {"rank": 0}}}
    import_checkpoint.main(save(tmp_path / "a.pth", content), "insightface", [])
    assert_weights("insightface", weights)
