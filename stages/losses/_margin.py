"""What every margin has in common.

A margin turns cosines into logits: it moves the target's entry away, may change the others, and
scales all. It knows nothing of class centres, which the classifier owns, and so works under a
whole, a sharded and a sampled classifier alike.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

# Floor of sin^2 theta. At |cos| = 1 the derivative of sqrt(1 - cos^2) is infinite; below this
# floor it is 0. The smallest positive 1 - cos^2 in float32 is 6e-8, so no other value is moved.
SIN2_FLOOR = 1e-12


class Margin(nn.Module):
    """Logits of a softmax over classes from cosines; a subclass says what happens to the target.

    `forward` is a pure function; running statistics (buffers) change in `observe` alone.

    Attributes:
        scale: factor s of all logits.
        penalty_weight: factor of the mean `penalty` in the loss.
    """

    penalty_weight: float = 0.0

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, cosine: Tensor, norm: Tensor, target: Tensor) -> Tensor:
        """Logits [B, C].

        Args:
            cosine: [B, C], within [-1, 1]; half precision is computed in float32.
            norm: [B], length of the embeddings.
            target: [B], int64, column of the sample's own class.
        """
        cosine = full_precision(cosine)
        column = target[:, None]
        own = cosine.gather(1, column).squeeze(1)
        moved = self.target(own, norm)
        others = self.others(cosine, own)
        return (self.scale * others).scatter_(1, column, self.scale * moved[:, None])

    def target(self, cosine: Tensor, norm: Tensor) -> Tensor:
        """The target's entries [B], before the scale, from their cosines [B] and norms [B]."""
        return cosine

    def others(self, cosine: Tensor, own: Tensor) -> Tensor:
        """All entries [B, C], before the scale; those of the targets are overwritten.

        Each is a function of its own cosine; `own` and statistics are constants to the gradient.
        The classifier calls it with some of the columns at a time.

        Args:
            cosine: [B, C].
            own: [B], cosines of the targets.
        """
        return cosine

    def penalty(self, norm: Tensor) -> Tensor | None:
        """A term [B] beside the cross entropy, from the norms [B]; None if there is none."""
        return None

    @torch.no_grad()
    def observe(self, cosine: Tensor, norm: Tensor) -> None:
        """Update running statistics with a training batch of all ranks, before its `forward`.

        Args:
            cosine: [B], of the targets, without margin.
            norm: [B].
        """


class MagnitudeMargin(Margin):
    """A margin m(a) that grows with the magnitude, and a penalty g(a) that drives it up.

    MagFace (arXiv 2103.06627): a = |f| clamped to [l_a, u_a],
    m(a) = l_m + K (a - l_a), K = (u_m - l_m) / (u_a - l_a), g(a) = a / u_a^2 + 1 / a.
    """

    def __init__(
        self, scale: float, magnitudes: tuple[float, float], margins: tuple[float, float]
    ) -> None:
        super().__init__(scale)
        self.lower, self.upper = magnitudes
        self.smallest, largest = margins
        self.slope = (largest - self.smallest) / (self.upper - self.lower)

    def magnitude(self, norm: Tensor) -> Tensor:
        """a [B]; no gradient outside [l_a, u_a], so only the angle trains such samples."""
        return full_precision(norm).clamp(self.lower, self.upper)

    def margin(self, norm: Tensor) -> Tensor:
        """m(a) [B]."""
        return self.smallest + self.slope * (self.magnitude(norm) - self.lower)

    def penalty(self, norm: Tensor) -> Tensor:
        """g(a) [B]: convex, falling up to its minimum at u_a."""
        a = self.magnitude(norm)
        return a / self.upper**2 + 1 / a


def full_precision(values: Tensor) -> Tensor:
    """float64 stays, everything else becomes float32: half precision rounds 0.99976 to 1."""
    return values if values.dtype == torch.float64 else values.float()


def add_angle(cosine: Tensor, margin: Tensor | float, easy: bool) -> Tensor:
    """cos(theta + m) where that falls with theta, and a continuation of it beyond.

    ArcFace (arXiv 1801.07698). cos(theta + m) rises again past theta = pi - m. There the entry is
    cos theta - m sin m as published implementations have it; with `easy` it is cos theta from
    theta = pi/2 on.

    Args:
        cosine: [B], within [-1, 1].
        margin: m in radians, one value or [B].

    Finite in value and gradient at |cos| = 1.
    """
    cos_m, sin_m = _cos_sin(margin)
    moved = cosine_of_sum(cosine, margin)
    if easy:
        return torch.where(cosine > 0, moved, cosine)
    return torch.where(cosine > -cos_m, moved, cosine - margin * sin_m)


def cosine_of_sum(cosine: Tensor, margin: Tensor | float) -> Tensor:
    """cos(theta + m), of any theta + m; finite in value and gradient at |cos| = 1."""
    cos_m, sin_m = _cos_sin(margin)
    sine = ((1 - cosine) * (1 + cosine)).clamp_min(SIN2_FLOOR).sqrt()
    return cosine * cos_m - sine * sin_m


def _cos_sin(angle: Tensor | float) -> tuple[Tensor, Tensor] | tuple[float, float]:
    if isinstance(angle, Tensor):
        return torch.cos(angle), torch.sin(angle)
    return math.cos(angle), math.sin(angle)
