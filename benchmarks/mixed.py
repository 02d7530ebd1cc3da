"""Images of four resolutions in one pass through one model, against a pass for each resolution.

BTNet (arXiv 2310.09563) has a whole network per resolution, so a batch of probes of several sizes
takes one pass each; with an untouched trunk the streams join and share what is left of it.
"""

from __future__ import annotations

import torch

from benchmarks._measure import Row, alternate
from stages.networks import iresnet

RESOLUTIONS = (112, 28, 14, 7)
IMAGES_EACH = 2
TARGET = 1.0


def rows() -> list[Row]:
    torch.manual_seed(0)
    params = iresnet.Params(depth=50)
    trunk = iresnet.fold(iresnet.build(params))
    branches = {r: iresnet.fold(iresnet.build_branch(params, r)) for r in RESOLUTIONS[1:]}
    images = {
        r: torch.randn(IMAGES_EACH, 3, r, r).contiguous(memory_format=torch.channels_last)
        for r in RESOLUTIONS
    }

    @torch.inference_mode()
    def ours() -> dict[int, torch.Tensor]:
        return iresnet.embed_mixed(trunk, branches, images)

    @torch.inference_mode()
    def theirs() -> dict[int, torch.Tensor]:
        return {r: iresnet.embed_mixed(trunk, branches, {r: images[r]})[r] for r in RESOLUTIONS}

    fast, slow = alternate(ours, theirs, rounds=9)
    one, each = ours(), theirs()
    worst = max((one[r] - each[r]).abs().max().item() for r in RESOLUTIONS)
    scale = max(each[r].abs().max().item() for r in RESOLUTIONS)
    note = (
        f"iresnet50 and its branches, {IMAGES_EACH} images each of {RESOLUTIONS} px; "
        f"theirs: a pass for each; difference at most {worst / scale:.0e} of the largest entry"
    )
    return [Row("mixed resolutions, one pass", fast, slow, TARGET, None, None, note)]
