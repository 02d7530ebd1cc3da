"""Steps and operations of each training that a params.yaml asks for, and of the extraction."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from stages.core.classifier import ClassifierParams
from stages.core.params import section
from stages.core.schedule import Schedule
from stages.distill.params import Params as Distillation
from stages.tools._networks import Networks, mean_set
from stages.tools._sizes import UNKNOWN, SetSize

BOTH = 3  # forward and backward pass of what is trained, in forward passes
THROUGH = 2  # both of what is frozen and passes a gradient on


class Work(NamedTuple):
    """One training, or the extraction of all test sets.

    Attributes:
        name: of the stage and its item.
        steps: of the optimiser.
        samples: images that it goes through; sets of images for a set head.
        flops: operations of all of it.
    """

    name: str
    steps: float
    samples: float
    flops: float


def all_work(
    params: dict[str, Any], networks: Networks, training: SetSize, tested: float
) -> list[Work]:
    """Trunk, branches, heads and the extraction of `tested` images."""
    work = []
    if params["trunk"] == "train":
        steps, images = seen(schedule_of(params), training.images)
        flops = images * training_flops(params, networks, training.people)
        work.append(Work("train", steps, images, flops))
    for side in params["resolutions"]:
        steps, images = seen(section("distill", Distillation, params), training.images)
        flops = images * distillation_flops(networks, side, training.people)
        work.append(Work(f"distill {side} px", steps, images, flops))
    trained = [name for name, head in networks.heads.items() if not head.imported]
    work += [_of_head(name, networks, training) for name in trained]
    return [*work, Work("extract", 0, tested, tested * extraction_flops(params, networks))]


def schedule_of(params: dict[str, Any]) -> Schedule:
    """Of the trunk."""
    return section(f"schedules.{params['schedule']}", Schedule, params)


def seen(schedule: Schedule, rows: float) -> tuple[float, float]:
    """Steps of a training over `rows` rows, and how many rows it goes through."""
    if math.isnan(rows):
        return UNKNOWN, UNKNOWN
    steps = schedule.epochs * schedule.steps_per_epoch(int(rows))
    return steps, rows * steps / max(1, math.ceil(rows / schedule.batch))


def training_flops(params: dict[str, Any], networks: Networks, people: float) -> float:
    """Operations of an image in a step of the trunk's training."""
    centres = people * section("classifier", ClassifierParams, params).sample_rate
    return BOTH * (networks.flops["trunk"] + 2 * networks.embedding * centres)


def distillation_flops(networks: Networks, side: int, people: float) -> float:
    """Operations of an image in a step of a branch's training: the trunk, which is frozen, embeds
    the image itself and goes on from the branch; the class centres are frozen too."""
    flops, product = networks.flops, 2 * networks.embedding * people
    frozen = flops["trunk"] + THROUGH * (flops[f"rest {side}"] + product)
    return frozen + BOTH * flops[f"branch {side}"]


def extraction_flops(params: dict[str, Any], networks: Networks) -> float:
    """Operations of an image: it and its mirror image go through the trunk and, at each resolution,
    through the branch and, brought back to 112 px, the trunk. Heads on images read the trunk's
    last map of the image and of each copy."""
    flops, sides = networks.flops, params["resolutions"]
    branches = sum(flops[f"branch {side}"] + flops[f"rest {side}"] for side in sides)
    embedded = 2 * (branches + (1 + len(sides)) * flops["trunk"])
    heads = [flops[name] for name, head in networks.heads.items() if not head.of_sets]
    return embedded + (1 + len(sides)) * (flops["body"] + sum(heads) if heads else 0)


def _of_head(name: str, networks: Networks, training: SetSize) -> Work:
    """A head's training: the trunk is frozen, and no gradient reaches it."""
    head, each = networks.heads[name], networks.flops[name]
    settings, together = head.settings, getattr(head.settings, "images", None)  # of a person
    steps, rows = seen(settings, training.people if together else training.images)
    samples = embedded = rows * (together or 1)
    if head.of_sets:
        each += 2 * networks.embedding * training.people
        cached = training.images * settings.views * settings.clip_length
        embedded = cached if settings.source == "cached" else samples * mean_set(settings)
    flops = samples * BOTH * each + embedded * networks.flops["trunk"]
    return Work(f"head {name}", steps, samples, flops)
