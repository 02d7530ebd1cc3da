"""Settings of margins that grow with the embedding's magnitude (MagFace, arXiv 2103.06627)."""

from __future__ import annotations

from pydantic import Field, model_validator

from stages.core.params import Section


class Magnitudes(Section):
    """Bounds of magnitude and margin, and the weight of the penalty g; a margin adds its own."""

    scale: float = Field(64.0, gt=0)
    l_a: float = Field(10.0, gt=0)  # magnitudes: lower and upper bound
    u_a: float = Field(110.0, gt=0, le=1e6)
    l_m: float = Field(ge=0)  # margins there
    u_m: float = Field(ge=0)
    lambda_g: float = Field(ge=0)  # weight of the penalty; see `minimum_lambda_g`

    @model_validator(mode="after")
    def _ordered(self) -> Magnitudes:
        if not self.l_a < self.u_a:
            raise ValueError("l_a must be below u_a")
        if self.l_m > self.u_m:
            raise ValueError("l_m must not be above u_m")
        return self

    @property
    def minimum_lambda_g(self) -> float:
        """lambda_g from which the loss falls with the magnitude at l_a, whatever the angle.

        s K u_a^2 l_a^2 / (u_a^2 - l_a^2), K = (u_m - l_m) / (u_a - l_a).
        """
        slope = (self.u_m - self.l_m) / (self.u_a - self.l_a)
        return self.scale * slope * self.u_a**2 * self.l_a**2 / (self.u_a**2 - self.l_a**2)

    def warning(self) -> str | None:
        """What is doubtful about these settings, if anything."""
        if self.lambda_g >= self.minimum_lambda_g:
            return None
        return (
            f"lambda_g {self.lambda_g:g} is below {self.minimum_lambda_g:.4g}, from which on "
            f"magnitudes are driven up from l_a; below it they may shrink to l_a and stay"
        )
