"""What JPEG does to a picture: 4:2:0 chroma and quantised 8 x 8 cosine coefficients. No bytes are written.

Enters: sRGB pictures and a quality each. Leaves: the same, compressed and unpacked. Tables: ITU-T T.81, annex K; the
scale of a quality is that of the Independent JPEG Group's library.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from lca_mini.capture.constants import constant

_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
_CHROMA = ((17, 18, 24, 47), (18, 21, 26, 66), (24, 26, 56, 99), (47, 66, 99, 99))  # 99 elsewhere
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_TO_RGB = tuple(map(tuple, torch.linalg.inv(torch.tensor(_TO_YCC)).tolist()))


def jpeg(pictures: Float[Tensor, "N 3 H W"], quality: Float[Tensor, " N"]) -> Float[Tensor, "N 3 H W"]:
    """Compress pictures [0, 1] at qualities of 1 to 100."""
    height, width = pictures.shape[-2:]
    padded = F.pad(pictures, (0, -width % 16, 0, -height % 16), mode="replicate")
    to_ycc = constant(pictures, _TO_YCC)
    ycc = (to_ycc @ padded.flatten(2)).view_as(padded) * 255
    luma, chroma = ycc[:, :1] - 128, F.avg_pool2d(ycc[:, 1:], 2)
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None, None] / 100
    coarse = F.pad(constant(pictures, _CHROMA), (0, 4, 0, 4), value=99.0)
    luma = _quantise(luma, (constant(pictures, _LUMA) * scale).round().clamp(1, 255)) + 128
    chroma = _quantise(chroma, (coarse * scale).round().clamp(1, 255))
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    to_rgb = constant(pictures, _TO_RGB)
    rgb = to_rgb @ torch.cat([luma, chroma], 1).flatten(2) / 255
    return rgb.view_as(padded)[..., :height, :width].clamp(0, 1)


def _quantise(planes: Float[Tensor, "N D H W"], table: Float[Tensor, "N 8 8"]) -> Float[Tensor, "N D H W"]:
    dct = _dct(str(planes.device))
    blocks = planes.unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).transpose(3, 4)  # [N D rows columns 8 8]
    steps = table.flatten(1)[:, None, None, None]
    # one large matrix product each way: products of 8 x 8 matrices keep a GPU waiting
    rounded = (blocks.flatten(4) @ dct.T / steps).round() * steps
    return (rounded @ dct).unflatten(4, (8, 8)).transpose(3, 4).flatten(4, 5).flatten(2, 3)


@lru_cache(maxsize=8)
def _dct(device: str) -> Float[Tensor, "64 64"]:
    """From the 64 values of a block to its cosine coefficients; orthogonal."""
    k = torch.arange(8)
    cosines = torch.cos((2 * k + 1) * k[:, None] * (math.pi / 16)) / 2
    cosines[0] /= math.sqrt(2)
    return torch.kron(cosines, cosines).to(device)
