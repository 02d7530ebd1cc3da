import numpy as np
import pytest
import torch

from stages.core import ranks
from stages.networks._dropout import Dropout
from tests.groups import on_ranks

COUNTS = {1: (7,), 2: (4, 3), 3: (3, 1, 3)}  # rows by rank
WIDTH = 12
TOGETHER = (1, 4)
SEED = 5


def dropped() -> list[np.ndarray]:
    """What a rank is left of its rows of a batch of seven, a number each."""
    counts = COUNTS[ranks.size()]
    start = sum(counts[: ranks.rank()])
    own = torch.arange(1.0, 7 * WIDTH + 1).view(7, WIDTH)[start : start + counts[ranks.rank()]]
    torch.manual_seed(SEED)
    return [Dropout(0.5, together).train()(own).numpy() for together in TOGETHER]


def test_ranks_do_what_one_process_does(tmp_path):
    results = on_ranks(dropped, tmp_path)
    alone = dropped()
    assert any((rows == 0).any() for rows in alone)
    for size in COUNTS:
        for number, rows in enumerate(alone):
            joined = np.concatenate([result[number] for result in results[size]])
            np.testing.assert_array_equal(joined, rows)


@pytest.mark.parametrize("together", [1, 49])
def test_share_scale_and_neighbours(together):
    torch.manual_seed(0)
    x = torch.ones(64, 49 * 40, requires_grad=True)
    y = Dropout(0.4, together).train()(x)
    assert y.detach().unique().tolist() == pytest.approx([0, 1 / 0.6])
    groups = y.detach().view(64, -1, together)
    assert (groups == groups[:, :, :1]).all()
    draws = groups[:, :, 0].numel()
    assert (groups[:, :, 0] == 0).float().mean().item() == pytest.approx(0.4, abs=3 / draws**0.5)
    y.sum().backward()
    torch.testing.assert_close(x.grad, y.detach())


def test_nothing_is_drawn_without_need():
    x, state = torch.rand(2, 4), torch.get_rng_state()
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0).train()(x) is x
    assert torch.equal(torch.get_rng_state(), state)
