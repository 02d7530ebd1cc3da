"""Operations and memory of the networks of a params.yaml, and the speed of this machine.

They are counted on fake tensors, which have shapes and no numbers: a second for any network.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from stages.core.classifier import ClassifierParams
from stages.core.optim import build_optimizer
from stages.core.params import load, section
from stages.core.schedule import Schedule
from stages.core.seeding import prepare
from stages.core.weights import read_header
from stages.losses._classifier import Classifier
from stages.networks._files import WEIGHTS
from stages.networks._staged import FULL_RESOLUTION, IMAGE_CHANNELS
from stages.train.params import Params as Training

HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}
STEPS = 10  # measured, after a first one that is not
LONGEST_S = 60.0  # no measured step but the first begins after it
MOST_ON_CPU = 16  # images at a time: the activations of iresnet100 take 2 GB
PEOPLE = 1000  # in a measurement, where their number is not known


class Head(NamedTuple):
    """A head in use.

    Attributes:
        settings: its own and the shared ones.
        imported: it came with the trunk and is not trained.
        of_sets: it reads sets of embeddings, not images.
        numbers: written of each image of a test set.
    """

    settings: Any
    imported: bool
    of_sets: bool
    numbers: int


class Networks(NamedTuple):
    """Trunk, branches and heads.

    Attributes:
        embedding: dimensions.
        trained: number of parameters of the trunk that are trained.
        flops: operations of an image's forward pass: of `trunk`, of its `body` up to the last map,
            of `branch R`, of `rest R`, the trunk from that branch on, and of each head by name (a
            set head's: of a set of mean size). A multiplication and an addition are two;
            convolutions and matrix products count, others do not.
        sizes: bytes of the weights of `trunk`, `branch R` and each head.
        heads: by name.
    """

    embedding: int
    trained: int
    flops: dict[str, int]
    sizes: dict[str, int]
    heads: dict[str, Head]


def count(params: dict[str, Any]) -> Networks:
    """Operations and sizes of all networks of `params`."""
    with FakeTensorMode(), torch.no_grad():
        family, settings, trunk = _trunk(params)
        image = images(1)
        flops = {"trunk": forward_flops(trunk, image), "body": forward_flops(trunk.body, image)}
        sizes, heads = {"trunk": _bytes(trunk.state_dict().values())}, {}
        for side in params["resolutions"]:
            branch = family.build_branch(settings, side).eval()
            small = images(1, side)
            flops[f"branch {side}"] = forward_flops(branch, small)
            flops[f"rest {side}"] = forward_flops(trunk.resume, branch(small), branch.depth)
            sizes[f"branch {side}"] = _bytes(branch.state_dict().values())
        for name in params["heads"]:
            head, heads[name], inputs = _head(name, params, trunk.body(image), settings.embedding)
            flops[name] = forward_flops(head, *inputs)
            sizes[name] = _bytes(head.state_dict().values())
        trained = sum(value.numel() for value in trunk.parameters() if value.requires_grad)
        return Networks(settings.embedding, trained, flops, sizes, heads)


def mean_set(settings: Any) -> float:
    """Mean number of images of a set head's training sets: sizes are uniform in 1..largest."""
    return (1 + settings.largest) / 2


def half_precision(params: dict[str, Any]) -> torch.dtype | None:
    """That the trunk is trained in; None for float32."""
    return HALF.get(section("train", Training, params).precision)


def forward_flops(function: Callable[..., Any], *inputs: Any) -> int:
    """Operations of function(*inputs)."""
    with FlopCounterMode(display=False) as counter:
        function(*inputs)
    return counter.get_total_flops()


def activation_bytes(params: dict[str, Any], number: int) -> int:
    """Bytes that the trunk, in training, keeps of `number` images for the backward pass."""
    with FakeTensorMode():
        network = _trunk(params)[2].train()
        return saved_bytes(network, images(number), half_precision(params))


def saved_bytes(network: nn.Module, batch: Tensor, half: torch.dtype | None = None) -> int:
    """Bytes that network(batch) keeps for the backward pass, beside the network's own tensors."""
    own = {
        tensor.untyped_storage()._cdata for tensor in network.state_dict(keep_vars=True).values()
    }
    kept: dict[int, torch.UntypedStorage] = {}  # they stay alive, so that no place is used twice

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), _autocast(half):
        network(batch)
    return sum(storage.nbytes() for storage in kept.values())


def images(number: int, side: int = FULL_RESOLUTION) -> Tensor:
    """Random images [number, 3, side, side], as the trunk is fed them."""
    batch = torch.rand(number, IMAGE_CHANNELS, side, side)
    return batch.contiguous(memory_format=torch.channels_last)


def measure(
    params: dict[str, Any], schedule: Schedule, people: int, number: int
) -> tuple[float, str]:
    """Images a second in training the trunk on this machine, and how that was measured.

    Args:
        schedule: of the trunk.
        people: number of classes.
        number: of images at a time; MOST_ON_CPU at most on a CPU.
    """
    device = prepare(*(params[key] for key in ("seed", "threads", "device", "instructions")))
    number = max(2, min(number, MOST_ON_CPU) if device.type == "cpu" else number)
    _, settings, network = _trunk(params)
    network.to(device, memory_format=torch.channels_last).train()
    shares = section("classifier", ClassifierParams, params).model_dump()
    margins, margin = load("losses", params["loss"], params["losses"].get(params["loss"]), "loss")
    classifier = Classifier(settings.embedding, people, margins.build(margin), **shares).to(device)
    optimizer = build_optimizer(schedule, {"network": network, "classifier": classifier})
    batch, labels = images(number).to(device), torch.randint(people, (number,), device=device)
    times = [time.perf_counter()]
    while len(times) <= 2 or (len(times) <= STEPS + 1 and times[-1] - times[1] < LONGEST_S):
        optimizer.zero_grad()
        with _autocast(half_precision(params), device.type):
            embedding = network(batch)
        classifier(embedding, labels).total.backward()
        optimizer.step()
        classifier.centres[0, 0].item()  # the device is done
        times.append(time.perf_counter())
    steps = len(times) - 2
    rate = number * steps / (times[-1] - times[1])
    return rate, f"measured here: {rate:.3g} images/s, {steps} of {STEPS} steps of {number} images"


def _trunk(params: dict[str, Any]) -> tuple[Any, Any, nn.Module]:
    """Family, settings and network of the trunk: the backbone's, or the imported model's."""
    shape = dict(params["backbone"])
    if params["trunk"] != "train":
        shape = dict(read_header(Path("models") / params["trunk"] / WEIGHTS)["network"])
    family, settings = load("networks", shape.pop("name"), shape, "backbone")
    return family, settings, family.build(settings).eval()


def _head(
    name: str, params: dict[str, Any], body: Tensor, embedding: int
) -> tuple[nn.Module, Head, tuple[Tensor, ...]]:
    """A head, what is known of it, and what it reads."""
    file = Path("models") / params["trunk"] / "heads" / name / WEIGHTS
    given = params["head"]["shared"] | (params["head"].get(name) or {})
    if file.is_file():
        given = read_header(file)["settings"]
    library, settings = load("heads", name, given, f"head.{name}")
    head = library.build(settings, shape=body.shape[1:], embedding=embedding).eval()
    if not hasattr(library, "loss"):
        size = math.ceil(mean_set(settings))
        noise = torch.rand(min(settings.points, size), 1, size)
        inputs = torch.rand(1, size, embedding), torch.rand(1, size), noise
        return head, Head(settings, file.is_file(), True, 0), inputs
    told = library.confidences(head(body)).values()
    copies = len(params["resolutions"]) * sum(values.ndim == 1 for values in told)
    numbers = sum(values.numel() for values in told) + copies
    return head, Head(settings, file.is_file(), False, numbers), (body,)


def _autocast(half: torch.dtype | None, device: str = "cpu") -> Any:
    return torch.autocast(device, half) if half else nullcontext()


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
