"""FaceCoresetNet against its published code."""

import json
import random
import re

import numpy as np
import torch

from stages.heads import coreset
from stages.heads._selection import farthest_points
from tests.goldens import golden
from tests.heads.published_coreset import (
    NAMES,
    live,
    published_network,
    published_weights,
    shape_of,
)

DESCRIPTOR_ATOL = 1e-5


def prefixes(z, ending: str) -> list[str]:
    found = [key.removesuffix(ending) for key in z.files if key.endswith(ending)]
    assert found
    return found


@golden("coreset/fps_eval*.npz")
def test_selection(file):
    z = np.load(file)
    for case in prefixes(z, "_idx"):
        unit, norm = z[case + "_emb"], z[case + "_norms"]
        gamma, points = float(z[case + "_gamma"]), int(z[case + "_K"])
        picks = farthest_points(unit, norm, np.array([len(unit)]), gamma, points)[0]
        assert picks[picks >= 0].tolist() == z[case + "_idx"].tolist(), case
        assert np.all(picks[len(z[case + "_idx"]) :] < 0)
        chosen = norm[picks[picks >= 0], None] * unit[picks[picks >= 0]]
        np.testing.assert_allclose(chosen, z[case + "_coreset"], rtol=1e-6)
        mean = chosen.mean(axis=0)
        length = np.linalg.norm(mean)
        np.testing.assert_allclose(mean / length, z[case + "_only_fps_desc"], atol=1e-6)
        np.testing.assert_allclose(length, z[case + "_only_fps_norm"][0], rtol=1e-6)
        metric = norm**gamma * (1 - unit @ unit[picks[0]]) / 2
        rounding = 1e-6 * (norm**gamma).max()
        np.testing.assert_allclose(metric, z[case + "_dist_first"], atol=rounding)


@golden("coreset/fps_eval*.npz")
def test_selection_of_all_cases_of_one_width_at_once(file):
    """Segmented: no set sees another."""
    z = np.load(file)
    by_kind: dict[tuple, list[str]] = {}
    for case in prefixes(z, "_idx"):
        kind = (z[case + "_emb"].shape[1], float(z[case + "_gamma"]), int(z[case + "_K"]))
        by_kind.setdefault(kind, []).append(case)
    for (_, gamma, points), cases in by_kind.items():
        unit = np.concatenate([z[case + "_emb"] for case in cases])
        norm = np.concatenate([z[case + "_norms"] for case in cases])
        sizes = np.array([len(z[case + "_norms"]) for case in cases])
        picks = farthest_points(unit, norm, sizes, gamma, points)
        for case, row, start in zip(cases, picks, np.cumsum(sizes) - sizes, strict=True):
            assert (row[row >= 0] - start).tolist() == z[case + "_idx"].tolist()


@golden("coreset/norm_encoding*.npz")
def test_norm_encoding(file):
    z = np.load(file)
    norm = torch.from_numpy(z["norms"])
    for name in [key for key in z.files if key.startswith("pe_ln_")]:
        dimensions = int(name.rpartition("_")[2])
        encoded = coreset.encode_norm(norm, dimensions)
        np.testing.assert_allclose(encoded, z[f"pe_{dimensions}"], atol=5e-5)
        normed = torch.nn.functional.layer_norm(encoded, [dimensions])
        np.testing.assert_allclose(normed, z[name], atol=1e-4)


@golden("coreset/keys_*.json")
def test_names_of_published_checkpoints(file):
    listed = {name: tuple(shape) for name, shape in json.loads(file.read_text())}
    dimensions = listed["ur_center"][0]
    assert list(listed) == NAMES
    assert listed == {name: shape_of(name, dimensions) for name in NAMES}
    published = live({name: torch.empty(shape) for name, shape in listed.items()})
    ours = published_network(dimensions, points=3).state_dict()
    assert {n: t.shape for n, t in published.items()} == {n: t.shape for n, t in ours.items()}


@golden("coreset/params_without_grad*.json")
def test_dead_parameters(file):
    dead = json.loads(file.read_text())["no_grad_params"]
    assert sorted(set(NAMES) - live(published_weights(16)).keys()) == sorted(dead)


@golden("coreset/weights_*.npz")
def test_rule_of_the_weights(file):
    z = np.load(file)
    ours = published_weights(len(z["ur_center"]))
    assert list(ours) == z.files
    for name in z.files:
        np.testing.assert_array_equal(ours[name], z[name], err_msg=name)


@golden("coreset/aggregate_d*.npz")
def test_aggregation_stage_by_stage(file):
    z = np.load(file)
    cases = prefixes(z, "_emb")
    points = max(len(z[case + "_idx"]) for case in cases)
    units = [torch.from_numpy(z[case + "_emb"]) for case in cases]
    net = published_network(units[0].shape[1], points)
    seen: dict[str, torch.Tensor] = {}
    block = net.decoder_layer1
    for name, layer in (("sa_out", block.norm1), ("delta", block.norm2)):
        layer.register_forward_hook(lambda *call, name=name: seen.update({name: call[2]}))
    with torch.no_grad():
        for case, unit in zip(cases, units, strict=True):
            norm = torch.from_numpy(z[case + "_norms"])
            descriptor = net(unit[None], norm[None])[0]
            picks = farthest_points(
                unit.numpy(), norm.numpy(), np.array([len(unit)]), net.gamma.item(), points
            )[0]
            picks = picks[picks >= 0]
            assert picks.tolist() == z[case + "_idx"].tolist()
            chosen = (norm[:, None] * unit)[picks]
            np.testing.assert_allclose(chosen, z[case + "_coreset"], rtol=1e-6)
            for name, found in seen.items():
                np.testing.assert_allclose(found[0], z[f"{case}_{name}"], atol=1e-5)
            length = descriptor.norm()
            np.testing.assert_allclose(length, z[case + "_norm"][0], rtol=1e-6)
            np.testing.assert_allclose(descriptor / length, z[case + "_desc"], atol=DESCRIPTOR_ATOL)


@golden("coreset/aggregate_d*.npz")
def test_sets_of_all_sizes_at_once(file):
    z = np.load(file)
    cases = prefixes(z, "_emb")
    unit = np.concatenate([z[case + "_emb"] for case in cases])
    norm = np.concatenate([z[case + "_norms"] for case in cases])
    sizes = np.array([len(z[case + "_norms"]) for case in cases])
    points = max(len(z[case + "_idx"]) for case in cases)
    rows = published_network(unit.shape[1], points).describe(unit, norm, sizes)
    for case, row in zip(cases, rows, strict=True):
        np.testing.assert_allclose(np.linalg.norm(row), z[case + "_norm"][0], rtol=1e-6)
        unit_row = row / np.linalg.norm(row)
        np.testing.assert_allclose(unit_row, z[case + "_desc"], atol=DESCRIPTOR_ATOL)


@golden("coreset/aggregate_batch_*.npz")
def test_batch(file):
    z = np.load(file)
    unit, norm = torch.from_numpy(z["emb"]), torch.from_numpy(z["norms"])
    sets, size, dimensions = unit.shape
    net = published_network(dimensions, z["idx"].shape[1])
    with torch.no_grad():
        rows = net(unit, norm)
    length = rows.norm(dim=1, keepdim=True)
    np.testing.assert_allclose(rows / length, z["desc"], atol=DESCRIPTOR_ATOL)
    np.testing.assert_allclose(length, z["norm"], rtol=1e-6)
    picks = farthest_points(
        unit.reshape(-1, dimensions).numpy(), norm.reshape(-1).numpy(), np.full(sets, size),
        net.gamma.item(), z["idx"].shape[1],
    )  # fmt: skip
    np.testing.assert_array_equal(picks - size * np.arange(sets)[:, None], z["idx"])
    features = (norm[..., None] * unit).reshape(-1, dimensions)
    np.testing.assert_allclose(features[picks], z["coreset"], rtol=1e-6)


@golden("coreset/train_gumbel_*.npz")
def test_gradients_of_training(file):
    """Straight through the choices, to embeddings, norms and every parameter, gamma among them."""
    z = np.load(file)
    unit = torch.from_numpy(z["emb"]).requires_grad_()
    norm = torch.from_numpy(z["norms"]).requires_grad_()
    noise = torch.from_numpy(z["noise"])[..., 0]
    net = published_network(unit.shape[2], len(noise))
    rows = net(unit, norm, noise)
    length = rows.norm(dim=1, keepdim=True)
    descriptor = rows / length
    loss = (descriptor * torch.from_numpy(z["loss_w"])).sum() + 0.01 * length.sum()
    loss.backward()

    np.testing.assert_allclose(descriptor.detach(), z["desc"], atol=DESCRIPTOR_ATOL)
    np.testing.assert_allclose(length.detach(), z["norm"], rtol=1e-5)
    np.testing.assert_allclose(loss.item(), z["loss"], rtol=1e-5)
    features = norm[..., None] * unit
    chosen = coreset.sample_points(features, norm, net.gamma, noise)
    chosen = torch.stack(chosen, dim=1).detach()
    np.testing.assert_allclose(chosen, z["coreset"], atol=1e-5)
    hard = torch.einsum("kbt,btd->bkd", torch.from_numpy(z["hard"])[..., 0], features).detach()
    np.testing.assert_allclose(chosen, hard, atol=1e-5)

    np.testing.assert_allclose(unit.grad, z["grad_emb"], atol=1e-5, rtol=1e-4)
    np.testing.assert_allclose(norm.grad, z["grad_norms"][..., 0], atol=1e-5, rtol=1e-4)
    names = {key.removeprefix("grad__") for key in z.files if key.startswith("grad__")}
    own = dict(net.named_parameters())
    assert names == own.keys()
    for name in names:
        expected = z["grad__" + name]
        np.testing.assert_allclose(own[name].grad, expected, atol=1e-6, rtol=1e-4, err_msg=name)


class PublishedRandom(random.Random):
    """The published code draws a number that it never uses after every choice of an image."""

    def choice(self, seq):
        chosen = super().choice(seq)
        self.random()
        return chosen


LARGEST, LONGEST, IMAGES = 20, 3, (7, 12, 2)


@golden("coreset/template_sampling*.npz")
def test_sampling(file):
    z = np.load(file)
    for case in prefixes(z, "_template"):
        draw = PublishedRandom(int(re.fullmatch(r"s(\d+)", case)[1]))
        size = draw.randint(1, LARGEST)
        clips = []
        for row, images in zip(z[case + "_template"], IMAGES, strict=True):
            own = coreset.draw_clips(draw, range(images), size, LONGEST)
            assert row.tolist() == [clip.image for clip in own for _ in range(clip.frames)]
            clips += own
        assert [list(clip) for clip in clips] == z[case + "_clips"].tolist()
