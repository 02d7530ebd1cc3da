"""From the loss of a step to a gradient that may be used: summed over ranks, finite, clipped."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
import torch.distributed
from torch import Tensor, nn

from stages.core.errors import DivergedError
from stages.core.optim import CLASSIFIER, trained_parameters
from stages.core.ranks import max_over_ranks, size, sum_over_ranks
from stages.core.state import is_sharded

BUCKET_BYTES = 25 << 20  # summed at a time: large enough to fill a network, small enough to overlap


class LossScale:
    """Factor of the loss that keeps float16 gradients from vanishing, and falls when they overflow.

    The constants are those of torch.amp.GradScaler. After GROWTH_STEPS steps in a row without an
    overflow the factor doubles; an overflow halves it.
    """

    INITIAL = 2.0**16
    MINIMUM = 1.0
    GROWTH_STEPS = 2000

    def __init__(self) -> None:
        self.factor, self.steps = self.INITIAL, 0

    def state(self) -> dict[str, float]:
        return {"factor": self.factor, "steps": self.steps}

    def load(self, state: dict[str, float]) -> None:
        self.factor, self.steps = state["factor"], state["steps"]

    def grow(self) -> None:
        """A step did not overflow."""
        self.steps += 1
        if self.steps == self.GROWTH_STEPS:
            self.factor, self.steps = 2 * self.factor, 0

    def shrink(self) -> bool:
        """A step overflowed; False if the factor is as small as it may be already."""
        self.factor, self.steps = self.factor / 2, 0
        return self.factor >= self.MINIMUM


class GradientSum:
    """Sums the gradients of parameters that every rank holds, in buckets, while backward runs.

    Args:
        parameters: in the order of the forward pass; backward finishes them from the last.

    A parameter without a gradient counts as zero, unless it has none on any rank: then it stays
    without, as on one process, and the optimiser lets it be. All ranks hold the same parameters.
    """

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self._buckets = _buckets(parameters) if size() > 1 else []
        self._armed = False
        for number, bucket in enumerate(self._buckets):
            for parameter in bucket:
                parameter.register_post_accumulate_grad_hook(
                    lambda _, number=number: self._ready(number)
                )

    def expect(self) -> None:
        """The next backward is the last of its step: its gradients are to be summed."""
        self._armed = True
        self._missing = [len(bucket) for bucket in self._buckets]
        self._begun: list[tuple[Tensor, torch.distributed.Work]] = []

    def finish(self) -> None:
        """Wait until every `.grad` is the sum over ranks."""
        self._armed = False
        while len(self._begun) < len(self._buckets):
            self._begin()
        for bucket, (flat, work) in zip(self._buckets, self._begun, strict=True):
            work.wait()
            *parts, users = flat.split([*(parameter.numel() for parameter in bucket), len(bucket)])
            for parameter, part, used in zip(bucket, parts, users.tolist(), strict=True):
                parameter.grad = parameter.grad.copy_(part.view_as(parameter)) if used else None

    def _ready(self, number: int) -> None:
        if not self._armed:
            return
        self._missing[number] -= 1
        # Every rank begins the buckets in the same order, whichever is complete first.
        while len(self._begun) < len(self._buckets) and not self._missing[len(self._begun)]:
            self._begin()

    def _begin(self) -> None:
        bucket = self._buckets[len(self._begun)]
        used = bucket[0].new_tensor([parameter.grad is not None for parameter in bucket])
        for parameter in bucket:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        flat = torch.cat([*(parameter.grad.reshape(-1) for parameter in bucket), used])
        self._begun.append((flat, torch.distributed.all_reduce(flat, async_op=True)))


def _buckets(parameters: list[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Last parameters first, of one type each, up to BUCKET_BYTES where one is not larger."""
    buckets: list[list[nn.Parameter]] = []
    room = 0
    for parameter in reversed(parameters):
        room -= parameter.nbytes
        if not buckets or room < 0 or buckets[-1][0].dtype != parameter.dtype:
            buckets.append([])
            room = BUCKET_BYTES - parameter.nbytes
        buckets[-1].append(parameter)
    return buckets


class Descent:
    """Backward passes of a step, and the optimiser's move if their gradient allows it.

    The gradient's norm, which `clip` limits, is that of all parameters but the class centres, as in
    the trainings of BTNet and insightface, unless `clip_centres`.

    Args:
        name: of what is trained, for messages.
        modules: by name; a module `classifier` owns the class centres.
        optimizer: over what requires a gradient in them.
        clip: largest norm, or None.
        scale: for float16; None otherwise.
        clip_centres: the norm is that of the centres too, as FaceCoresetNet's.
    """

    def __init__(
        self,
        name: str,
        modules: Mapping[str, nn.Module],
        optimizer: torch.optim.Optimizer,
        clip: float | None,
        scale: LossScale | None,
        clip_centres: bool = False,
    ) -> None:
        self.name, self.optimizer, self.clip, self.scale = name, optimizer, clip, scale
        self.clip_centres = clip_centres
        self.trained = trained_parameters(modules)
        everywhere = [value for value in self.trained.values() if not is_sharded(value)]
        self.sum = GradientSum(everywhere)
        self.centres, self.clipped = [], []
        for key, value in self.trained.items():
            apart = key.startswith(f"{CLASSIFIER}.") and (is_sharded(value) or not clip_centres)
            (self.centres if apart else self.clipped).append(value)

    def begin(self) -> None:
        """Forget the gradient of the step before."""
        self.optimizer.zero_grad(set_to_none=True)

    def backward(self, loss: Tensor, last: bool) -> None:
        """Add the gradient of `loss`; the `last` one of a step completes it over ranks."""
        if last:
            self.sum.expect()
        (loss if self.scale is None else loss * self.scale.factor).backward()
        if last:
            self.sum.finish()

    def move(self, values: Mapping[str, Tensor], iteration: int) -> bool:
        """Clip and step; False where a float16 gradient overflowed and the step is left out.

        Args:
            values: scalars of the step; its `loss` must be finite.
            iteration: for messages.

        Raises:
            DivergedError: on every rank, if loss or gradient is not finite on any.
        """
        norm = _norm(self.clipped)
        own = _norm(self.centres).to(norm)
        everywhere = sum_over_ranks(torch.stack([values["loss"].to(norm), own, own * own]))
        loss, norm_of_centres, _ = everywhere.tolist()
        if not math.isfinite(loss):
            raise self._diverged(iteration, not_finite(values))
        if not (math.isfinite(norm_of_centres) and torch.isfinite(norm)):
            if self.scale is not None and self.scale.shrink():
                return False
            found = not_finite({key: value.grad for key, value in self.trained.items()})
            # Backward goes from the last tensor to the first: there it began.
            where = f"gradient of {found[-1]}" if found else "length of the gradient"
            raise self._diverged(iteration, [where])
        clipped = self.clipped
        if self.clip_centres:
            norm, clipped = torch.sqrt(norm * norm + everywhere[2]), [*clipped, *self.centres]
        if self.scale is not None:
            torch._foreach_mul_(_gradients(self.trained.values()), 1 / self.scale.factor)
            norm = norm / self.scale.factor
            self.scale.grow()
        if self.clip is not None:
            nn.utils.clip_grads_with_norm_(clipped, self.clip, norm)
        self.optimizer.step()
        return True

    def _diverged(self, iteration: int, names: list[str]) -> DivergedError:
        return DivergedError(self.name, iteration, names)


def not_finite(tensors: Mapping[str, Tensor | None]) -> list[str]:
    """Names of the tensors that are NaN or infinite on any rank; the same on every rank."""
    device = next(tensor.device for tensor in tensors.values() if tensor is not None)
    bad = [tensor is not None and not tensor.isfinite().all() for tensor in tensors.values()]
    anywhere = max_over_ranks(torch.tensor(bad, dtype=torch.uint8, device=device)).tolist()
    return [name for name, found in zip(tensors, anywhere, strict=True) if found]


def _gradients(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def _norm(parameters: list[nn.Parameter]) -> Tensor:
    return nn.utils.get_total_norm(_gradients(parameters))
