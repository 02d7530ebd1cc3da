"""The optimiser of a schedule: which parameters it moves, at which rate and weight decay."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from stages.core.schedule import Schedule

CLASSIFIER = "classifier"  # the module that owns the class centres
GAMMA = "gamma"
SHARE = "share"  # key of a group: its learning rate as a share of the schedule's


def trained_parameters(modules: Mapping[str, nn.Module]) -> dict[str, nn.Parameter]:
    """Parameters that require a gradient, by `<module>.<name>`, in order."""
    return {
        f"{part}.{name}": value
        for part, module in modules.items()
        for name, value in module.named_parameters()
        if value.requires_grad
    }


def build_optimizer(schedule: Schedule, modules: Mapping[str, nn.Module]) -> torch.optim.Optimizer:
    """The schedule's optimiser over what requires a gradient in `modules`.

    Weight decay is part of the gradient (coupled) in sgd and adam, apart from it in adamw. There is
    one group of parameters for each learning rate and weight decay; groups know the names of their
    parameters (`param_names`: `<module>.<name>`).

    Args:
        schedule: optimiser, lr, momentum and the weight decay of each kind of parameter.
        modules: by name; `classifier` owns the class centres.
    """
    groups: dict[tuple[float, float], list[tuple[str, nn.Parameter]]] = {}
    norms, last = _names_of_norms(modules), _names_of_embedding_weights(modules)
    for name, value in trained_parameters(modules).items():
        key = _share_and_decay(name, schedule, norms, last)
        groups.setdefault(key, []).append((name, value))
    described = [
        {"params": named, SHARE: share, "lr": share * schedule.lr, "weight_decay": decay}
        for (share, decay), named in groups.items()
    ]
    if schedule.optimizer == "adam":
        return torch.optim.Adam(described, lr=schedule.lr)
    if schedule.optimizer == "adamw":
        return torch.optim.AdamW(described, lr=schedule.lr)
    return torch.optim.SGD(described, lr=schedule.lr, momentum=schedule.momentum)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Move every group of `build_optimizer`'s to the schedule's present rate, times its share."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group[SHARE]


def _share_and_decay(
    name: str, schedule: Schedule, norms: set[str], embedding: set[str]
) -> tuple[float, float]:
    """Learning rate as a share of the schedule's, and weight decay, of one parameter."""
    part, _, own = name.partition(".")
    if schedule.gamma_lr is not None and own.rpartition(".")[2] == GAMMA:
        return schedule.gamma_lr / schedule.lr, 0.0
    special = None
    if name in norms:
        special = schedule.weight_decay_norm
    elif part != CLASSIFIER and name not in embedding:
        special = schedule.weight_decay_body
    return 1.0, schedule.weight_decay if special is None else special


def _names_of_norms(modules: Mapping[str, nn.Module]) -> set[str]:
    return {
        ".".join(filter(None, (part, path, name)))
        for part, module in modules.items()
        for path, layer in module.named_modules()
        if isinstance(layer, _BatchNorm)
        for name, _ in layer.named_parameters(recurse=False)
    }


def _names_of_embedding_weights(modules: Mapping[str, nn.Module]) -> set[str]:
    """Weights of each module's last linear layer: in a network, of the one that embeds."""
    names = set()
    for part, module in modules.items():
        linear = [path for path, layer in module.named_modules() if isinstance(layer, nn.Linear)]
        names |= {".".join(filter(None, (part, path, "weight"))) for path in linear[-1:]}
    return names
