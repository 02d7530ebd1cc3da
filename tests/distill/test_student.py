"""What moves in a step of distillation, and what must not."""

from __future__ import annotations

import pytest
import torch

from stages.core.contract import InputContract
from stages.core.errors import InputError
from stages.distill.student import Student, reference, strict
from stages.networks import iresnet, mobilefacenet
from stages.networks._files import Loaded, load_branch, save_network
from stages.networks._staged import Trunk

SHAPE = iresnet.Params(depth=18, width=0.0625, embedding=8)
RESOLUTION = 14


@pytest.fixture
def trunk() -> Loaded:
    torch.manual_seed(0)
    network = iresnet.build(SHAPE).eval().requires_grad_(False)
    return Loaded(network, iresnet, SHAPE, InputContract(embedding=8), {})


def step(student: Student) -> None:
    student.network.train()
    trained = [value for value in student.network.parameters() if value.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1)
    map_, embedding = student.embed(torch.randn(4, 3, RESOLUTION, RESOLUTION))
    (map_.square().mean() + embedding.square().mean()).backward()
    optimizer.step()


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, value in after.items() if not torch.equal(value, before[name])}


def copied(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_strict_leaves_every_byte_of_the_trunk(trunk: Loaded) -> None:
    before = copied(trunk.network)
    student = strict(trunk, RESOLUTION)
    start = copied(student.network)
    step(student)
    assert changed(before, trunk.network.state_dict()) == set()
    assert len(changed(start, student.network.state_dict())) > 0


def test_reference_moves_what_the_published_code_moves(trunk: Loaded) -> None:
    """Parameters by its rule of names, and the statistics of every BatchNorm; no other tensor."""
    before = copied(trunk.network)
    student = reference(trunk, RESOLUTION)
    start = copied(student.network)
    step(student)
    assert changed(before, trunk.network.state_dict()) == set()
    moved = changed(start, student.network.state_dict())
    trained = set(iresnet.reference_trainable(student.network, RESOLUTION))
    statistics = {
        n for n in start if n.endswith(("running_mean", "running_var", "batches_tracked"))
    }
    assert "layer4.0.bn1.weight" in trained
    assert "layer4.0.conv1.weight" not in trained
    assert statistics <= moved <= trained | statistics
    assert {n for n in trained if n.endswith("conv1.weight")} <= moved


def test_both_start_where_the_trunk_is(trunk: Loaded) -> None:
    """The same embedding before the first step, in eval mode."""
    images = torch.randn(2, 3, RESOLUTION, RESOLUTION)
    found = []
    for kind in (strict, reference):
        student = kind(trunk, RESOLUTION)
        student.network.eval()
        found.append(student.embed(images))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", [strict, reference])
def test_file_gives_back_what_was_saved(trunk: Loaded, kind, tmp_path) -> None:
    student = kind(trunk, RESOLUTION)
    origin = {"resolution": RESOLUTION, "trunk": "", "freeze": kind.__name__}
    described = iresnet.describe(SHAPE)
    save_network(tmp_path, student.network, described, trunk.contract, **origin)
    loaded = load_branch(tmp_path).network
    assert isinstance(loaded, Trunk) == (kind is reference)
    assert changed(copied(student.network), loaded.state_dict()) == set()


def test_reference_rule_is_refused_where_names_differ() -> None:
    shape = mobilefacenet.Params(width=0.25, embedding=8)
    network = mobilefacenet.build(shape)
    loaded = Loaded(network, mobilefacenet, shape, InputContract(embedding=8), {})
    with pytest.raises(InputError, match="strict"):
        reference(loaded, RESOLUTION)
