"""MultiFace's mirrored copies pass through 8-bit images and lose a grey level here and there.

Its flip test turns a normalised image back into an 8-bit one, mirrors that, and normalises it
again; the way back truncates. Ours mirrors the numbers themselves.
"""

import numpy as np
import torch

from stages.core.contract import InputContract
from stages.extract.inference import embed
from tests.goldens import golden

CONTRACT = InputContract(colour="bgr")


@golden("multiface/hflip_quantisation*.npz")
def test_grey_levels(file):
    z = np.load(file)
    levels = z["value_in"]
    image = np.repeat(levels.reshape(1, 1, -1, 1), 3, axis=3)
    batch = CONTRACT.normalise(torch.from_numpy(image))

    theirs = torch.from_numpy(levels).div(255).sub(0.5).div(0.5)
    truncated = (theirs * 0.5 + 0.5).mul(255).byte()
    np.testing.assert_array_equal(truncated, z["value_out_after_hflip"])
    assert (truncated.numpy() != levels).any()

    pixels = embed(batch, lambda images: images[:, 0, 0])
    back = pixels["mirrored"][0, ::-1] * CONTRACT.scale + CONTRACT.mean
    np.testing.assert_array_equal(np.round(back), levels)
    np.testing.assert_array_equal(pixels["mirrored"][0, ::-1], pixels["embedding"][0])
