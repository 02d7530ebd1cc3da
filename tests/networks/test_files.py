"""Weights files whose headers tell something else than their tensors."""

from __future__ import annotations

import pytest

from stages.core.contract import InputContract
from stages.core.errors import InputError
from stages.core.weights import load_weights, save_weights
from stages.networks import mobilefacenet
from stages.networks._files import WEIGHTS, load_trunk, save_network


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"network": None}, "names no network"),
        ({"network": {"name": "../../x"}}, "is none of"),
        ({"network": {"name": "mobilefacenet", "width": 512, "embedding": 2**20}}, "does not fit"),
        ({"contract": {"colours": 3}}, "no input contract"),
        ({"contract": None}, "no input contract"),
    ],
)
def test_a_forged_header_is_refused(tmp_path, change, said) -> None:
    """Before the network that it tells of, terabytes maybe, is built."""
    params = mobilefacenet.Params(width=1 / 16, embedding=8)
    network, described = mobilefacenet.build(params), mobilefacenet.describe(params)
    save_network(tmp_path, network, described, InputContract(embedding=8))
    tensors, header = load_weights(tmp_path / WEIGHTS)
    save_weights(tmp_path / WEIGHTS, tensors, header | change)
    with pytest.raises(InputError, match=said):
        load_trunk(tmp_path)
