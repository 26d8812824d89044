"""Sheets of pictures with captions, as in papers.

Enters: pictures. Leaves: one picture. No part of the paper.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from lca_mini.data.photos import Photos, crop, square_round
from lca_mini.export import contact_sheet

if TYPE_CHECKING:
    from PIL.Image import Image

THUMB = 256  # pixels
COLUMNS = 8
MARGIN, CAPTION = 24, 40  # pixels: round the sheet, and of a caption's line


def shrink(pictures: Float[Tensor, "n H W 3"], size: int = THUMB) -> Float[Tensor, "n size size 3"]:
    """Pictures at thumbnail size."""
    small = F.interpolate(pictures.movedim(-1, 1), (size, size), mode="bicubic", antialias=True)
    return small.movedim(1, -1).clamp(0, 1)


def thumbnails(photos: Photos, size: int = THUMB) -> Float[Tensor, "n size size 3"]:
    """A person's own pictures, cut square round the person."""
    squares = [crop(image, *square_round(mask), size) for image, mask in zip(photos.images, photos.masks)]
    return torch.stack(squares).movedim(1, -1)


def captioned_rows(rows: list[tuple[str, Float[Tensor, "n size size 3"]]]) -> UInt8[Tensor, "H W 3"]:
    """A caption and pictures below it, `COLUMNS` beside each other, row after row."""
    from PIL import Image, ImageDraw, ImageFont

    width = COLUMNS * (THUMB + 6) - 6
    blocks = []
    for words, pictures in rows:
        line = Image.new("RGB", (width, CAPTION), "white")
        ImageDraw.Draw(line).text((2, 8), words, fill=(70, 70, 74), font=ImageFont.load_default(20))
        caption = torch.frombuffer(bytearray(line.tobytes()), dtype=torch.uint8).view(CAPTION, width, 3)
        sheet = contact_sheet(list(pictures), COLUMNS, gap=6)
        sheet = F.pad(sheet, (0, 0, 0, width - sheet.shape[1]), value=255)
        blocks += [caption, sheet, torch.full((MARGIN // 2, width, 3), 255, dtype=torch.uint8)]
    return F.pad(torch.cat(blocks), (0, 0, MARGIN, MARGIN, MARGIN // 2, MARGIN // 2), value=255)


def strip(pictures: Float[Tensor, "n H W 3"], columns: int = COLUMNS, size: int = 144) -> Image:
    """Small pictures beside each other, as a PIL image, which notebooks display."""
    from PIL import Image

    return Image.fromarray(contact_sheet(list(shrink(pictures.cpu(), size)), columns, gap=2).numpy())


def scaled(sheet: UInt8[Tensor, "H W 3"], width: int = 1166) -> Image:
    """A sheet of any shape, made narrower where it is wider, as a PIL image, which notebooks display."""
    from PIL import Image

    image = Image.fromarray(sheet.numpy())
    image.thumbnail((width, image.height))
    return image
