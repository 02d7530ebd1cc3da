"""Training that starts from an imported model rather than from random weights."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from stages.core.contract import InputContract
from stages.core.errors import InputError
from stages.core.weights import load_weights
from stages.losses._classifier import Classifier
from stages.networks._files import CENTRES, WEIGHTS, load_trunk


def start_from(
    folder: Path, network: nn.Module, classifier: Classifier, contract: InputContract
) -> tuple[list[Path], InputContract]:
    """Copy the weights in `folder` into `network`, and its centres if they fit `classifier`.

    Centres fit where classes, embedding and spheres are the same; otherwise the classifier keeps
    its own, and stderr says so.

    Returns:
        The files that were read, and the contract of the model in `folder`.

    Raises:
        InputError: the model is another network, or is fed images in another way.
    """
    trunk = load_trunk(folder)
    file = folder / WEIGHTS
    fed = replace(trunk.contract, training_data=contract.training_data)
    if fed != contract:
        given = f"{fed.colour}, mean {fed.mean:g}, scale {fed.scale:g}, embedding {fed.embedding}"
        raise InputError(
            file, f"is fed otherwise ({given})", "set train.colour, mean, scale and backbone to it"
        )
    try:
        network.load_state_dict(trunk.network.state_dict())
    except RuntimeError as fault:
        first = str(fault).splitlines()[1].strip()
        remedy = f"set backbone to {trunk.header['network']}"
        raise InputError(file, f"is another network: {first}", remedy) from None
    centres = folder / CENTRES
    files = [file, centres] if _take_centres(centres, classifier) else [file]
    return files, trunk.contract


def _take_centres(file: Path, classifier: Classifier) -> bool:
    wanted = (classifier.classes, classifier.centres.shape[1], classifier.spheres)
    if file.is_file():
        tensors, header = load_weights(file)
        found = (*tensors["centres"].shape, header["spheres"])
        if found == wanted:
            with torch.no_grad():
                classifier.centres.copy_(tensors["centres"][classifier.own])
            return True
        problem = "have {} classes, {} dimensions, {} spheres".format(*found)
    else:
        problem = "are not there"
    wanted_text = "{} classes, {} dimensions, {} spheres".format(*wanted)
    print(f"{file}: class centres {problem}; {wanted_text} start afresh", file=sys.stderr)
    return False
