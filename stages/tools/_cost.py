"""What a params.yaml costs before it is run: images, steps, operations, time, disk and memory."""

from __future__ import annotations

import configparser
import math
from textwrap import wrap
from typing import Any, NamedTuple

from stages.core.classifier import ClassifierParams
from stages.core.params import section
from stages.extract.params import Params as Extraction
from stages.losses._cross_entropy import BLOCK_OF_DEVICE
from stages.tools._networks import PEOPLE, Networks, activation_bytes, count, measure
from stages.tools._sizes import ASSUMED_BYTES, SetSize, set_size
from stages.tools._work import BOTH, THROUGH, Work, all_work, schedule_of, training_flops
from stages.train.params import Params as Training

TFLOPS = 60.0  # of a device, unless another number is stated or measured
ASSUMED = "an assumption: a fifth of an A100's peak in fp16"
LOSS_BLOCKS = 2  # arrays of a block of classes beside the logits; 4 for adaface, 7 curricularface
STATES = {"sgd": 1, "adam": 2, "adamw": 2}  # numbers that an optimiser keeps of a parameter
FLOAT = 4  # bytes
WIDTH = 100  # characters of a line
PREFIXES = ("", "k", "M", "G", "T", "P", "E")
TIMES = ((3600, "h"), (60, "min"), (1, "s"))


class Cost(NamedTuple):
    """Estimates, NaN where they depend on a set of unknown size.

    Attributes:
        sets: the training set, then the test sets, by name.
        work: each training, then the extraction.
        forward: operations of the trunk's forward pass of an image.
        speed: operations a second of one device.
        origin: how the speed is known.
        disk: bytes in the workspace, by kind.
        cached: bytes in DVC's cache.
        memory: bytes, by kind, on a device that trains the trunk; none where it is imported.
        images: that such a device computes at a time.
        devices: number of them.
    """

    sets: dict[str, SetSize]
    work: list[Work]
    forward: int
    speed: float
    origin: str
    disk: dict[str, float]
    cached: float
    memory: dict[str, float]
    images: int
    devices: int


def estimate(
    params: dict[str, Any], tflops: float | None = None, measured: bool = False, devices: int = 1
) -> Cost:
    """Cost of all that `params`, a valid params.yaml, trains and extracts.

    Args:
        tflops: 10^12 operations a second that a device sustains; by default TFLOPS.
        measured: time ten steps of the trunk's training on this machine instead.
        devices: that train together.

    Raises:
        InputError: data that are there are damaged.
    """
    sets = {name: set_size(name, params) for name in (params["dataset"], *params["test_sets"])}
    training, *tests = sets.values()
    tests = [size for size in tests if not math.isnan(size.images)]
    schedule = schedule_of(params)
    together = math.ceil(schedule.batch / section("train", Training, params).accumulate)
    images = math.ceil(together / devices)
    speed, origin = (tflops or TFLOPS) * 1e12, "as stated" if tflops else ASSUMED
    if measured:  # before any tensor is computed: only then is the processor held to AVX2
        people = PEOPLE if math.isnan(training.people) else int(training.people)
        rate, origin = measure(params, schedule, people, images)
        speed = rate * training_flops(params, count(params), people)
    networks = count(params)
    states = STATES[schedule.optimizer] if schedule.optimizer != "sgd" or schedule.momentum else 0
    disk = _disk(params, networks, training, tests)
    twice = sum(size.aligned for size in (training, *tests) if size.copied)
    checkpoint = _centres(networks, training) * (1 + states)
    checkpoint += networks.sizes["trunk"] + FLOAT * networks.trained * states
    trains = params["trunk"] == "train"
    return Cost(
        sets=sets,
        work=all_work(params, networks, training, sum(size.images for size in tests)),
        forward=networks.flops["trunk"],
        speed=speed,
        origin=origin,
        disk=disk | ({"checkpoint": checkpoint} if trains else {}),
        cached=sum(disk.values()) - twice,
        memory=_memory(params, networks, training, together, states, devices) if trains else {},
        images=images,
        devices=devices,
    )


def _centres(networks: Networks, training: SetSize) -> float:
    """Bytes of the class centres."""
    return FLOAT * networks.embedding * training.people


def _disk(
    params: dict[str, Any], networks: Networks, training: SetSize, tests: list[SetSize]
) -> dict[str, float]:
    """Bytes by folder. Features of an image are its embedding, its mirror image's and a norm by
    each model, the row `pixels` likewise, and what heads tell."""
    models = 1 + 2 * len(params["resolutions"])
    numbers = models * (2 * networks.embedding + 1)
    numbers += 2 * section("extract", Extraction, params).pixels ** 2 + 1
    numbers += sum(head.numbers for head in networks.heads.values())
    return {
        "unpack": sum(size.unpacked for size in (training, *tests)),
        "align": sum(size.aligned for size in (training, *tests)),
        "features": FLOAT * numbers * sum(size.images for size in tests),
        "models": sum(networks.sizes.values()) + _centres(networks, training),
    }


def _memory(
    params: dict[str, Any],
    networks: Networks,
    training: SetSize,
    together: int,
    states: int,
    devices: int,
) -> dict[str, float]:
    """Bytes, by kind, on one of `devices` devices that train the trunk.

    Args:
        together: images of all devices at a time.
        states: numbers that the optimiser keeps of a parameter.
    """
    centres = _centres(networks, training) / devices
    trained = FLOAT * networks.trained + centres
    sampled = section("classifier", ClassifierParams, params).sample_rate * training.people
    columns = sampled / devices
    blocks = LOSS_BLOCKS * min(columns, BLOCK_OF_DEVICE)
    return {
        "weights": networks.sizes["trunk"] + centres,
        "gradients": trained,
        "optimiser": trained * states,
        "logits": FLOAT * together * (columns + blocks),
        "activations": activation_bytes(params, math.ceil(together / devices)),
    }


def lines(cost: Cost) -> list[str]:
    """The estimates for a person to read, in about 20 lines."""
    (training, size), *tests = cost.sets.items()
    by_origin: dict[str, list[str]] = {}
    for name, test in tests:
        by_origin.setdefault(test.origin, []).append(f"{name} {_number(test.images)}")
    people = f"{_number(size.images)} images of {_number(size.people)} people"
    total = Work("total", 0, 0, sum(work.flops for work in cost.work))
    wall = _duration(total.flops / cost.speed / cost.devices)
    forward = _scaled(cost.forward, "FLOP")
    told = [
        f"training set: {training}, {people} ({size.origin})",
        *(f"test sets: {', '.join(names)} ({origin})" for origin, names in by_origin.items()),
        f"{'':<16}{'steps':>12}{'samples':>16}{'operations':>14}{'time':>10}",
        *(_row(work, cost.speed) for work in [*cost.work, total]),
        f"operations: {forward} in the trunk's forward pass of an image, counted;",
        f"  assumed: {BOTH} times as many to train, {THROUGH} where gradients only pass through",
        f"time: of one device at {_scaled(cost.speed, 'FLOP/s')} ({cost.origin})",
        *([f"  {cost.devices} devices together: {wall}, at best"] if cost.devices > 1 else []),
        f"disk: {_parts(cost.disk)}",
        f"  DVC's cache: {_scaled(cost.cached, 'B')}, {link_type()}",
    ]
    if any(size.assumed for size in cost.sets.values()):
        told.append(f"  assumed where data are not there yet: {ASSUMED_BYTES}")
    if cost.memory:
        told += [
            f"memory: at least {_parts(cost.memory)}",
            f"  on a device that trains the trunk, {cost.images} images at a time",
        ]
    return [part for line in told for part in wrap(line, WIDTH, subsequent_indent="  ")]


def link_type() -> str:
    """How files in DVC's cache share bytes with the workspace, as .dvc/config says."""
    config = configparser.ConfigParser()
    config.read([".dvc/config", ".dvc/config.local"])
    first = config.get("cache", "type", fallback="reflink,copy").partition(",")[0].strip(" '\"")
    shared = "shared with the workspace"
    return {
        "copy": "beside the workspace: cache.type copy",
        "reflink": f"{shared} where the file system has reflinks, else beside it",
    }.get(first, f"{shared}: cache.type {first}")


def _row(work: Work, speed: float) -> str:
    numbers = f"{_number(work.steps):>12}{_number(work.samples):>16}"
    return (
        f"{work.name:<16}{numbers}{_scaled(work.flops, 'FLOP'):>14}"
        f"{_duration(work.flops / speed):>10}"
    )


def _parts(parts: dict[str, float]) -> str:
    named = ", ".join(f"{name} {_scaled(value, 'B')}" for name, value in parts.items())
    return f"{_scaled(sum(parts.values()), 'B')}: {named}"


def _number(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:,.0f}" if value else ""


def _scaled(value: float, unit: str) -> str:
    """Three digits, a decimal prefix and the unit."""
    if math.isnan(value):
        return "unknown"
    power = min(int(math.log10(max(value, 1))) // 3, len(PREFIXES) - 1)
    return f"{value / 1000**power:.3g} {PREFIXES[power]}{unit}"


def _duration(seconds: float) -> str:
    if math.isnan(seconds):
        return "unknown"
    size, unit = next(((size, unit) for size, unit in TIMES if seconds >= size), (0, ""))
    return f"{seconds / size:,.1f} {unit}" if size else "< 1 s"
