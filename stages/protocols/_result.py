"""What every protocol returns."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

FEW_ERRORS = 10  # a rate that rests on fewer errors is marked: its interval says little


@dataclass(frozen=True)
class Measure:
    """One number with its 95 % interval.

    Attributes:
        value: the number, a fraction.
        low, high: ends of the interval.
        count: trials the number rests on (pairs, searches or images).
        method: how value and interval were obtained, in words.
    """

    value: float
    low: float
    high: float
    count: int
    method: str


@dataclass(frozen=True)
class Result:
    """Measures by name, and curves by name: each a table of equally long columns."""

    measures: dict[str, Measure]
    curves: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)


def measure(
    value: float,
    interval: tuple[float, float],
    count: int,
    method: str,
    errors: float | None = None,
) -> Measure:
    """A Measure whose interval holds its value; marked if it rests on fewer than ten `errors`."""
    if errors is not None and errors < FEW_ERRORS:
        method += f"; fewer than {FEW_ERRORS} errors"
    low, high = np.clip(interval, 0, 1)
    return Measure(
        float(value), float(min(low, value)), float(max(high, value)), int(count), method
    )


def rate_name(prefix: str, rate: float) -> str:
    """`tar@far=` and 1e-4 -> tar@far=1e-4, as the papers' tables name it."""
    return prefix + np.format_float_scientific(rate, trim="-", exp_digits=1)
