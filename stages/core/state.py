"""State of modules and optimiser as one process would have it, however many share it.

A parameter of which every rank holds its own rows carries the attribute `sharded`: its rows are
`share(n)` of the whole's n. Checkpoints hold the whole, so another number of ranks can go on.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn

from stages.core.ranks import gather_uneven, share, size


def is_sharded(tensor: Tensor) -> bool:
    """Whether ranks hold different rows of this parameter or buffer."""
    return getattr(tensor, "sharded", False)


def whole_state(module: nn.Module) -> dict[str, Tensor]:
    """`module.state_dict()` with the rows of all ranks; every rank must call it."""
    own = module.state_dict(keep_vars=True)
    return {
        name: gather_uneven(value) if is_sharded(value) else value.detach()
        for name, value in own.items()
    }


def start_alike(module: nn.Module) -> None:
    """Give every rank the first one's values of what all hold: processors may draw differently."""
    if size() > 1:
        for value in module.state_dict(keep_vars=True).values():
            if not is_sharded(value):
                torch.distributed.broadcast(value.detach(), 0)


def load_whole_state(module: nn.Module, state: dict[str, Tensor]) -> None:
    """Load what `whole_state` gave; each rank takes its rows."""
    own = module.state_dict(keep_vars=True)
    module.load_state_dict({name: _own_rows(value, own[name]) for name, value in state.items()})


def whole_optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """`optimizer.state_dict()` with the rows of all ranks, such as momentum's; all must call it."""

    def whole(value: Any, parameter: nn.Parameter) -> Any:
        return gather_uneven(value) if _is_sharded_with(parameter, value) else value

    return _changed(optimizer, optimizer.state_dict(), whole)


def load_whole_optimizer_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load what `whole_optimizer_state` gave; each rank takes its rows."""

    def own(value: Any, parameter: nn.Parameter) -> Any:
        return _own_rows(value, parameter) if _is_sharded_with(parameter, value) else value

    optimizer.load_state_dict(_changed(optimizer, state, own))


def _changed(optimizer: torch.optim.Optimizer, state: dict[str, Any], change: Any) -> Any:
    parameters = [value for group in optimizer.param_groups for value in group["params"]]
    entries = {
        place: {key: change(value, parameters[place]) for key, value in entry.items()}
        for place, entry in state["state"].items()
    }
    return {**state, "state": entries}


def _is_sharded_with(parameter: nn.Parameter, value: Any) -> bool:
    """Whether an optimiser keeps `value` for each row of a sharded parameter."""
    return is_sharded(parameter) and isinstance(value, Tensor) and value.dim() == parameter.dim()


def _own_rows(whole: Tensor, own: Tensor) -> Tensor:
    return whole[share(len(whole))] if is_sharded(own) else whole
