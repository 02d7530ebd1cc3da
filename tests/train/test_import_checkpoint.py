"""Every published form comes back as the network that it was made of, with its class centres."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from stages.core.errors import InputError
from stages.core.params import load
from stages.core.weights import load_weights
from stages.heads import coreset
from stages.losses._classifier import Classifier
from stages.networks._files import load_trunk, require_trunk
from stages.train import import_checkpoint
from stages.train.import_classifier import _by_rank
from stages.train.import_files import Checkpoint
from tests.train.published import (
    CLASSES,
    EMBEDDING,
    WIDTH,
    centres,
    network,
    published,
    save,
    save_shards,
)


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


def assert_imported(made: torch.nn.Module, name: str, *, loss: str = "arcface", spheres=1) -> dict:
    """The model equals `made`, its centres fit a classifier; its header is returned."""
    folder = Path("models") / name
    stored = load_trunk(folder)
    images = torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, (2, 3, 112, 112))).float()
    with torch.inference_mode():
        expected = made(images)
        assert expected.std() > 1e-2
        torch.testing.assert_close(stored.network(images), expected, rtol=0, atol=1e-6)
        folded = stored.family.fold(stored.network)
        torch.testing.assert_close(folded(images), expected, rtol=1e-4, atol=1e-4)
    tensors, header = load_weights(folder / "classifier.safetensors")
    assert header["spheres"] == spheres
    assert header["classes"] == stored.header["classes"] == CLASSES
    margins, settings = load("losses", loss, None, loss)
    classifier = Classifier(EMBEDDING, CLASSES, margins.build(settings), spheres=spheres)
    classifier.load_state_dict(tensors)
    torch.testing.assert_close(tensors["centres"], centres(), rtol=0, atol=0)
    assert stored.contract.embedding == EMBEDDING
    return stored.header | {"margin": {k: v.item() for k, v in tensors.items() if k != "centres"}}


def contract(header: dict) -> tuple[str, float, float]:
    return tuple(header["contract"][key] for key in ("colour", "mean", "scale"))


def test_magface_of_one_process(tmp_path):
    made = network("iresnet", depth=18, flavour="magface")
    state = published(made, "module.features.") | {"module.fc.weight": centres().T}
    optimizer = {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]}
    content = {"epoch": 25, "arch": "iresnet18", "state_dict": state, "optimizer": optimizer}
    import_checkpoint.main(save(tmp_path / "00025.pth", content), "magface", [])
    header = assert_imported(made, "magface")
    assert contract(header) == ("bgr", 0, 255)
    assert header["network"] == {
        "name": "iresnet",
        "depth": 18,
        "width": WIDTH,
        "embedding": EMBEDDING,
        "flavour": "magface",
        "dropout": None,
    }
    assert header["contract"]["training_data"].startswith("imported: 00025.pth, sha256 ")


@pytest.mark.parametrize(("system", "is_fixed"), [("magface", True), ("insightface", False)])
def test_another_system_s_gamma_is_doubted(tmp_path, capsys, system: str, is_fixed: bool) -> None:
    """InsightFace leaves the last gamma at 1, MagFace trains it; what they are fed differs."""
    made = network("iresnet", depth=18, flavour=system)
    for name, gamma in (("doubtful", is_fixed), ("sure", not is_fixed)):
        torch.nn.init.ones_(made.features.weight)
        if not gamma:
            torch.nn.init.uniform_(made.features.weight)
        file = save(tmp_path / f"{name}.pth", published(made))
        import_checkpoint.main(file, system, [], name=name)
    said = capsys.readouterr().err
    assert f"doubtful.pth: the last BatchNorm's gamma {'is 1' if is_fixed else 'was'}" in said
    assert f"see that --as {system} is right" in said
    assert "sure.pth" not in said


def test_magface_of_ranks(tmp_path):
    made = network("iresnet", depth=18, flavour="magface")
    state = published(made, "features.module.") | {"fc.weight": centres()}
    import_checkpoint.main(save(tmp_path / "00025.pth", {"state_dict": state}), "magface", [])
    assert_imported(made, "magface")


def test_a_square_classifier_is_told_by_its_name(tmp_path):
    made = network("iresnet", depth=18, flavour="magface")
    square = centres(EMBEDDING)
    for name, prefix, fc in (("one", "module.features.", "module.fc"), ("many", "f.module.", "fc")):
        state = published(made, prefix) | {f"{fc}.weight": square}
        path = save(tmp_path / f"{name}.pth", {"state_dict": state})
        import_checkpoint.main(path, "magface", [], name)
        tensors, _ = load_weights(Path("models") / name / "classifier.safetensors")
        expected = square.T if name == "one" else square
        torch.testing.assert_close(tensors["centres"], expected, rtol=0, atol=0)


def test_btnet_with_shards(tmp_path):
    made = network("iresnet", depth=34)
    shares = centres().tensor_split(3)
    parts = [
        {"margin_softmax.t": torch.tensor(t), "weight": share}
        for t, share in zip((0.25, float("nan"), 0.75), shares, strict=True)
    ]
    shards = save_shards(tmp_path, "softmax_fc_gpu_{}.pt", parts)
    model = save(tmp_path / "model.pt", published(made))
    import_checkpoint.main(model, "btnet", shards[::-1], "tnet")
    header = assert_imported(made, "tnet", loss="curricularface")
    assert header["network"]["depth"] == 34
    assert header["network"]["flavour"] == "insightface"
    assert contract(header) == ("rgb", 127.5, 127.5)
    assert header["margin"] == {"margin.t": 0.5}  # a rank without a sample of its own knows no t


def test_more_than_ten_ranks_are_in_the_order_of_their_numbers(tmp_path):
    made = network("iresnet", depth=18)
    many = centres(25)
    parts = [{"weight": share} for share in many.tensor_split(12)]
    shards = save_shards(tmp_path, "softmax_fc_gpu_{}.pt", parts)
    model = save(tmp_path / "model.pt", published(made))
    import_checkpoint.main(model, "btnet", sorted(shards))
    tensors, _ = load_weights(Path("models/btnet/classifier.safetensors"))
    torch.testing.assert_close(tensors["centres"], many, rtol=0, atol=0)


def test_insightface_with_everything_in_each_rank(tmp_path):
    made = network("iresnet", depth=18)
    parts = [
        {
            "epoch": 3,
            "state_dict_backbone": published(made),
            "state_dict_softmax_fc": {"weight": share},
            "state_optimizer": {"state": {}},
        }
        for share in centres().tensor_split(2)
    ]
    shards = save_shards(tmp_path, "checkpoint_gpu_{}.pt", parts)
    import_checkpoint.main(shards[0], "insightface", shards)
    assert contract(assert_imported(made, "insightface")) == ("rgb", 127.5, 127.5)


def test_insightface_with_bare_tensors(tmp_path):
    made = network("iresnet", depth=18)
    shards = save_shards(tmp_path, "rank_{}_softmax_weight.pt", list(centres().tensor_split(2)))
    backbone = save(tmp_path / "backbone.pth", published(made, "module."))
    import_checkpoint.main(backbone, "insightface", shards)
    assert_imported(made, "insightface")


def test_scf(tmp_path):
    made = network("scf_resnet", depth=50, se=False)
    head = save(tmp_path / "arcface.pt", {"arc_face_state_dict": {"weight": centres()}})
    backbone = save(tmp_path / "backbone.pt", {"backbone_state_dict": published(made)})
    import_checkpoint.main(backbone, "scf", [head])
    header = assert_imported(made, "scf")
    assert (header["network"]["depth"], header["network"]["se"]) == (50, False)
    assert contract(header) == ("rgb", 127.5, 128)


def test_adaface_of_lightning(tmp_path, monkeypatch):
    """Lightning 1.4 keys its callbacks by class, and keeps NumPy numbers."""
    callbacks = ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    callback = type("ModelCheckpoint", (), {"__module__": callbacks.__name__})
    callbacks.ModelCheckpoint = callback
    for name in ("pytorch_lightning", "pytorch_lightning.callbacks", callbacks.__name__):
        monkeypatch.setitem(sys.modules, name, callbacks)
    made = network("ir", depth=18)
    state = published(made, "model.") | {
        "head.kernel": centres().T,
        "head.batch_mean": torch.full((1,), 21.5),
        "head.batch_std": torch.full((1,), 4.5),
        "head.t": torch.zeros(1),
    }
    content = {
        "epoch": 25,
        "state_dict": state,
        "callbacks": {callback: {"best": np.float64(0.97), "object": callback()}},
        "hyper_parameters": {"arch": "ir_18", "m": 0.4},
    }
    path = save(tmp_path / "adaface.ckpt", content)
    for name in ("pytorch_lightning", "pytorch_lightning.callbacks", callbacks.__name__):
        monkeypatch.delitem(sys.modules, name)
    import_checkpoint.main(path, "adaface", [])
    header = assert_imported(made, "adaface", loss="adaface")
    assert contract(header) == ("bgr", 127.5, 127.5)
    assert header["margin"] == {"margin.mean": 21.5, "margin.std": 4.5}


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("mobilefacenet", {}),
        ("ir_se", {"depth": 50, "se": True}),
        ("ir_se", {"depth": 50, "se": False}),
    ],
)
def test_multiface_with_spheres(tmp_path, family, settings):
    made = network(family, **settings)
    spheres = {f"para{k}": part.T for k, part in enumerate(centres().chunk(3, dim=1))}
    backbone = save(tmp_path / "model.pth", published(made))
    import_checkpoint.main(backbone, "multiface", [save(tmp_path / "head.pth", spheres)])
    header = assert_imported(made, "multiface", spheres=3)
    assert header["network"]["name"] == family
    assert settings.items() <= header["network"].items()
    assert contract(header) == ("bgr", 127.5, 127.5)


def test_multiface_with_one_kernel(tmp_path):
    made = network("mobilefacenet")
    backbone = save(tmp_path / "model.pth", published(made, "module."))
    head = save(tmp_path / "head.pth", {"module.kernel": centres().T})
    import_checkpoint.main(backbone, "multiface", [head], "two", 2)
    assert_imported(made, "two", spheres=2)
    import_checkpoint.main(backbone, "multiface", [head], "one")
    assert_imported(made, "one", spheres=1)


def test_every_tensor_is_accounted_for(tmp_path, capsys):
    made = network("iresnet", depth=18)
    counters = [name for name in published(made) if name.endswith("num_batches_tracked")]
    state = {name: t for name, t in published(made, "net.").items() if name[4:] not in counters}
    state["net.conv1.weight"] = state["net.conv1.weight"].half()
    content = {"model": state, "other": {"thing": torch.ones(3)}, "epoch": 3}
    import_checkpoint.main(save(tmp_path / "a.pth", content), "btnet", [])
    lines = capsys.readouterr().out.splitlines()
    names = list(made.state_dict())
    assert [line.partition(" <- ")[0] for line in lines[: len(names)]] == names
    assert lines[0] == (
        "conv1.weight <- model.net.conv1.weight [4, 3, 3, 3], torch.float16 -> torch.float32"
    )
    assert sum("is absent, and counts nothing" in line for line in lines) == len(counters)
    assert "unused in a.pth: other.thing [3] (no part of network or classifier)" in lines
    assert "unused in a.pth: epoch (no weights)" in lines
    assert any("no class centres" in line for line in lines)
    assert not Path("models/btnet/classifier.safetensors").exists()
    stored = load_trunk(Path("models/btnet")).network.state_dict()
    half = state["net.conv1.weight"].float()
    torch.testing.assert_close(stored["conv1.weight"], half, rtol=0, atol=0)


def test_a_network_stored_twice_is_taken_once(tmp_path, capsys):
    made = network("ir", depth=18)
    state = published(made, "model.") | published(made, "template_model.module.")
    import_checkpoint.main(save(tmp_path / "a.ckpt", {"state_dict": state}), "adaface", [])
    said = capsys.readouterr().out
    assert said.count("(the same network again)") == len(made.state_dict())


def test_the_same_files_give_the_same_bytes(tmp_path):
    made = network("iresnet", depth=18, flavour="magface")
    state = published(made, "module.features.") | {"module.fc.weight": centres().T}
    path = save(tmp_path / "a.pth", {"state_dict": state})
    for name in ("one", "two"):
        import_checkpoint.main(path, "magface", [], name)
    for file in ("weights.safetensors", "classifier.safetensors"):
        written = [(Path("models") / name / file).read_bytes() for name in ("one", "two")]
        assert written[0] == written[1]


def test_coreset_with_its_trunk(tmp_path, capsys):
    """Lightning's file holds the trunk twice, the aggregation module and what is dead of it."""
    made = network("ir", depth=18)
    settings = coreset.Params(epochs=0, batch=2, lr=1e-4, points=5)
    torch.manual_seed(0)
    head = coreset.build(settings, None, EMBEDDING)
    head.gamma.data.fill_(0.11)
    dead = {"tau": torch.tensor(1.0), "decoder_layer1.norm3.weight": torch.ones(EMBEDDING)}
    state = published(made, "model.") | published(made, "template_model.module.")
    state |= {f"aggregate.{name}": t for name, t in (head.state_dict() | dead).items()}
    state["head.kernel"] = torch.ones(EMBEDDING, 7)
    content = {"state_dict": state, "hyper_parameters": {"coreset_size": 5}}
    adaface = save(tmp_path / "adaface.ckpt", {"state_dict": {"head.kernel": centres().T}})
    import_checkpoint.main(save(tmp_path / "set.ckpt", content), "coreset", [adaface])
    assert contract(assert_imported(made, "coreset")) == ("bgr", 127.5, 127.5)
    path = Path("models/coreset/heads/coreset/weights.safetensors")
    tensors, header = load_weights(path)
    require_trunk(path, header, Path("models/coreset"))
    heads, stored = load("heads", header["head"], header["settings"], "head")
    again = heads.build(stored, **header["build"])
    again.load_state_dict(tensors)
    assert stored.points == 5
    numbers = torch.from_numpy(np.random.default_rng(2).standard_normal((2, 9, EMBEDDING))).float()
    unit = torch.nn.functional.normalize(numbers, dim=2)
    norm = numbers.norm(dim=2)
    torch.testing.assert_close(again.eval()(unit, norm), head.eval()(unit, norm), rtol=0, atol=0)
    said = capsys.readouterr().out
    for name in dead:
        assert f"aggregate.{name} {list(dead[name].shape)} (never used by its own code" in said
    assert "coreset: gamma <- state_dict.aggregate.gamma []" in said
    assert "head.kernel [24, 7] (no part of network or classifier)" in said


def test_coreset_without_an_aggregation_module(tmp_path):
    path = save(tmp_path / "a.ckpt", published(network("ir", depth=18)))
    with pytest.raises(InputError, match="no aggregation module.*--as adaface"):
        import_checkpoint.main(path, "coreset", [])


def test_the_last_rank_in_a_name_counts_and_how_many_devices_there_were_does_not() -> None:
    def named(*stems: str) -> list[Checkpoint]:
        return [Checkpoint(Path(f"{stem}.pt"), {}, [], {}) for stem in stems]

    alone = named("magface_gpu8_epoch25")
    assert _by_rank(alone) == alone
    both = named("ms1mv3_gpu_8_rank_1", "ms1mv3_gpu_8_rank_0")
    assert _by_rank(both) == both[::-1]
