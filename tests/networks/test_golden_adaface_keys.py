"""Names, shapes and order of AdaFace's tensors."""

import json

import torch

from stages.networks import ir
from tests.goldens import golden
from tests.networks.irs import from_state, shapes_by_published_name

PARAMETERS = {18: 24_020_352, 50: 43_585_600, 101: 65_150_912}


@golden("adaface/keys_*.json")
def test_keys(file):
    shapes = {name: tuple(shape) for name, shape in json.loads(file.read_text())}
    params = from_state(ir, shapes)
    with torch.device("meta"):
        network = ir.build(params)
    assert list(shapes_by_published_name(network).items()) == list(shapes.items())
    if params.width == 1 and params.depth in PARAMETERS:
        assert sum(p.numel() for p in network.parameters()) == PARAMETERS[params.depth]
