"""Checkpoints in the forms that the published systems save, made of networks of this project."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tests.weight_rules import fill_by_name

WIDTH = 1 / 16  # small enough for seconds, and every stage has channels of its own number
EMBEDDING = 24
CLASSES = 10


def network(family: str, **settings: Any) -> nn.Module:
    """A small network with weights by rule, in eval mode."""
    module = importlib.import_module(f"stages.networks.{family}")
    made = module.build(module.Params(width=WIDTH, embedding=EMBEDDING, **settings))
    fill_by_name(made)
    return made.eval()


def published(made: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    """Its state dict under the published names, each after `prefix`."""
    state = made.state_dict()
    return {prefix + theirs: state[ours] for ours, theirs in made.published_names().items()}


def centres(classes: int = CLASSES) -> Tensor:
    numbers = np.random.default_rng(0).standard_normal((classes, EMBEDDING))
    return torch.from_numpy(numbers).float()


def save(path: Path, content: Any) -> str:
    torch.save(content, path)
    return str(path)


def save_shards(folder: Path, name: str, parts: list[Any]) -> list[str]:
    """A file for each rank, `{}` in `name` being the rank."""
    return [save(folder / name.format(rank), part) for rank, part in enumerate(parts)]
