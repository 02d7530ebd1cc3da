"""FaceCoresetNet against its published code."""

import json
import random
import re
from functools import partial

import numpy as np
import torch

from stages.heads import coreset
from stages.heads._selection import farthest_points
from tests.goldens import golden, setting, stored
from tests.heads.published_coreset import (
    NAMES,
    live,
    published_network,
    published_weights,
    shape_of,
)
from tests.rounding import bounds, hold, within


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
        picks = torch.from_numpy(picks[picks >= 0])

        def compute(dtype: torch.dtype, case=case, picks=picks, gamma=gamma) -> dict:
            unit, norm = (torch.tensor(z[case + part], dtype=dtype) for part in ("_emb", "_norms"))
            chosen = norm[picks, None] * unit[picks]
            mean = chosen.mean(dim=0)
            metric = norm**gamma * (1 - unit @ unit[picks[0]]) / 2
            length = mean.norm()
            return {"coreset": chosen, "mean": mean / length, "norm": length, "metric": metric}

        names = {"coreset": "_coreset", "mean": "_only_fps_desc", "metric": "_dist_first"}
        expected = {ours: z[case + name] for ours, name in names.items() if case + name in z}
        if case + "_only_fps_norm" in z:
            expected["norm"] = z[case + "_only_fps_norm"].reshape(())
        hold(compute, expected, case)


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
    names = [key for key in z.files if key.startswith("pe_ln_")]
    assert names
    for name in names:
        dimensions = int(name.rpartition("_")[2])

        def compute(dtype: torch.dtype, dimensions=dimensions) -> dict:
            encoded = coreset.encode_norm(torch.tensor(z["norms"], dtype=dtype), dimensions)
            normed = torch.nn.functional.layer_norm(encoded, [dimensions])
            return {"encoded": encoded, "normed": normed}

        hold(compute, {"encoded": z[f"pe_{dimensions}"], "normed": z[name]}, name)


@golden("coreset/keys_*.json")
def test_names_of_published_checkpoints(file):
    listed = {name: tuple(shape) for name, shape in json.loads(file.read_text())}
    dimensions = listed["ur_center"][0]
    assert list(listed) == NAMES
    assert listed == {name: shape_of(name, dimensions) for name in NAMES}
    published = live({name: torch.empty(shape) for name, shape in listed.items()})
    ours = published_network(dimensions, points=1).state_dict()
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


def aggregated(z, cases: list[str], points: int, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Every stage of every set, each read alone."""
    net = published_network(z[cases[0] + "_emb"].shape[1], points).to(dtype)
    seen: dict[str, torch.Tensor] = {}
    block = net.decoder_layer1
    for name, layer in (("sa_out", block.norm1), ("delta", block.norm2)):
        layer.register_forward_hook(lambda *call, name=name: seen.update({name: call[2][0]}))
    found = {}
    for case in cases:
        unit, norm = (torch.tensor(z[case + part], dtype=dtype) for part in ("_emb", "_norms"))
        descriptor = net(unit[None], norm[None])[0]
        length = descriptor.norm()
        stages = {"norm": length[None], "desc": descriptor / length, **seen}
        found |= {f"{case}_{name}": value for name, value in stages.items()}
    return found


def points_of(file, z, cases: list[str]) -> int:
    """K, by the file's name or else by its largest set: one of fewer images gives all it has."""
    return int(setting(file, z, "k", max(len(z[case + "_idx"]) for case in cases)))


@golden("coreset/aggregate_d*.npz")
def test_aggregation_stage_by_stage(file):
    z = np.load(file)
    cases = prefixes(z, "_emb")
    gamma = published_network(z[cases[0] + "_emb"].shape[1], 1).gamma.item()
    for case in cases:
        unit, norm = z[case + "_emb"], z[case + "_norms"]
        sizes = np.array([len(unit)])
        picks = farthest_points(unit, norm, sizes, gamma, points_of(file, z, cases))[0]
        picks = picks[picks >= 0]
        assert picks.tolist() == z[case + "_idx"].tolist()
        if case + "_coreset" in z:
            chosen = norm[picks, None] * unit[picks]
            np.testing.assert_array_max_ulp(chosen, z[case + "_coreset"], 1)
    names = ("sa_out", "delta", "norm", "desc")
    keys = [f"{case}_{name}" for case in cases for name in names]
    expected = stored(z, {key: key for key in keys})
    hold(partial(aggregated, z, cases, points_of(file, z, cases)), expected)


@golden("coreset/aggregate_d*.npz")
def test_sets_of_all_sizes_at_once(file):
    z = np.load(file)
    cases = prefixes(z, "_emb")
    unit = np.concatenate([z[case + "_emb"] for case in cases])
    norm = np.concatenate([z[case + "_norms"] for case in cases])
    sizes = np.array([len(z[case + "_norms"]) for case in cases])
    net = published_network(unit.shape[1], points_of(file, z, cases))
    rows = net.describe(unit, norm, sizes).astype(np.float64)
    allowed = bounds(partial(aggregated, z, cases, points_of(file, z, cases)))
    for case, row in zip(cases, rows, strict=True):
        length = np.linalg.norm(row)
        within(allowed[case + "_norm"], [length], f"{case} norm: float64 and float32")
        within(allowed[case + "_desc"], row / length, f"{case} desc: float64 and float32")


@golden("coreset/aggregate_batch_*.npz")
def test_batch(file):
    z = np.load(file)
    sets, size, dimensions = z["emb"].shape
    points = z["idx"].shape[1]

    def compute(dtype: torch.dtype) -> dict:
        unit, norm = (torch.tensor(z[name], dtype=dtype) for name in ("emb", "norms"))
        rows = published_network(dimensions, points).to(dtype)(unit, norm)
        length = rows.norm(dim=1, keepdim=True)
        return {"desc": rows / length, "norm": length}

    hold(compute, {"desc": z["desc"], "norm": z["norm"]})
    picks = farthest_points(
        z["emb"].reshape(-1, dimensions), z["norms"].reshape(-1), np.full(sets, size),
        published_network(dimensions, points).gamma.item(), points,
    )  # fmt: skip
    np.testing.assert_array_equal(picks - size * np.arange(sets)[:, None], z["idx"])
    features = (z["norms"][..., None] * z["emb"]).reshape(-1, dimensions)
    np.testing.assert_array_max_ulp(features[picks], z["coreset"], 1)


@golden("coreset/train_gumbel_*.npz")
def test_gradients_of_training(file):
    """Straight through the choices, to embeddings, norms and every parameter, gamma among them."""
    z = np.load(file)
    dimensions, picks = z["emb"].shape[2], len(z["noise"])

    def compute(dtype: torch.dtype) -> dict:
        unit, norm = (
            torch.tensor(z[name], dtype=dtype, requires_grad=True) for name in ("emb", "norms")
        )
        noise = torch.tensor(z["noise"][..., 0], dtype=dtype)
        net = published_network(dimensions, picks).to(dtype)
        rows = net(unit, norm, noise)
        length = rows.norm(dim=1, keepdim=True)
        descriptor = rows / length
        weights = torch.tensor(z["loss_w"], dtype=dtype)
        loss = (descriptor * weights).sum() + 0.01 * length.sum()
        loss.backward()
        features = norm[..., None] * unit
        chosen = coreset.sample_points(features, norm, net.gamma, noise)
        return {
            "desc": descriptor,
            "norm": length,
            "loss": loss,
            "coreset": torch.stack(chosen, dim=1),
            "grad_emb": unit.grad,
            "grad_norms": norm.grad[..., None],
            **{f"grad__{name}": value.grad for name, value in net.named_parameters()},
        }

    gradients = [key for key in z.files if key.startswith("grad_")]
    found = compute(torch.float32)
    assert {key for key in found if key.startswith("grad_")} == set(gradients)
    expected = {key: z[key] for key in ("desc", "norm", "loss", "coreset", *gradients)}
    hold(compute, expected)
    features = z["norms"][..., None].astype(np.float64) * z["emb"]
    hard = np.einsum("kbt,btd->bkd", z["hard"][..., 0], features)
    np.testing.assert_allclose(compute(torch.float64)["coreset"].detach(), hard, rtol=1e-12)


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
