"""A whole student network against its teacher, as BTNet's code trains one."""

import re

import numpy as np
import torch
import torch.nn.functional as F

from stages.networks import iresnet
from tests.goldens import golden
from tests.networks.iresnets import (
    assert_gradient,
    assert_near,
    embedding_of,
    from_file_name,
)
from tests.weight_rules import fill_by_name

NUMBER = r"-?[\d.]+"


def images_of(z) -> torch.Tensor:
    """The images of `x_rule`: RandomState(seed).uniform(low,high,(shape))."""
    rule = str(z["x_rule"])
    low, high, shape = re.search(rf"uniform\(({NUMBER}),({NUMBER}),\(([\d,]+)\)\)", rule).groups()
    shape = tuple(map(int, shape.split(",")))
    images = np.random.RandomState(int(z["x_seed"])).uniform(float(low), float(high), shape)
    return torch.from_numpy(images.astype(np.float32))


def perturb(student: iresnet.IResNet, z) -> None:
    """`conv1_perturb`: conv1.weight += factor*RandomState(seed).standard_normal(shape)."""
    rule = rf"\+= ({NUMBER})\*RandomState\((\d+)\)\.standard_normal"
    factor, seed = re.search(rule, str(z["conv1_perturb"])).groups()
    normal = np.random.RandomState(int(seed)).standard_normal(tuple(student.conv1.weight.shape))
    student.conv1.weight.data += float(factor) * torch.from_numpy(normal.astype(np.float32))


@golden("btnet/distill_*.npz")
def test_distillation(file):
    z = np.load(file)
    params, resolution = from_file_name(file)
    params = embedding_of(params, z["emb_teacher"])
    large = images_of(z)
    teacher = iresnet.build(params).eval()
    fill_by_name(teacher)
    with torch.no_grad():
        taught = teacher.pyramid(large)
    assert_near(taught.embedding, z["emb_teacher"])
    join = iresnet.IMPLANT[resolution]
    for tag in [key.removeprefix("small_") for key in z.files if key.startswith("small_")]:
        small = F.interpolate(large, (resolution,) * 2, mode="bilinear", antialias=tag == "aa1")
        np.testing.assert_allclose(small, z[f"small_{tag}"], atol=1e-5)
        student = iresnet.build(params, resolution).train()
        fill_by_name(student)
        perturb(student, z)
        embedding, maps = student.pyramid(small)
        feature = F.mse_loss(maps[join - 1], taught.stages[join - 1])
        embed = F.mse_loss(embedding, taught.embedding)
        loss = 0.5 * (feature + embed)
        loss.backward()
        np.testing.assert_allclose(feature.item(), z[f"loss_feat_{tag}"], rtol=1e-4)
        np.testing.assert_allclose(embed.item(), z[f"loss_embed_{tag}"], rtol=1e-4)
        np.testing.assert_allclose(loss.item(), z[f"weighted_kd_{tag}"], rtol=1e-4)
        # Batches of two make the last BatchNorm all but a sign: rounding is amplified.
        assert_near(embedding.detach(), z[f"emb_student_{tag}"], 5e-3)
        assert_gradient(student.conv1.weight.grad.numpy(), z[f"g_conv1_{tag}"])
