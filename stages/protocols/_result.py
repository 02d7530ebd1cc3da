"""What every protocol returns."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from stages.protocols._bootstrap import Drawn, log_odds_interval, wilson
from stages.protocols._near_one import people_interval, separation_width

BY_PEOPLE = "Wilson with the effective count of people"  # how an interval of `ordering` is told
EXACT = 1e-9  # an area within this of 0 or 1 is 0 or 1
FEW_ERRORS = 10  # a rate that rests on fewer errors is marked: its interval says little


@dataclass(frozen=True)
class Measure:
    """One number with its 95 % interval.

    Attributes:
        value: the number, a fraction.
        low, high: ends of the interval.
        count: trials the number rests on (pairs, searches or images).
        method: how value and interval were obtained, in words.
        samples: its replicates, or its values in folds, float32.
        drawn: what was redrawn for them.
    """

    value: float
    low: float
    high: float
    count: int
    method: str
    samples: np.ndarray = field(repr=False, compare=False)
    drawn: Drawn


@dataclass(frozen=True)
class Result:
    """Measures by name, and curves by name: each a table of equally long columns."""

    measures: dict[str, Measure]
    curves: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)


def measure(
    value: float,
    samples: np.ndarray,
    count: int,
    drawn: Drawn,
    note: str = "",
    errors: float | None = None,
    effective: float | None = None,
    alarms: float = np.inf,
) -> Measure:
    """A Measure whose interval holds its value; marked if it rests on fewer than ten errors.

    Args:
        value: the number.
        samples: its replicates.
        count: trials.
        drawn: what was redrawn in the replicates.
        note: what else to say of the method.
        errors: of the trials, those that went wrong; None for no share of trials.
        effective: independent trials that `count` trials are worth. Where it is given and fewer
            than ten trials went wrong, or fewer than ten right, the interval is Wilson's with it.
        alarms: wrong scores above the threshold: where they are few, so is known of it.
    """
    interval, method = log_odds_interval(value, samples, drawn.number), drawn.method
    if effective is not None and _few(min(errors, count - errors)):
        interval = wilson(value * effective, effective)
        method = "Wilson with the effective count of trials"
    return marked(value, interval, count, _joined(method, note), samples, drawn,
                  min(np.inf if errors is None else errors, alarms))  # fmt: skip


def ordering(
    value: float,
    samples: np.ndarray,
    count: int,
    drawn: Drawn,
    people: int,
    misordered: float,
    errors: float | None = None,
) -> Measure:
    """A Measure of an AUC, or of an EER, whose interval holds near 1 too (see `_near_one`).

    Args:
        value, samples, count, drawn: as `measure` takes them.
        people: number of people who could have made an error.
        misordered: genuine and impostor scores of which the impostor's is the higher.
        errors: decisions that went wrong, where they are other than the misordered pairs.
    """
    wrong = np.inf if errors is None else errors
    interval = people_interval(value, samples, drawn.number, people, misordered, wrong)
    method = _joined(drawn.method, BY_PEOPLE)
    if not EXACT < value < 1 - EXACT:
        points = f"{100 * separation_width(people):.2f} points wide, from {people} people"
        method = _joined(drawn.method, f"{BY_PEOPLE}: complete separation, one-sided, {points}")
    errors = misordered if errors is None else errors
    return marked(value, interval, count, method, samples, drawn, errors)


def marked(
    value: float,
    interval: tuple[float, float],
    count: int,
    method: str,
    samples: np.ndarray,
    drawn: Drawn,
    errors: float,
    lowest: float = 0.0,
) -> Measure:
    """A Measure from a given interval, `lowest` to 1; see `measure`."""
    if _few(errors):
        method = _joined(method, f"fewer than {FEW_ERRORS} errors")
    low, high = np.clip(interval, lowest, 1)
    low, high = float(min(low, value)), float(max(high, value))
    samples = np.asarray(samples, np.float32)
    return Measure(float(value), low, high, int(count), method, samples, drawn)


def _few(errors: float) -> bool:
    """Fewer than ten, where ten may come as a product of floats, and thus a little below."""
    return errors < FEW_ERRORS - 1e-6


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def rate_name(prefix: str, rate: float) -> str:
    """`tar@far=` and 1e-4 -> tar@far=1e-4, as the papers' tables name it."""
    return prefix + np.format_float_scientific(rate, trim="-", exp_digits=1)
