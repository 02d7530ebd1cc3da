"""SCF's ResNet against the published one: names, weights by the rule, embedding and last map."""

import hashlib
import json
from itertools import product

import numpy as np
import torch

from stages.networks import scf_resnet
from tests.goldens import golden
from tests.networks.irs import from_state, shapes_by_published_name
from tests.weight_rules import fill_by_index, hashed_uniform, indexed_tensor, slopes

IMAGES = 9999  # index of the rule
MEAN, SCALE = 0.5, 0.5 * 256 / 255


@golden("scf/scf_state_dict_keys*.json")
def test_state_dict_keys(file):
    content = json.loads(file.read_text())
    for expected in [value for key, value in content.items() if "Backbone" in key]:
        shapes = {name: tuple(shape) for name, shape, _ in expected["keys"]}
        with torch.device("meta"):
            network = scf_resnet.build(from_state(scf_resnet, shapes))
        assert list(shapes_by_published_name(network).items()) == list(shapes.items())
        kinds = [
            str(tensor.dtype).removeprefix("torch.") for tensor in network.state_dict().values()
        ]
        assert kinds == [kind for _, _, kind in expected["keys"]]
        assert sum(p.numel() for p in network.parameters()) == expected["n_params"]
        assert _digest_by_the_rule(network) == expected["sha256_params_f32_det"]


def _digest_by_the_rule(network) -> str:
    names, of_prelu = network.published_names(), slopes(network)
    digest = hashlib.sha256()
    for k, (name, tensor) in enumerate(network.state_dict().items()):
        value = indexed_tensor(k, name, tuple(tensor.shape), name in of_prelu)
        digest.update(names[name].encode() + value.astype("<f4").tobytes())
    return digest.hexdigest()


def params_of(size: int, embedding: int) -> scf_resnet.Params:
    """Of the network that has `size` parameters: the file says no more of it."""
    for depth, se in product(scf_resnet.UNITS, (False, True)):
        params = scf_resnet.Params(depth=depth, se=se, embedding=embedding)
        with torch.device("meta"):
            network = scf_resnet.build(params)
        if sum(p.numel() for p in network.parameters()) == size:
            return params
    raise AssertionError(f"no network of {size} parameters")


@golden("scf/scf_networks*.npz")
def test_backbone(file):
    z = np.load(file)
    count, embedding = z["bkb_out"].shape
    network = scf_resnet.build(params_of(int(z["bkb_n_params"]), embedding)).eval()
    fill_by_index(network)
    x = (hashed_uniform(IMAGES, (count, 3, 112, 112)) + 0.5).astype(np.float32)
    with torch.no_grad():
        body = network.body(torch.from_numpy((x - MEAN) / SCALE))
        flat = body.flatten(1)
        np.testing.assert_allclose(network.embed(body), z["bkb_out"], atol=1e-3)
    assert list(flat.shape) == list(z["bkb_conv_shape"])
    assert flat.shape[1] == network.body_size
    meanstd = [flat.double().mean(), flat.double().std()]
    np.testing.assert_allclose(meanstd, z["bkb_conv_meanstd"], rtol=1e-4, atol=1e-5)
    first = z["bkb_conv_first256"]
    np.testing.assert_allclose(flat[:, : first.shape[1]], first, atol=1e-3)
