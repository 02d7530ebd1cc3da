"""How far a float32 result may lie from the float64 one: measured on the computation itself.

float32 rounds every value v that it computes to v (1 + e), |e| <= u = 2^-24. To first order the
result f is then off by

    sum over v of (df/dv) v e_v                                                             (1)

which holds whatever order a processor adds in and whatever its vectors' width, and which is large
where f is ill-conditioned. `Rounding` evaluates (1) by Monte Carlo arithmetic (Parker, UCLA
CSD-970002, 1997): in float64, each operation sees its operands times 1 + e, with e drawn anew from
[-u, u] every time, or from a wider interval in a sum of many products (`terms`). Over DRAWS such
runs the mean square distance from the plain float64 run is sigma^2, element by element, and

    allowed = SIGMAS sigma + u |f|                                                          (2)

With DRAWS = 16 the ratio of an error to the estimated sigma follows Student's t of 16 degrees of
freedom at worst: beyond SIGMAS = 10 it has probability 3e-8. Real errors are smaller: in the golden
tests their mean square is 0.1 to 0.8 sigma^2, because many operations are exact.

For a margin, (1) has a closed form. cos theta of unit vectors is off by about u; the entry
cos(theta + m) has the slope sin(theta + m) / sin theta, whose own derivative by cos theta is
sin m / sin^3 theta. So a gradient's relative error grows as

    u sin m / (sin(theta + m) sin^2 theta), about u / (1 - cos^2 theta)                     (3)

tests/test_rounding.py holds (2) to (3), and to float32 itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch._decomp import decomposition_table
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

U = 2.0**-24  # largest relative error of rounding to float32
DRAWS = 16
SIGMAS = 10
# Below this magnitude float32 may lose what float64 keeps: probabilities underflow to 0, and
# a gradient is such a probability times a scale of 64 or so.
UNDERFLOW = 1e-35
# Nothing is computed, so nothing is rounded.
MOVES = ("aten::copy_", "aten::_to_copy", "aten::clone", "aten::fill_", "aten::zero_")
# Operations that compute, and round, several values one after the other: taken apart.
COMPOSED = (
    "aten::_log_softmax",
    "aten::_softmax",
    "aten::logsumexp",
    "aten::native_layer_norm",
    "aten::native_layer_norm_backward",
    "aten::_scaled_dot_product_flash_attention_for_cpu",
)

Arrays = Mapping[str, Any]  # tensors or arrays by name
Compute = Callable[[torch.dtype], Arrays]


class Rounding(TorchDispatchMode):
    """Within this context every operation on float64 tensors sees its operands rounded anew."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, func._schema.name
        if name in COMPOSED:
            with self:
                return decomposition_table[func](*args, **kwargs)
        names, written, views = signature(func)
        if views or name in MOVES:
            return func(*args, **kwargs)
        size = U * max(1, math.sqrt(terms(name, args)) / 2)

        def rounded(value: Any) -> Any:
            if not isinstance(value, torch.Tensor) or value.dtype != torch.float64:
                return value
            factor = torch.empty(value.shape, dtype=value.dtype)
            return value * factor.uniform_(1 - size, 1 + size, generator=self.generator)

        args = [
            value if key in written else tree_map(rounded, value)
            for key, value in zip(names, args, strict=False)
        ]
        kwargs = {
            key: value if key in written else tree_map(rounded, value)
            for key, value in kwargs.items()
        }
        result = func(*args, **kwargs)
        for key, value in [*zip(names, args, strict=False), *kwargs.items()]:
            if key in written and isinstance(value, torch.Tensor):
                value.copy_(rounded(value))
        return result


@cache
def signature(func) -> tuple[list[str], set[str], bool]:
    """Names of the arguments; those that it writes to or gives back, which must stay the tensors
    that they are; and whether it computes nothing, but shows an argument in another way."""
    schema = func._schema
    names = [argument.name for argument in schema.arguments]
    written = {argument.name for argument in schema.arguments if argument.alias_info}
    views = any(out.alias_info and not out.alias_info.is_write for out in schema.returns)
    return names, written, views


def terms(name: str, args: Sequence[Any]) -> int:
    """Number of products in each sum of an operation; 1 where it sums none.

    A processor that adds n products of random sign one by one rounds n partial sums, which grow as
    the square root: together an error of u sqrt(n / 2) of the sum's own spread, where rounding the
    operands alone gives u sqrt(2). Hence the factor sqrt(n) / 2 on what the operands get.
    """
    if name in ("aten::mm", "aten::bmm", "aten::mv", "aten::dot"):
        return args[0].shape[-1]
    if name in ("aten::addmm", "aten::addmm_", "aten::baddbmm", "aten::addmv"):
        return args[1].shape[-1]
    return args[1][0].numel() if name == "aten::convolution" else 1


class Bound(NamedTuple):
    """A float64 result and how far a float32 one may lie from it; of one shape."""

    exact: np.ndarray
    allowed: np.ndarray


def bounds(compute: Compute, draws: int = DRAWS) -> dict[str, Bound]:
    """Equation (2) for every array that `compute(torch.float64)` returns.

    Args:
        compute: all in torch operations, from the same inputs and states at every call.
    """
    exact = {name: as_array(value) for name, value in compute(torch.float64).items()}
    squares = {name: np.zeros(value.shape) for name, value in exact.items()}
    for seed in range(draws):
        with Rounding(seed):
            moved = compute(torch.float64)
        for name, value in moved.items():
            squares[name] += (as_array(value) - exact[name]) ** 2
    return {
        name: Bound(value, SIGMAS * np.sqrt(squares[name] / draws) + U * np.abs(value) + UNDERFLOW)
        for name, value in exact.items()
    }


def hold(compute: Compute, expected: Arrays, label: object = "", draws: int = DRAWS) -> None:
    """Our float64 is the reference's result, and our float32 is our float64, as (2) allows.

    A reference that computed in float32 did as many operations of the same kind as ours, in
    another order: (2) holds for its own error too.

    Args:
        expected: what the reference computed in float32, by the names that `compute` gives.
    """
    allowed, single = bounds(compute, draws), compute(torch.float32)
    for name, reference in expected.items():
        within(allowed[name], reference, f"{label} {name}: float64 and the reference")
    for name, bound in allowed.items():
        within(bound, single[name], f"{label} {name}: float64 and float32")


def within(bound: Bound, found: Any, what: str = "") -> None:
    """AssertionError with the worst element if `found` lies further away than `bound` allows."""
    found = as_array(found)
    assert found.shape == bound.exact.shape, f"{what}: shapes {bound.exact.shape}, {found.shape}"
    ratio = np.abs(found - bound.exact) / bound.allowed
    worst = np.unravel_index(np.argmax(np.nan_to_num(ratio, nan=np.inf)), ratio.shape)
    assert ratio[worst] <= 1, (
        f"{what}: {bound.exact[worst]!r} and {found[worst]!r} at {tuple(map(int, worst))} are "
        f"{ratio[worst]:.3g} times the rounding of float32 apart ({bound.allowed[worst]:.3g})"
    )


def as_array(value: Any) -> np.ndarray:
    """In float64."""
    value = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
    return np.asarray(value, np.float64)
