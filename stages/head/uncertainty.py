"""How sure the trunk may be of an image: heads on its last map, beside its class centres."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from stages.core.errors import InputError
from stages.core.params import Section
from stages.core.ranks import mean_over_ranks
from stages.core.seeding import derive
from stages.core.weights import load_weights
from stages.datasets._augment import draws
from stages.head.frozen import Frozen, Task
from stages.networks._files import CENTRES


def prepare_task(heads: Any, settings: Section, frozen: Frozen, name: str, seed: int) -> Task:
    """A head that has a `loss` on single images or on the genuine pairs of a batch.

    One with a setting `images` is fed people, each once an epoch and by so many images, so that
    every batch has pairs; others are fed images.
    """
    path = frozen.source / CENTRES
    tensors, header = load_weights(path)
    centres = directions(tensors["centres"], header["spheres"]).to(frozen.device)
    if len(centres) != frozen.images.classes:
        problem = f"has {len(centres)} centres for {frozen.images.classes} people"
        raise InputError(
            path,
            problem,
            "choose the dataset that the trunk was trained on, or take the head out of `heads`",
        )
    build = {"shape": frozen.shape, "embedding": frozen.embedding}
    head = heads.build(settings, **build).to(frozen.device).train()
    people = frozen.rows_of_people()
    together = getattr(settings, "images", None)

    def step(rows: np.ndarray, epoch: int) -> dict[str, Tensor]:
        if together:
            rows, uniform = draw_people(people, rows, together, seed, name, epoch)
        else:
            uniform = draws(seed, f"head {name}", epoch, rows)
        body, labels = frozen.bodies(rows, uniform), frozen.labels(rows)
        told = head(body)
        mu = F.normalize(frozen.embed(body))
        losses = heads.loss(mu, told, centres[labels], labels, settings)
        return {"loss": mean_over_ranks(losses)} | {
            f"log_{what}": number.log().mean()
            for what, number in heads.confidences(told.detach()).items()
        }

    rows = len(people) if together else len(frozen.images)
    return Task({"head": head}, rows, step, [*frozen.inputs, path], build)


def directions(centres: Tensor, spheres: int) -> Tensor:
    """Class centres [c, E] of length 1, whose parts in the N spheres count alike.

    A class is where the cosine is 1 in every sphere, whatever lengths the parts have got.
    """
    parts = F.normalize(centres.view(len(centres), spheres, -1), dim=2)
    return parts.flatten(1) / spheres**0.5


def draw_people(
    people: list[np.ndarray], chosen: np.ndarray, images: int, seed: int, name: str, epoch: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows [P * images] of `images` images of each chosen person, and the numbers to augment by.

    Without replacement where there are enough; an image that comes twice is changed in two ways.
    Each person's are drawn from (seed, name, epoch, person) alone.
    """
    rows = []
    for person in chosen.tolist():
        own = np.random.default_rng(derive(seed, f"head {name} images", epoch, person))
        there = people[person]
        rows.append(own.choice(there, images, replace=len(there) < images))
    drawn = np.stack(rows)
    uniform = [draws(seed, f"head {name} {k}", epoch, drawn[:, k]) for k in range(images)]
    return drawn.reshape(-1), np.stack(uniform, axis=1).reshape(drawn.size, -1)
