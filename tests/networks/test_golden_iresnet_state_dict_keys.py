"""Names, shapes and order of the MagFace flavour's tensors."""

import hashlib
import json
import re

import torch

from stages.networks import iresnet
from tests.goldens import golden
from tests.networks.iresnets import from_state
from tests.weight_rules import indexed_tensor


@golden("magface/iresnet_state_dict_keys*.json")
def test_state_dict_keys(file):
    architectures = {k: v for k, v in json.loads(file.read_text()).items() if k != "rule"}
    for name, expected in architectures.items():
        names, shapes = zip(
            *((key, tuple(shape)) for key, shape, _ in expected["keys"]), strict=True
        )
        params = from_state(list(names), list(shapes), flavour="magface")
        assert params.depth == int(re.search(r"\d+", name)[0])
        with torch.device("meta"):
            network = iresnet.build(params)
        state = network.state_dict()
        described = [
            [k, list(t.shape), str(t.dtype).removeprefix("torch.")] for k, t in state.items()
        ]
        assert described == expected["keys"]
        assert len(state) == expected["n_tensors"]
        assert sum(p.numel() for p in network.parameters()) == expected["n_params"]
        assert all(p.requires_grad for p in network.parameters())


@golden("magface/iresnet_state_dict_keys*.json")
def test_weight_rule(file):
    """The rule itself, on the smallest architecture, against the hash of all its values."""
    architectures = [v for k, v in json.loads(file.read_text()).items() if k != "rule"]
    expected = min(architectures, key=lambda architecture: architecture["n_params"])
    digest = hashlib.sha256()
    for k, (name, shape, _) in enumerate(expected["keys"]):
        value = indexed_tensor(k, name, tuple(shape), name.endswith("prelu.weight"))
        digest.update(name.encode() + value.astype("<f4").tobytes())
    assert digest.hexdigest() == expected["sha256_params_f32_det"]
