"""The head's layers against SCF's uncertainty network."""

import numpy as np
import torch

from stages.heads import scf
from tests.goldens import golden
from tests.networks.iresnets import shapes_of
from tests.weight_rules import fill_by_index


@golden("scf/scf_networks*.npz")
def test_uncertainty_network(file):
    z = np.load(file)
    weights = [shape for shape in shapes_of(z["un_shapes"]) if len(shape) == 2]
    hidden = [outputs for outputs, _ in weights[:-1]]
    head = scf.build(scf.Params(hidden=hidden, floor=1e-6), weights[0][1], embedding=16)
    assert [tuple(t.shape) for t in head.state_dict().values()] == shapes_of(z["un_shapes"])
    fill_by_index(head)
    log_kappa = head(torch.from_numpy(z["un_in"]))
    np.testing.assert_allclose(log_kappa.detach(), z["un_log_kappa"][:, 0], atol=1e-5)
    log_kappa.sum().backward()
    norms = [p.grad.double().norm().item() for p in head.parameters()]
    np.testing.assert_allclose(norms, z["un_grad_l2"], rtol=1e-5)
