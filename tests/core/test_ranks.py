import subprocess
import sys

import numpy as np
import pytest
import torch

from stages.core import ranks
from tests.groups import on_ranks

COUNTS = (3, 0, 2)  # rows by rank; the second of three has none
WIDTH = 4


def whole(size: int) -> torch.Tensor:
    rows = sum(COUNTS[:size])
    return torch.arange(rows * WIDTH, dtype=torch.float64).view(rows, WIDTH)


def exchange() -> dict[str, np.ndarray | int]:
    rank, size = ranks.rank(), ranks.size()
    start = sum(COUNTS[:rank])
    own = whole(size)[start : start + COUNTS[rank]].requires_grad_()
    gathered = ranks.gather_rows(own)
    # Rank r weights the rows by r + 1, so that a lost or doubled rank shows.
    ((rank + 1) * gathered**2).sum().backward()
    values = own.detach()[:, 0].requires_grad_()
    mean = ranks.mean_over_ranks(values)
    mean.backward()
    number = torch.tensor(float(rank))
    return {
        "rank": rank,
        "size": size,
        "gathered": gathered.detach().numpy(),
        "gradient": own.grad.numpy(),
        "mean": mean.item(),
        "gradient of mean": values.grad.numpy(),
        "labels": ranks.gather_uneven(torch.full((COUNTS[rank],), rank)).numpy(),
        "sum": ranks.sum_over_ranks(number.clone()).item(),
        "max": ranks.max_over_ranks(number.clone()).item(),
        "share": ranks.share(7),
    }


@pytest.fixture(scope="module")
def exchanged(tmp_path_factory):
    return on_ranks(exchange, tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_exchange(exchanged, size):
    expected = whole(size).numpy()
    for rank, result in enumerate(exchanged[size]):
        start, count = sum(COUNTS[:rank]), COUNTS[rank]
        assert (result["rank"], result["size"]) == (rank, size)
        np.testing.assert_array_equal(result["gathered"], expected)
        weight = sum(range(1, size + 1))
        slope = 2 * weight * expected[start : start + count]
        np.testing.assert_array_equal(result["gradient"], slope)
        np.testing.assert_array_equal(result["labels"], np.repeat(range(size), COUNTS[:size]))
        assert result["mean"] == expected[:, 0].mean()
        np.testing.assert_allclose(result["gradient of mean"], 1 / len(expected), rtol=1e-15)
        assert result["sum"] == sum(range(size))
        assert result["max"] == size - 1
        assert result["share"] == ranks.share(7, rank, size)


@pytest.mark.parametrize("count", [0, 1, 5, 12, 13, 14])
@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_share_is_that_of_array_split(count, parts):
    rows = np.arange(count)
    for part, expected in enumerate(np.array_split(rows, parts)):
        np.testing.assert_array_equal(rows[ranks.share(count, part, parts)], expected)


def test_a_single_process_is_rank_0_of_1():
    assert (ranks.rank(), ranks.size(), ranks.share(5)) == (0, 1, slice(0, 5))
    rows = torch.ones(2, requires_grad=True)
    assert ranks.gather_rows(rows) is rows


def test_torch_is_not_imported():
    code = (
        "import sys; import stages.core.ranks as r; r.share(3); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
