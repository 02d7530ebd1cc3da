"""95 % intervals of AUC and EER that hold near 1 and 0, where few people make all the errors.

The interval is Wilson's (JASA 1927) with an effective count of trials: the number of independent
trials whose share would have the standard error that the replicates give (Korn and Graubard, Survey
Methodology 1998). With errors of many people that is all.

Replicates redraw the people of the sample and know nothing of the people who are missing from it.
With errors of one or two people the standard error is far too small: intervals from it alone hold
the truth in as few as half of the simulated benchmarks. Therefore the count of trials shrinks
towards the number of people as fewer people make errors. Without an error it is the number of
people n, and the interval is one-sided, from n / (n + 3.84) to 1.

The end next to 1 takes the other side of that: as the end towards 1/2 becomes too wide ever to miss
the truth, this one becomes a one-sided bound of 95 %. `python -m docs.results.coverage` simulates
benchmarks and counts how often the interval holds the truth.
"""

from __future__ import annotations

import numpy as np

from stages.protocols._bootstrap import Z95, standard_error, t95

ONE_SIDED = 1.6448536269514722  # 95 % quantile of the normal distribution
FADING = 3.0  # number of people with errors at which unseen people weigh 1 / e
MISORDERED = 10.0  # number of misordered pairs that make a person count half
ERRORS = 0.3  # number of errors for each person with errors, at least
ROUNDING = 1e-6  # an error of so small a part of the share is one of floating point
WHOLE = 6.0  # by how much the unit of an outer end grows where people fail in all their pairs


def people_interval(
    value: float,
    samples: np.ndarray,
    number: int,
    people: int,
    misordered: float,
    errors: float = np.inf,
) -> tuple[float, float]:
    """Interval of an AUC or an EER. Scores that differ little give intervals that differ little.

    Args:
        value: the share.
        samples: its replicates.
        number: number of people, or of groups of them, redrawn in each replicate.
        people: number of people who could have made an error.
        misordered: number of pairs of a genuine score and a higher impostor score.
        errors: number of decisions that went wrong, for an EER.
    """
    error, spread, most = standard_error(samples, number), value * (1 - value), 1 / people
    own = 0.0  # share of one independent trial
    if spread > 0:
        own = error**2 / spread if error > ROUNDING * spread else most
    whole = 1 + WHOLE * min(own / most, 1) ** 4
    weight, t = unseen_weight(value, error, misordered, errors), t95(number - 1)
    ends = []
    for sign, near_one in ((-1, value), (1, 1 - value)):
        # near 1 the lower end is the inner one, the upper end the outer one; near 0 the reverse
        inner, outer = weight * near_one, weight * (1 - near_one)
        unit = own + inner * max(most - own, 0) + outer * (whole - 1) * own
        z = t + weight**0.25 * (near_one * Z95 + (1 - near_one) * ONE_SIDED - t)
        ends.append(_wilson_end(value, unit, z, sign))
    return ends[0], ends[1]


def unseen_weight(
    value: float, error: float, misordered: float = np.inf, errors: float = np.inf
) -> float:
    """Weight of the people who are missing from the sample: 1 without an error, 0 with many.

    exp(-k / 3), where k is the effective number of people who make errors: near 1 it is
    (share of errors / standard error)^2. In full, 1 / k = (error / (value (1 - value)))^2 +
    10 / misordered + 0.3 / errors: no single pair of scores moves it far, and it does not exceed
    the errors much.
    """
    spread = value * (1 - value)
    if not (error > ROUNDING * spread > 0 and misordered > 0):
        return 1.0
    count = 1 / ((error / spread) ** 2 + MISORDERED / misordered + ERRORS / max(errors, 1e-9))
    return float(np.exp(-count / FADING))


def separation_width(people: int) -> float:
    """Width of the interval of an AUC of 1 or an EER of 0: Wilson's without an error."""
    return Z95**2 / (people + Z95**2)


def _wilson_end(share: float, unit: float, z: float, sign: int) -> float:
    """Lower (`sign` -1) or upper (1) end of Wilson's interval from 1 / `unit` trials."""
    z2 = z * z * unit
    half = z * np.sqrt(share * (1 - share) * unit + z2 * unit / 4)
    return float(np.clip((share + z2 / 2 + sign * half) / (1 + z2), 0, 1))
