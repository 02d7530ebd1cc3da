"""The estimates of --cost against second derivations: by hand, and by running what is estimated."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from stages.core.contract import InputContract
from stages.core.fit import _batches
from stages.core.optim import build_optimizer
from stages.core.params import read_params
from stages.core.schedule import Schedule
from stages.datasets._store import ImageSetWriter
from stages.datasets._training_pack import write_training_pack
from stages.extract.features import FeatureWriter
from stages.losses import arcface, curricularface
from stages.losses._classifier import Classifier
from stages.networks import iresnet
from stages.networks._files import save_network
from stages.tools import _networks, _sizes
from stages.tools._cost import estimate, lines, link_type
from stages.tools._networks import count, forward_flops, images, saved_bytes
from stages.tools._sizes import CROP_BYTES, INDEX_BYTES, JPEG_BYTES, set_size
from stages.tools._work import distillation_flops, extraction_flops, seen, training_flops

DEMO = read_params(Path(__file__).parents[2] / "params.yaml")
SMALL = iresnet.Params(depth=18, width=0.25, embedding=128)  # the demo's


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The demo's, in a workspace without data."""
    monkeypatch.chdir(tmp_path)
    return copy.deepcopy(DEMO)


def multiplications(network: nn.Module, *inputs: torch.Tensor) -> int:
    """Of convolutions and linear layers, by hand: each number of an output takes one for each
    weight that makes it."""
    total = 0

    def add(layer: nn.Conv2d | nn.Linear, _: Any, output: torch.Tensor) -> None:
        nonlocal total
        total += output.numel() * layer.weight[0].numel()

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(add)
    with torch.no_grad():
        network(*inputs)
    return total


def test_operations_of_a_convolution_are_the_sum_over_its_outputs() -> None:
    layer = nn.Conv2d(3, 8, 3, stride=2, padding=1, groups=1)  # 8 -> 4 pixels a side
    assert forward_flops(layer, torch.rand(2, 3, 8, 8)) == 2 * (2 * 8 * 4 * 4) * (3 * 3 * 3)
    grouped = nn.Conv2d(4, 4, 3, padding=1, groups=4)
    assert forward_flops(grouped, torch.rand(1, 4, 5, 5)) == 2 * (4 * 5 * 5) * (3 * 3)


@pytest.mark.parametrize(
    ("backbone", "published"),  # multiplications of an image, 10^9
    [
        ({"name": "iresnet", "depth": 50}, 6.3),
        ({"name": "iresnet", "depth": 100}, 12.1),
        ({"name": "mobilefacenet"}, 0.22),
    ],
)
def test_operations_are_twice_the_published_multiplications(
    params: dict[str, Any], backbone: dict[str, Any], published: float
) -> None:
    params |= {"backbone": backbone, "heads": [], "resolutions": []}
    assert count(params).flops["trunk"] / 2e9 == pytest.approx(published, rel=0.01)


@pytest.mark.parametrize("name", ["iresnet", "mobilefacenet", "ir", "ir_se", "scf_resnet"])
def test_operations_of_every_family_are_those_counted_by_hand(
    params: dict[str, Any], name: str
) -> None:
    depth = {"depth": 50} if name != "mobilefacenet" else {}
    params |= {"backbone": {"name": name, "width": 0.125, "embedding": 64} | depth, "heads": []}
    network, side = count(params), params["resolutions"][0]
    family, settings, trunk = _networks._trunk(params)
    assert network.flops["trunk"] == 2 * multiplications(trunk, images(1))
    branch = family.build_branch(settings, side).eval()
    assert network.flops[f"branch {side}"] == 2 * multiplications(branch, images(1, side))
    stored = sum(value.numel() for value in branch.state_dict().values() if value.ndim)
    counters = sum(value.ndim == 0 for value in branch.state_dict().values())
    assert network.sizes[f"branch {side}"] == 4 * stored + 8 * counters


@pytest.mark.parametrize("rows", [200, 201, 7])
@pytest.mark.parametrize(("batch", "share"), [(20, 1.0), (16, 1.0), (16, 0.5), (3, 0.1)])
def test_steps_and_images_are_those_of_the_loop(rows: int, batch: int, share: float) -> None:
    schedule = Schedule(epochs=3, batch=batch, epoch_share=share, lr=0.1)
    done = [
        len(part)
        for epoch in range(3)
        for part in _batches(rows, batch, 0, "", epoch)[: schedule.steps_per_epoch(rows)]
    ]
    steps, through = seen(schedule, rows)
    assert steps == len(done)
    assert through == pytest.approx(sum(done), abs=len(done))  # batches differ by one row


def test_training_takes_what_the_counter_finds_in_a_step(params: dict[str, Any]) -> None:
    params |= {"heads": [], "resolutions": [], "test_sets": []}
    network, rows, classes = iresnet.build(SMALL), 4, 3000
    classifier = Classifier(128, classes, arcface.build(arcface.Params()))
    with FlopCounterMode(display=False) as counter:
        classifier(network(images(rows)), torch.arange(rows)).total.backward()
    each = training_flops(params, count(params), classes)
    assert counter.get_total_flops() / rows == pytest.approx(each, rel=0.02)


@pytest.mark.parametrize("side", [28, 14, 7])
def test_distillation_takes_what_the_counter_finds_in_a_step(
    params: dict[str, Any], side: int
) -> None:
    params |= {"heads": []}
    rows, classes = 4, 3000
    trunk = iresnet.build(SMALL).eval().requires_grad_(False)
    branch = iresnet.build_branch(SMALL, side)
    margin = curricularface.build(curricularface.Params())
    classifier = Classifier(128, classes, margin).requires_grad_(False)
    large = images(rows)
    with FlopCounterMode(display=False) as counter:
        with torch.no_grad():
            taught = trunk.pyramid(large)
        map_ = branch(F.interpolate(large, (side, side)))
        embedding = trunk.resume(map_, branch.depth)
        loss = classifier(embedding, torch.arange(rows)).total
        (loss + (embedding - taught.embedding).square().mean()).backward()
    each = distillation_flops(count(params), side, classes)
    assert counter.get_total_flops() / rows == pytest.approx(each, rel=0.05)


def test_extraction_takes_the_passes_of_the_stage(params: dict[str, Any]) -> None:
    networks = count(params)
    trunk, body, head = (networks.flops[name] for name in ("trunk", "body", "scf"))
    passes = 2 * trunk  # the image, mirrored
    for side in params["resolutions"]:
        passes += 2 * (networks.flops[f"branch {side}"] + networks.flops[f"rest {side}"])
        passes += 2 * trunk  # the copy brought back to 112 px, mirrored
    passes += (1 + len(params["resolutions"])) * (body + head)  # image and copies, not mirrored
    assert extraction_flops(params, networks) == passes


@pytest.mark.parametrize("half", [None, torch.bfloat16])
def test_activations_of_fake_tensors_are_those_of_a_real_pass(
    params: dict[str, Any], half: torch.dtype | None
) -> None:
    params["train"]["precision"] = "bf16" if half else "fp32"
    network = iresnet.build(SMALL).train()
    real = saved_bytes(network, images(3), half)
    found = _networks.activation_bytes(params, 3)
    # fake tensors keep BatchNorm's statistics of a batch in half precision, real ones in float32
    assert found == (pytest.approx(real, rel=1e-3) if half else real)


def test_saved_bytes_count_a_tensor_once_and_no_weights() -> None:
    linear = nn.Linear(8, 4)
    network = nn.Sequential(linear, nn.Sigmoid(), nn.Linear(4, 1), nn.Sigmoid())
    # kept: the input, the first sigmoid's output (which the second layer reads too), the second's
    assert saved_bytes(network, torch.rand(5, 8)) == 4 * 5 * (8 + 4 + 1)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_memory_of_weights_gradients_and_optimiser_is_that_of_a_step(
    params: dict[str, Any], optimizer: str
) -> None:
    params["schedules"]["orl"]["optimizer"] = optimizer
    params |= {"heads": [], "resolutions": []}
    network = iresnet.build(SMALL).train()
    classifier = Classifier(128, 20, arcface.build(arcface.Params()))
    modules = {"network": network, "classifier": classifier}
    moved = build_optimizer(Schedule(**params["schedules"]["orl"]), modules)
    classifier(network(images(2)), torch.arange(2)).total.backward()
    moved.step()
    held = [value for module in modules.values() for value in module.state_dict().values()]
    gradients = [group["params"] for group in moved.param_groups]
    states = [v for state in moved.state.values() for v in state.values() if v.ndim]
    memory = estimate(params).memory
    assert memory["weights"] == sum(value.nbytes for value in held)
    assert memory["gradients"] == sum(v.grad.nbytes for group in gradients for v in group)
    assert memory["optimiser"] == sum(value.nbytes for value in states)


def test_memory_of_logits_is_what_the_loss_allocates(
    params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, people = 256, 8000  # a single block of classes
    monkeypatch.setitem(_sizes.PUBLISHED, "orl", (200, people))
    params["schedules"]["orl"]["batch"] = rows
    params |= {"heads": [], "resolutions": []}
    classifier = Classifier(8, people, arcface.build(arcface.Params()))
    embedding, labels = torch.randn(rows, 8, requires_grad=True), torch.arange(rows)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        classifier(embedding, labels)
    events = sorted(profiler.profiler.kineto_results.events(), key=lambda event: event.start_ns())
    changes = [event.nbytes() for event in events if event.name() == "[memory]"]
    peak = max(itertools.accumulate(changes))
    assert estimate(params).memory["logits"] == pytest.approx(peak, rel=0.03)


def test_devices_share_images_and_centres(params: dict[str, Any]) -> None:
    params["datasets"]["orl"]["root"] = "nowhere"
    one, two = estimate(params), estimate(params, devices=2)
    assert (one.images, two.images) == (20, 10)
    half = one.memory["activations"] / 2  # beside BatchNorm's statistics, which are a batch's
    assert two.memory["activations"] == pytest.approx(half, rel=1e-3)
    assert two.memory["weights"] < one.memory["weights"]
    params["train"]["accumulate"] = 4
    assert estimate(params).images == 5


# ---- image sets ----


def jpeg(number: int) -> bytes:
    image = np.full((16, 16, 3), number, np.uint8)
    return cv2.imencode(".jpg", image)[1].tobytes()


def test_a_pack_is_counted_by_its_records(params: dict[str, Any]) -> None:
    root = Path("data/raw/orl/faces")
    root.mkdir(parents=True)
    write_training_pack(root, [0, 0, 1, 2], map(jpeg, range(4)))
    size = set_size("orl", params)
    assert (size.images, size.people) == (4, 3)
    assert size.unpacked == (root / "train.rec").stat().st_size + 4 * INDEX_BYTES
    assert size.aligned == 4 * (CROP_BYTES + INDEX_BYTES)
    assert size.assumed


def test_an_image_of_several_pairs_counts_once(params: dict[str, Any]) -> None:
    pack = Path("data/raw/orl/orl.bin")
    pack.parent.mkdir(parents=True)
    pack.write_bytes(pickle.dumps(([jpeg(1), jpeg(2), jpeg(1), jpeg(3)], [True, False])))
    size = set_size("orl_pack", params)
    assert size.images == 3
    assert math.isnan(size.people)


def test_a_folder_and_a_list_are_counted_by_names(params: dict[str, Any]) -> None:
    for name in ("ann/1.jpg", "ann/2.jpg", "bob/1.jpg"):
        file = Path("photos") / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(jpeg(0))
    params["datasets"]["mine"] = {"format": "folder", "root": "photos", "align": "none"}
    size = set_size("mine", params)
    assert (size.images, size.people) == (3, 2)
    assert size.unpacked == size.aligned == 3 * (JPEG_BYTES + INDEX_BYTES)
    Path("list.txt").write_text("ann/1.jpg 0 0 0\nbob/1.jpg 0 4 0\n")
    params["datasets"]["mine"] = {"format": "list", "root": "list.txt", "align": "none"}
    size = set_size("mine", params)
    assert (size.images, size.people) == (2, 5)


def test_what_is_aligned_counts_before_what_is_published(params: dict[str, Any]) -> None:
    assert set_size("orl", params)[:3] == (200, 20, "published size")
    folder = Path("data/align/orl")
    folder.mkdir(parents=True)
    with ImageSetWriter(folder, 3, folder) as writer:
        for number in range(3):
            writer.add(jpeg(number), str(number), number)
    size = set_size("orl", params)
    assert (size.images, size.people, size.origin) == (3, 3, "counted in data/align")
    there = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert size.aligned == there


def test_disk_of_features_is_what_extract_writes(params: dict[str, Any]) -> None:
    params |= {"test_sets": ["orl_pack"], "resolutions": [7], "heads": ["scf"]}
    params["extract"]["pixels"] = 8
    rows, features = 200, Path("features")
    embedding, norm = np.zeros((rows, 128)), np.zeros(rows)
    model = {"embedding": embedding, "mirrored": embedding, "norm": norm}
    pixels = np.zeros((rows, 64))
    for name, arrays in {
        "trunk": model,
        "trunk/branch_7": model,
        "trunk/upsampled_7": model,
        "pixels": model | {"embedding": pixels, "mirrored": pixels},
        "heads/scf": {"kappa": norm, "kappa_7": norm},
    }.items():
        (features / name).mkdir(parents=True)
        FeatureWriter(features / name, rows).append(arrays)
    written = [np.load(file) for file in features.rglob("*.npy")]
    assert estimate(params).disk["features"] == sum(array.nbytes for array in written)


def test_the_cache_has_copied_images_once(params: dict[str, Any]) -> None:
    cost = estimate(params)
    copied = cost.sets["orl_surveillance"].aligned
    stages = sum(cost.disk[stage] for stage in ("unpack", "align", "features", "models"))
    assert cost.cached == stages - copied


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("", "where the file system has reflinks"),
        ('[cache]\n    type = "hardlink,symlink"\n', "cache.type hardlink"),
        ("[cache]\n    type = copy\n", "beside the workspace"),
    ],
)
def test_the_cache_is_linked_as_configured(params: dict[str, Any], config: str, said: str) -> None:
    Path(".dvc").mkdir()
    Path(".dvc/config").write_text("[core]\n    analytics = false\n" + config)
    assert said in link_type()


# ---- what is printed ----


def test_the_demo_is_told_with_units_in_about_twenty_lines(params: dict[str, Any]) -> None:
    told = lines(estimate(params, devices=2))
    assert max(map(len, told)) <= 100
    assert len(told) <= 24
    text = "\n".join(told)
    assert "orl, 200 images of 20 people (published size)" in text
    assert "an assumption" in text
    row = next(line.split() for line in told if line.startswith("train "))
    assert row[1:3] == ["240", "4,800"]


def test_a_set_of_unknown_size_leaves_the_totals_of_the_others(params: dict[str, Any]) -> None:
    known = estimate(params | {"test_sets": ["orl_pack"]})
    params["datasets"]["mine"] = {"format": "folder", "root": "nowhere", "align": "none"}
    params |= {"test_sets": ["orl_pack", "mine"]}
    cost = estimate(params)
    assert (cost.work, cost.disk) == (known.work, known.disk)
    assert "test sets: mine unknown (unknown, in no total)" in lines(cost)
    params |= {"dataset": "mine", "test_sets": ["orl_pack"]}
    told = lines(estimate(params))
    assert "unknown images of unknown people" in told[0]
    assert next(line for line in told if line.startswith("total")).split()[1:] == ["unknown"] * 2


def test_an_imported_trunk_is_not_trained(params: dict[str, Any]) -> None:
    family, settings, network = _networks._trunk(params)
    Path("models/other").mkdir(parents=True)
    save_network(Path("models/other"), network, family.describe(settings), InputContract())
    params |= {"trunk": "other", "backbone": {"name": "iresnet"}}
    cost = estimate(params)
    assert [work.name for work in cost.work][:2] == ["distill 28 px", "distill 14 px"]
    assert cost.memory == {}
    assert cost.forward == count(copy.deepcopy(DEMO)).flops["trunk"]


def test_stated_speed_divides_the_operations(params: dict[str, Any]) -> None:
    assert estimate(params, tflops=2.5).speed == 2.5e12
    assert "2.5 TFLOP/s (as stated)" in "\n".join(lines(estimate(params, tflops=2.5)))


def test_speed_is_measured_on_this_machine(
    params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_networks, "LONGEST_S", 0.0)  # a single step
    params |= {"resolutions": [], "heads": []}
    params["schedules"]["orl"]["batch"] = 4
    cost = estimate(params, measured=True)
    assert cost.speed > 0
    assert cost.origin.endswith("images/s, 1 of 10 steps of 4 images")


def test_set_heads_embed_their_images_at_every_step_or_once(params: dict[str, Any]) -> None:
    params |= {"heads": ["coreset"], "resolutions": []}
    settings = params["head"]["coreset"]
    cached = next(work for work in estimate(params).work if work.name == "head coreset")
    settings["source"] = "images"
    published = next(work for work in estimate(params).work if work.name == "head coreset")
    trunk = count(params).flops["trunk"]
    mean = sum(range(1, settings["largest"] + 1)) / settings["largest"]
    once = 200 * settings["views"] * 3 * trunk  # clips of 3 frames
    assert published.flops - cached.flops == pytest.approx(published.samples * mean * trunk - once)
