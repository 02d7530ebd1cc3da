"""The heads' layers against SCF's uncertainty network, and TFace's."""

import numpy as np
import torch

from stages.heads import scf
from tests.goldens import golden
from tests.heads.recipes import RECIPE
from tests.networks.iresnets import shapes_of
from tests.weight_rules import fill_by_index, hashed_uniform


def widths(shapes: list[tuple[int, ...]]) -> list[int]:
    """Of the hidden fully connected layers."""
    return [shape[0] for shape in shapes if len(shape) == 2][:-1]


@golden("scf/scf_networks*.npz")
def test_uncertainty_network(file):
    z = np.load(file)
    shapes = shapes_of(z["un_shapes"])
    params = scf.Params(**RECIPE, hidden=widths(shapes), floor=1e-6)
    head = scf.build(params, (shapes[0][1], 1, 1), embedding=16)
    assert [tuple(t.shape) for t in head.state_dict().values()] == shapes
    fill_by_index(head)
    log_kappa = head(torch.from_numpy(z["un_in"]))
    np.testing.assert_allclose(log_kappa.detach(), z["un_log_kappa"][:, 0], atol=1e-5)
    log_kappa.sum().backward()
    norms = [p.grad.double().norm().item() for p in head.parameters()]
    np.testing.assert_allclose(norms, z["un_grad_l2"], rtol=1e-5)


@golden("scf/scf_networks*.npz")
def test_tface(file):
    """The convolutional form; in train mode BatchNorm sees the batch."""
    z = np.load(file)
    shapes = shapes_of(z["tface_shapes"])
    channels = shapes[0][0]
    params = scf.Params(**RECIPE, form="convolutional", hidden=widths(shapes), floor=1e-6)
    head = scf.build(params, (channels, 7, 7), embedding=512)
    assert [tuple(t.shape) for t in head.state_dict().values()] == shapes
    assert sum(p.numel() for p in head.parameters()) == z["tface_n_params"]
    for seed, mode, tolerance in ((9997, "eval", 1e-3), (9996, "train6", 5e-3)):
        fill_by_index(head)
        head.train(mode != "eval")
        expected = z[f"tface_log_kappa_{mode}"][:, 0]
        map_ = 2 * hashed_uniform(seed, (len(expected), channels, 7, 7))
        with torch.no_grad():
            found = head(torch.from_numpy(map_.astype(np.float32)))
        np.testing.assert_allclose(found, expected, atol=tolerance)
