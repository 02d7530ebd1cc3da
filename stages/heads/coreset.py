"""FaceCoresetNet: a few of a set's images stand for it, told apart by quality and diversity.

FaceCoresetNet: Differentiable Coresets for Face Set Recognition (Shapira and Keller, AAAI 2024,
arXiv 2308.14075). K images are chosen by farthest-point selection; self-attention relates them,
cross-attention lets them read the whole set, and their mean is the set's descriptor. Its direction
and length are trained with AdaFace's margin. Names of all tensors are those of the published code.
Published: AdamW, lr 1e-4 (gamma: no decay), weight decay 1e-3, a tenth after epoch 20, 20 sets
on each of two devices, gradient norm 1, K 3, sets of up to 20 images.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from stages.core.params import Section
from stages.core.schedule import Resampler, Schedule
from stages.heads._selection import farthest_points

WAVELENGTH = 10_000.0  # longest of the norm's encoding, in norms
IMAGES_A_GROUP = 4096  # of sets of one size that are read at a time
NORM_FLOOR = 1e-12
PI = 3.141592653589793

# Parts of published checkpoints that nothing reads: they never had a gradient.
DEAD = (
    "tau",
    "feature_norm_normalizer",
    "ur_center",  # memory that was never written
    "dist_from_ur_center_norm_size_balance",
    "decoder_layer1.self_attn2.",
    "decoder_layer1.multihead_attn2.",
    "decoder_layer1.multihead_attn3.",
    "decoder_layer1.norm3.",
    "decoder_layer1.norm4.",
    "quality_measure.",
)


class AdaFace(Section):
    """The margin that training sets are classified with, settings as in stages/losses/adaface.py;
    the defaults are FaceCoresetNet's."""

    scale: float = Field(48.0, gt=0)
    margin: float = Field(0.8, ge=0, lt=PI)
    concentration: float = Field(0.333, ge=0)
    t_alpha: float = Field(0.01, gt=0, le=1)


class Params(Schedule):
    """Schedule and settings of the network, its training sets and its loss; `batch` counts sets."""

    resampler: Resampler = "pil_bilinear"  # of low-resolution copies among the training images
    points: int = Field(3, ge=1)  # K: images that stand for a set
    gamma: float = 0.01  # exponent of the norm in the metric, at the start
    learn_gamma: bool = True
    attention_heads: int = Field(8, ge=1)  # must divide the embedding
    dropout: float = Field(0.1, ge=0, lt=1)
    # images: through the trunk at every step, as published; cached: embedded once, before training
    source: Literal["cached", "images"] = "cached"
    views: int = Field(4, ge=1)  # cached: clips embedded of each image
    largest: int = Field(20, ge=1)  # set; a batch's size is uniform in 1..largest
    clip_length: int = Field(3, ge=1)  # most frames made of one image
    adaface: AdaFace = AdaFace()

    def misfit(self, embedding: int) -> str | None:
        """Why the head cannot read embeddings of that length, if it cannot."""
        if embedding % 2:
            return f"the code of a norm has pairs of numbers, an embedding of {embedding} has not"
        if embedding % self.attention_heads:
            return f"an embedding of {embedding} has no {self.attention_heads} equal parts"
        return None


class Clip(NamedTuple):
    """Frames of a set that are made of one image.

    Attributes:
        image: 0.. among the person's images.
        frames: number of them.
    """

    image: int
    frames: int


def draw_clips(draw: random.Random, images: Sequence, size: int, longest: int) -> list[Clip]:
    """A set of `size` frames: images drawn with replacement, a clip of up to `longest` of each.

    Lengths are uniform in what is left of the set, cut at `longest`: short sets are mostly clips.
    """
    clips: list[Clip] = []
    left = size
    while left:
        image = draw.choice(range(len(images)))
        clips.append(Clip(image, min(longest, draw.randint(1, left))))
        left -= clips[-1].frames
    return clips


class Coreset(nn.Module):
    """Unit embeddings and norms of a set -> its descriptor.

    Args:
        embedding: dimensions D, a multiple of 2 and of the attention heads.
        params: settings.
    """

    def __init__(self, embedding: int, params: Params) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.tensor(params.gamma), requires_grad=params.learn_gamma)
        self.decoder_layer1 = Attention(embedding, params.attention_heads, params.dropout)
        self.pos_trans_norm = nn.LayerNorm(embedding)
        self.points = params.points

    def forward(self, unit: Tensor, norm: Tensor, noise: Tensor | None = None) -> Tensor:
        """Descriptors [B, D], not normalised, of sets of T images each.

        Args:
            unit: [B, T, D], embeddings of length 1.
            norm: [B, T], their lengths before that.
            noise: Gumbel numbers [min(K, T), B, T] for the differentiable choice of training;
                without, the best candidates are chosen, the first among equals.
        """
        features = norm[..., None] * unit
        if noise is None:
            core = self._chosen(unit, norm, features)
        else:
            core = torch.stack(sample_points(features, norm, self.gamma, noise), dim=1)
        return self.read(core, features, norm)

    def _chosen(self, unit: Tensor, norm: Tensor, features: Tensor) -> Tensor:
        sets, size, dimensions = unit.shape
        picks = farthest_points(
            unit.detach().reshape(-1, dimensions).cpu().numpy(),
            norm.detach().reshape(-1).cpu().numpy(),
            np.full(sets, size),
            self.gamma.item(),
            min(self.points, size),
        )
        return features.reshape(-1, dimensions)[torch.from_numpy(picks).to(unit.device)]

    def read(self, core: Tensor, features: Tensor, norm: Tensor) -> Tensor:
        """Descriptors [B, D] of chosen images [B, K, D] that read their sets [B, T, D]."""
        dimensions = features.shape[-1]
        of_core = self.pos_trans_norm(encode_norm(core.norm(dim=-1), dimensions))
        of_set = self.pos_trans_norm(encode_norm(norm, dimensions))
        return self.decoder_layer1(core, of_core, features, of_set).mean(dim=1)

    @torch.inference_mode()
    def describe(self, unit: np.ndarray, norm: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Descriptors float32 [sets, D] of sets of any sizes, one after the other in the rows.

        Sets of one size are read together, so that none is padded; a set of no image gets zeros.

        Args:
            unit: float32 [n, D], embeddings of length 1 (or 0).
            norm: [n], their lengths before that.
            sizes: images of each set, int [sets].
        """
        picks = farthest_points(unit, norm, sizes, self.gamma.item(), self.points)
        starts = np.cumsum(sizes) - sizes
        descriptors = np.zeros((len(sizes), unit.shape[1]), np.float32)
        for size in np.unique(sizes[sizes > 0]).tolist():
            alike = np.flatnonzero(sizes == size)
            for some in np.array_split(alike, -(-len(alike) * size // IMAGES_A_GROUP)):
                rows = starts[some][:, None] + np.arange(size)
                core = picks[some, : min(size, self.points)]
                descriptors[some] = self._read_rows(unit, norm, core, rows)
        return descriptors

    def _read_rows(
        self, unit: np.ndarray, norm: np.ndarray, core: np.ndarray, rows: np.ndarray
    ) -> np.ndarray:
        device = self.gamma.device
        lengths = torch.from_numpy(norm[rows].astype(np.float32)).to(device)
        features = torch.from_numpy(unit[rows]).to(device) * lengths[..., None]
        place = torch.from_numpy(core - rows[:, :1]).to(device)
        chosen = features.take_along_dim(place[..., None], dim=1)
        return self.read(chosen, features, lengths).cpu().numpy()


class Attention(nn.Module):
    """Self-attention of the chosen images, then cross-attention to the set; no feed-forward."""

    def __init__(self, dimensions: int, heads: int, dropout: float) -> None:
        super().__init__()
        options = {"dropout": dropout, "batch_first": True}
        self.self_attn1 = nn.MultiheadAttention(dimensions, heads, **options)
        self.multihead_attn1 = nn.MultiheadAttention(dimensions, heads, **options)
        self.norm1 = nn.LayerNorm(dimensions)
        self.norm2 = nn.LayerNorm(dimensions)
        self.dropout = nn.Dropout(dropout)

    def forward(self, core: Tensor, of_core: Tensor, features: Tensor, of_set: Tensor) -> Tensor:
        """[B, K, D]; `of_core` and `of_set` encode the norms. The residual is `core` itself."""
        query = core + of_core
        own, _ = self.self_attn1(query, query, query, need_weights=False)
        query = self.norm1(query + self.dropout(own))
        read, _ = self.multihead_attn1(query, features + of_set, features, need_weights=False)
        return core + self.norm2(core + self.dropout(read))


def sample_points(features: Tensor, norm: Tensor, gamma: Tensor, noise: Tensor) -> list[Tensor]:
    """Chosen images [B, D] each, by straight-through Gumbel softmax over norms, then distances.

    The choice is hard, its gradient that of the softmax; an image may be chosen again.

    Args:
        features: [B, T, D], embeddings of any length.
        norm: [B, T], those lengths.
        gamma: exponent of the norm in the metric.
        noise: Gumbel numbers [choices, B, T].
    """
    unit = F.normalize(features, dim=2, eps=NORM_FLOOR)
    seen = norm > 0
    weight = torch.where(seen, torch.where(seen, norm, 1.0) ** gamma, 0.0)
    logits, distance, chosen = norm, None, []
    for gumbel in noise:
        soft = torch.softmax(logits + gumbel, dim=1)
        hard = F.one_hot(soft.argmax(dim=1), soft.shape[1])
        choice = hard + soft - soft.detach()
        chosen.append(torch.einsum("bt,btd->bd", choice, features))
        direction = F.normalize(chosen[-1], dim=1, eps=NORM_FLOOR)
        new = weight * (1 - torch.einsum("btd,bd->bt", unit, direction)) / 2
        logits = distance = new if distance is None else torch.minimum(distance, new)
    return chosen


def gumbel(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Standard Gumbel numbers from a generator of one's own."""
    return -torch.empty(*shape).exponential_(generator=generator).log()


def encode_norm(norm: Tensor, dimensions: int) -> Tensor:
    """Sines and cosines in turn of 2 pi norm / 10000^(2 floor(i / 2) / D), [..., D]."""
    pairs = torch.arange(0, dimensions, 2, device=norm.device, dtype=norm.dtype)
    angle = 2 * math.pi * norm[..., None] * torch.exp(-pairs / dimensions * math.log(WAVELENGTH))
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(-2)


def build(params: Params, shape: Any, embedding: int) -> Coreset:
    """The network on sets of embeddings of `embedding` dimensions; it ignores `shape`."""
    return Coreset(embedding, params)
