"""No NaN where cosines are +-1, step after step, in float32 and under bfloat16 autocast."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from stages.losses import (
    adaface,
    arcface,
    cosface,
    curricularface,
    mag_cosface,
    magface,
    softmax,
)
from stages.losses._classifier import Classifier

LIBRARIES = (softmax, cosface, arcface, curricularface, magface, mag_cosface, adaface)
STEPS, BATCH, CLASSES, EMBEDDING = 200, 8, 6, 16
# Sides to which embeddings are forced, and of which centre: 0 the own one, 1 the next.
FORCED = [(sign, other) for sign in (1, -1) for other in (0, 1)]


@pytest.mark.parametrize("mixed", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize("library", LIBRARIES, ids=lambda module: module.__name__[14:])
def test_embeddings_along_centres(library, mixed):
    torch.manual_seed(0)
    classifier = Classifier(EMBEDDING, CLASSES, library.build(library.Params()))
    network = nn.Linear(EMBEDDING, EMBEDDING)
    optimizer = torch.optim.SGD([*network.parameters(), *classifier.parameters()], 0.01, 0.9)
    half = torch.autocast("cpu", torch.bfloat16) if mixed else nullcontext()
    for step in range(STEPS):
        images, target = torch.randn(BATCH, EMBEDDING), torch.randint(CLASSES, (BATCH,))
        with half:
            embedding = network(images)
            # Half of the batch lies along centres; its gradient still passes to the network.
            sign, other = FORCED[step % len(FORCED)]
            with torch.no_grad():
                along = 20 * sign * classifier.centres[(target + other) % CLASSES]
                forced = along.to(embedding.dtype) - embedding
                forced[BATCH // 2 :] = 0
            loss = classifier(embedding + forced, target)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        assert all(torch.isfinite(part).all() for part in loss)
        for values in (*network.parameters(), *classifier.parameters()):
            assert torch.isfinite(values.grad).all()
            assert torch.isfinite(values).all()
    assert all(torch.isfinite(buffer).all() for buffer in classifier.buffers())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("library", LIBRARIES, ids=lambda module: module.__name__[14:])
def test_batch_of_one_at_a_centre(library, sign, dtype):
    classifier = Classifier(EMBEDDING, CLASSES, library.build(library.Params()))
    for target in range(CLASSES):
        along = sign * 100 * classifier.centres.detach()[2:3]
        embedding = along.to(dtype).requires_grad_()
        classifier.centres.grad = None
        loss = classifier(embedding, torch.tensor([target]))
        loss.total.backward()
        for values in (*loss, embedding.grad, classifier.centres.grad, *classifier.buffers()):
            assert torch.isfinite(values).all()
