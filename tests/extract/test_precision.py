"""bf16 embeds as fp32 does, but for its rounding, through trunk and branch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stages.core.contract import InputContract
from stages.extract.inference import embed, for_inference
from stages.extract.params import Params
from stages.networks import iresnet
from stages.networks._files import Loaded

CPU = torch.device("cpu")
NETWORK = iresnet.Params(depth=18, width=0.125, embedding=32)


def loaded(network: nn.Module) -> Loaded:
    return Loaded(network.eval(), iresnet, NETWORK, InputContract(), {})


@pytest.fixture
def trunk() -> Loaded:
    torch.manual_seed(0)
    return loaded(iresnet.build(NETWORK))


def embedded(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(embed(images, network)["embedding"])


def test_the_trunk(trunk: Loaded) -> None:
    images = torch.randn(4, 3, 112, 112)
    full, half = (for_inference(trunk, Params(precision=p), CPU) for p in ("fp32", "bf16"))
    exact, rounded = embedded(full, images), embedded(half, images)
    torch.testing.assert_close(exact, embedded(trunk.network, images), rtol=1e-4, atol=1e-4)
    assert exact.dtype == rounded.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    assert F.cosine_similarity(exact, rounded).min() > 0.999
    assert half.body(images).dtype == torch.bfloat16


def test_a_branch_and_the_rest_of_the_trunk(trunk: Loaded) -> None:
    images, branch = torch.randn(4, 3, 14, 14), loaded(iresnet.build_branch(NETWORK, 14))
    found = []
    for settings in (Params(), Params(precision="bf16")):
        network, front = for_inference(trunk, settings, CPU), for_inference(branch, settings, CPU)
        found.append(
            embedded(lambda x, net=network, front=front: net.resume(front(x), front.depth), images)
        )
    assert F.cosine_similarity(*found).min() > 0.999
